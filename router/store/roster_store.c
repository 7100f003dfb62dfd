/* Statements over router.account_key, router.roster_version and router.roster. */
#include "router/store/roster_store.h"

#include "chassis/base/mem.h"
#include "router/store/store_request.h"

struct roster_store {
    struct pg_pool *pool;
};

struct roster_store *roster_store_create(struct pg_pool *pool)
{
    struct roster_store *store = MEM_NEW(struct roster_store);
    store->pool = pool;
    return store;
}

void roster_store_destroy(struct roster_store *store)
{
    free(store);
}

/* ---- loading */

static const char sql_key[] = "SELECT wrapped FROM router.account_key WHERE owner = $1";
static const char sql_version[] = "SELECT version FROM router.roster_version WHERE owner = $1";
static const char sql_rows[] = "SELECT contact, item FROM router.roster WHERE owner = $1";

static void on_loaded(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err != ERR_OK) {
        ((roster_loaded)request->done)(request->context, err, NULL);
        return;
    }
    struct roster_snapshot snapshot = { .count = (size_t)pg_result_rows(results[2]) };
    if (pg_result_rows(results[0]) > 0) {
        snapshot.wrapped_key = pg_result_bytes(results[0], 0, 0);
    }
    if (pg_result_rows(results[1]) > 0) {
        snapshot.version = pg_result_int(results[1], 0, 0);
    }
    struct roster_row *rows = mem_calloc(snapshot.count + 1, sizeof(*rows));
    for (size_t i = 0; i < snapshot.count; i++) {
        rows[i].contact = pg_result_bytes(results[2], (int)i, 0);
        rows[i].item = pg_result_bytes(results[2], (int)i, 1);
    }
    snapshot.rows = rows;
    ((roster_loaded)request->done)(request->context, ERR_OK, &snapshot);
    free(rows);
}

void roster_load(struct roster_store *store, int64_t owner, roster_loaded done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_key);
    pg_add_int8(query, owner);
    pg_query_statement(query, sql_version);
    pg_add_int8(query, owner);
    pg_query_statement(query, sql_rows);
    pg_add_int8(query, owner);
    pg_query_prove_primary(query); /* an entity lives by what it reads here */
    store_send(query, on_loaded, (store_done)done, context, ERR_OK);
}

/* ---- saving: each statement behind the lock asks for the epoch ($1 shard, $2 epoch) */

#define SQL_FENCE " FROM router.shard_lease l WHERE l.shard = $1::int AND l.epoch = $2::bigint"

static const char sql_add_key[] = "INSERT INTO router.account_key (owner, wrapped)"
                                  " SELECT $3::bigint, $4::bytea" SQL_FENCE;

static const char sql_put[] = "INSERT INTO router.roster (owner, contact, item)"
                              " SELECT $3::bigint, $4::bytea, $5::bytea" SQL_FENCE
                              " ON CONFLICT (owner, contact) DO UPDATE SET item = excluded.item";

static const char sql_remove[] = "DELETE FROM router.roster r USING router.shard_lease l"
                                 " WHERE r.owner = $3::bigint AND r.contact = $4::bytea"
                                 " AND l.shard = $1::int AND l.epoch = $2::bigint";

static const char sql_set_version[] =
        "INSERT INTO router.roster_version (owner, version)"
        " SELECT $3::bigint, $4::bigint" SQL_FENCE
        " ON CONFLICT (owner) DO UPDATE SET version = excluded.version RETURNING version";

static void on_saved(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    (void)results;
    ((roster_saved)request->done)(request->context, err);
}

static void add_fenced(struct pg_query *query, const char *sql, const struct roster_write *write)
{
    pg_query_statement(query, sql);
    pg_add_int4(query, (int32_t)write->shard);
    pg_add_int8(query, (int64_t)write->epoch);
    pg_add_int8(query, write->owner);
}

void roster_save(struct roster_store *store,
        const struct roster_write *write,
        roster_saved done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    store_lock_shard(query, write->shard);
    if (write->wrapped_key.len > 0) {
        add_fenced(query, sql_add_key, write);
        pg_add_bytes(query, write->wrapped_key);
    }
    if (write->item.len > 0) {
        add_fenced(query, sql_put, write);
        pg_add_bytes(query, write->contact);
        pg_add_bytes(query, write->item);
    } else {
        add_fenced(query, sql_remove, write);
        pg_add_bytes(query, write->contact);
    }
    add_fenced(query, sql_set_version, write);
    pg_add_int8(query, write->version);
    store_send(query, on_saved, (store_done)done, context, ERR_FENCED);
}

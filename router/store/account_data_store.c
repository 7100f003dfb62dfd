/* Statements over router.account_data. */
#include "router/store/account_data_store.h"

#include "chassis/base/mem.h"
#include "router/store/store_request.h"

struct account_data_store {
    struct pg_pool *pool;
};

struct account_data_store *account_data_store_create(struct pg_pool *pool)
{
    struct account_data_store *store = MEM_NEW(struct account_data_store);
    store->pool = pool;
    return store;
}

void account_data_store_destroy(struct account_data_store *store)
{
    free(store);
}

/* ---- loading */

static void on_loaded(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err != ERR_OK || pg_result_rows(results[0]) == 0) {
        ((account_data_loaded)request->done)(request->context, err, NULL, 0);
    } else {
        struct account_datum row = {
            .key = pg_result_bytes(results[0], 0, 0),
            .value = pg_result_bytes(results[0], 0, 1),
            .is_sealed = pg_result_int(results[0], 0, 2) != 0,
        };
        ((account_data_loaded)request->done)(request->context, ERR_OK, &row, 1);
    }
}

static const char sql_load[] =
        "SELECT key, value, is_sealed FROM router.account_data WHERE owner = $1 AND kind = $2::int4"
        " AND ((is_sealed AND key = $3) OR (NOT is_sealed AND key = $4))"
        " ORDER BY is_sealed DESC LIMIT 1";

void account_data_load(struct account_data_store *store,
        const struct account_data_name *name,
        account_data_loaded done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_load);
    pg_add_int8(query, name->owner);
    pg_add_int4(query, (int32_t)name->kind);
    pg_add_bytes(query, name->key);
    pg_add_bytes(query, name->clear_key);
    store_send(query, on_loaded, (store_done)done, context, ERR_OK);
}

/* ---- changing
 */

/* $1 shard, $2 epoch, $3 owner. An account has one key for ever: where there is one already, all of
 * the change is refused. */
static const char sql_add_key[] =
        "INSERT INTO router.account_key (owner, wrapped) SELECT $3::bigint, $4::bytea"
        " FROM router.shard WHERE shard = $1::int4 AND epoch = $2";

/* Whether the shard is ours, and whether it fits: what seals add is not charged ($9). A row from
 * before goes with the one that replaces it. */
static const char sql_put[] =
        "WITH fence AS (SELECT FROM router.shard WHERE shard = $1::int4 AND epoch = $2),"
        " given AS (SELECT g.key, g.clear_key, g.value"
        "   FROM unnest($5::bytea[], $6::bytea[], $10::bytea[]) AS g (key, value, clear_key)),"
        " kept AS (SELECT d.key, d.value, d.is_sealed FROM router.account_data d"
        "   WHERE d.owner = $3 AND d.kind = $4::int4 AND d.key NOT IN (SELECT key FROM given)"
        "   AND (d.is_sealed OR d.key NOT IN (SELECT clear_key FROM given))"
        "  UNION ALL SELECT key, value, true FROM given WHERE octet_length(value) > 0),"
        " room AS (SELECT FROM kept HAVING count(*) <= $7 AND coalesce(sum(octet_length(key)"
        "   + octet_length(value) - CASE WHEN is_sealed THEN $9::int4 ELSE 0 END), 0) <= $8),"
        " gone AS (DELETE FROM router.account_data d USING given, fence, room"
        "   WHERE d.owner = $3 AND d.kind = $4::int4"
        "   AND ((d.key = given.key AND octet_length(given.value) = 0)"
        "    OR (NOT d.is_sealed AND d.key = given.clear_key AND d.key <> given.key))),"
        " put AS (INSERT INTO router.account_data (owner, kind, key, value, is_sealed)"
        "   SELECT $3, $4::int4, given.key, given.value, true FROM given, fence, room"
        "   WHERE octet_length(given.value) > 0 ON CONFLICT (owner, kind, key)"
        "   DO UPDATE SET value = excluded.value, is_sealed = true)"
        " SELECT EXISTS (SELECT FROM fence), EXISTS (SELECT FROM room)";

static void on_put(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err == ERR_OK && !pg_result_int(results[1], 0, 0)) {
        err = ERR_FENCED;
    } else if (err == ERR_OK && !pg_result_int(results[1], 0, 1)) {
        err = ERR_LIMIT;
    }
    ((account_data_changed)request->done)(request->context, err);
}

static void add_column(struct pg_query *query,
        const struct account_data_change *change,
        struct str (*of)(const struct account_datum *item))
{
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (size_t i = 0; i < change->count; i++) {
        pg_add_bytes(query, of(&change->items[i]));
    }
    pg_add_array_end(query);
}

static struct str key_of(const struct account_datum *item)
{
    return item->key;
}

static struct str value_of(const struct account_datum *item)
{
    return item->value;
}

static struct str clear_key_of(const struct account_datum *item)
{
    return item->clear_key;
}

static void add_fence(struct pg_query *query, const struct account_data_change *change)
{
    pg_add_int4(query, (int32_t)change->shard);
    pg_add_int8(query, (int64_t)change->epoch);
    pg_add_int8(query, change->owner);
}

void account_data_put(struct account_data_store *store,
        const struct account_data_change *change,
        account_data_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    store_lock_shard(query, change->shard);
    pg_query_statement(query, sql_put);
    add_fence(query, change);
    pg_add_int4(query, (int32_t)change->kind);
    add_column(query, change, key_of);
    add_column(query, change, value_of);
    pg_add_int8(query, change->max_items);
    pg_add_int8(query, change->max_bytes);
    pg_add_int4(query, ACCOUNT_DATA_SEAL_BYTES);
    add_column(query, change, clear_key_of);
    if (change->wrapped_key.len > 0) {
        pg_query_statement(query, sql_add_key);
        add_fence(query, change);
        pg_add_bytes(query, change->wrapped_key);
    }
    store_send(query, on_put, (store_done)done, context, ERR_OK);
}

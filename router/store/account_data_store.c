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

/* ---- values: the one place in and the one place out */

static void add_value(struct pg_query *query, struct str value)
{
    pg_add_bytes(query, value);
}

struct str account_data_value(const struct pg_result *result, int row, int column)
{
    return pg_result_is_null(result, row, column) ? STR_NULL : pg_result_bytes(result, row, column);
}

/* ---- loading */

static void on_loaded(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err != ERR_OK || pg_result_rows(results[0]) == 0) {
        ((account_data_loaded)request->done)(request->context, err, NULL, 0);
    } else {
        struct account_datum row = { pg_result_bytes(results[0], 0, 0),
            account_data_value(results[0], 0, 1) };
        ((account_data_loaded)request->done)(request->context, ERR_OK, &row, 1);
    }
}

static const char sql_load[] =
        "SELECT key, value FROM router.account_data WHERE owner = $1 AND kind = $2::int4 AND key = $3";

void account_data_load(struct account_data_store *store,
        int64_t owner,
        enum account_data_kind kind,
        struct str key,
        account_data_loaded done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_load);
    pg_add_int8(query, owner);
    pg_add_int4(query, (int32_t)kind);
    pg_add_bytes(query, key);
    store_send(query, on_loaded, (store_done)done, context, ERR_OK);
}

/* ---- changing
 */

/* Whether the shard is ours, and whether it fits. */
static const char sql_put[] =
        "WITH fence AS (SELECT FROM router.shard WHERE shard = $1::int4 AND epoch = $2),"
        " given AS (SELECT g.key, g.value FROM unnest($5::bytea[], $6::bytea[]) AS g (key, value)),"
        " kept AS (SELECT d.key, d.value FROM router.account_data d WHERE d.owner = $3"
        "   AND d.kind = $4::int4 AND d.key NOT IN (SELECT key FROM given)"
        "  UNION ALL SELECT key, value FROM given WHERE octet_length(value) > 0),"
        " room AS (SELECT FROM kept HAVING count(*) <= $7"
        "   AND coalesce(sum(octet_length(key) + octet_length(value)), 0) <= $8),"
        " gone AS (DELETE FROM router.account_data d USING given, fence, room"
        "   WHERE d.owner = $3 AND d.kind = $4::int4 AND d.key = given.key"
        "   AND octet_length(given.value) = 0),"
        " put AS (INSERT INTO router.account_data (owner, kind, key, value)"
        "   SELECT $3, $4::int4, given.key, given.value FROM given, fence, room"
        "   WHERE octet_length(given.value) > 0"
        "   ON CONFLICT (owner, kind, key) DO UPDATE SET value = excluded.value)"
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

void account_data_put(struct account_data_store *store,
        const struct account_data_change *change,
        account_data_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    store_lock_shard(query, change->shard);
    pg_query_statement(query, sql_put);
    pg_add_int4(query, (int32_t)change->shard);
    pg_add_int8(query, (int64_t)change->epoch);
    pg_add_int8(query, change->owner);
    pg_add_int4(query, (int32_t)change->kind);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (size_t i = 0; i < change->count; i++) {
        pg_add_bytes(query, change->items[i].key);
    }
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (size_t i = 0; i < change->count; i++) {
        add_value(query, change->items[i].value);
    }
    pg_add_array_end(query);
    pg_add_int8(query, change->max_items);
    pg_add_int8(query, change->max_bytes);
    store_send(query, on_put, (store_done)done, context, ERR_OK);
}

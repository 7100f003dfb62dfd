/* Statements over router.account_key and router.account_data, small batches. */
#include "router/store/reseal_store.h"

#include "chassis/base/mem.h"
#include "router/store/store_request.h"

struct reseal_store {
    struct pg_pool *pool;
};

struct reseal_store *reseal_store_create(struct pg_pool *pool)
{
    struct reseal_store *store = MEM_NEW(struct reseal_store);
    store->pool = pool;
    return store;
}

void reseal_store_destroy(struct reseal_store *store)
{
    free(store);
}

static size_t rows_of(const struct pg_result *result, size_t max)
{
    size_t rows = (size_t)pg_result_rows(result);
    return rows < max ? rows : max;
}

static struct reseal_key key_of(const struct pg_result *result, int row)
{
    return (struct reseal_key){
        .owner = pg_result_int(result, row, 0),
        .wrapped = pg_result_bytes(result, row, 1),
    };
}

/* ---- whose keys there are: from one tag to the next on the index, however many keys there are */

static const char sql_tags[] =
        "WITH RECURSIVE tags AS ((SELECT wrapped_by AS tag FROM router.account_key ORDER BY 1 LIMIT 1)"
        " UNION ALL SELECT (SELECT k.wrapped_by FROM router.account_key k"
        "  WHERE k.wrapped_by > tags.tag ORDER BY 1 LIMIT 1) FROM tags WHERE tags.tag IS NOT NULL)"
        " SELECT tag FROM tags WHERE tag IS NOT NULL LIMIT 64";
static const char sql_any[] = "SELECT owner, wrapped FROM router.account_key"
                              " WHERE wrapped_by = '\\x01'::bytea ORDER BY owner LIMIT 1";

static void on_tags(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    struct str tags[RESEAL_MAX_TAGS];
    struct reseal_key any = { .owner = 0 };
    size_t count = err == ERR_OK ? rows_of(results[0], RESEAL_MAX_TAGS) : 0;
    for (size_t i = 0; i < count; i++) {
        tags[i] = pg_result_bytes(results[0], (int)i, 0);
    }
    bool has_any = err == ERR_OK && pg_result_rows(results[1]) > 0;
    if (has_any) {
        any = key_of(results[1], 0);
    }
    ((reseal_tags_loaded)request->done)(request->context, err, tags, count, has_any ? &any : NULL);
}

void reseal_load_tags(struct reseal_store *store, reseal_tags_loaded done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_tags);
    pg_query_statement(query, sql_any);
    store_send(query, on_tags, (store_done)done, context, ERR_OK);
}

/* ---- how much is left */

static const char sql_count[] =
        "SELECT (SELECT count(*) FROM router.account_key WHERE wrapped_by <> $1),"
        " (SELECT count(*) FROM router.account_data WHERE NOT is_sealed)";

static void on_count(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    bool is_there = err == ERR_OK;
    ((reseal_counted)request->done)(request->context,
            err,
            is_there ? pg_result_int(results[0], 0, 0) : 0,
            is_there ? pg_result_int(results[0], 0, 1) : 0);
}

void reseal_count(struct reseal_store *store, struct str newest, reseal_counted done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_count);
    pg_add_bytes(query, newest);
    store_send(query, on_count, (store_done)done, context, ERR_UNAVAILABLE);
}

/* ---- keys */

static const char sql_keys[] = "SELECT owner, wrapped FROM router.account_key"
                               " WHERE wrapped_by <> $1 AND owner > $2 ORDER BY owner LIMIT 200";

static void on_keys(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    struct reseal_key keys[RESEAL_MAX_KEYS];
    size_t count = err == ERR_OK ? rows_of(results[0], RESEAL_MAX_KEYS) : 0;
    for (size_t i = 0; i < count; i++) {
        keys[i] = key_of(results[0], (int)i);
    }
    ((reseal_keys_loaded)request->done)(request->context, err, keys, count);
}

void reseal_load_keys(struct reseal_store *store,
        struct str newest,
        int64_t after,
        reseal_keys_loaded done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_keys);
    pg_add_bytes(query, newest);
    pg_add_int8(query, after);
    store_send(query, on_keys, (store_done)done, context, ERR_OK);
}

static const char sql_put_keys[] =
        "UPDATE router.account_key k SET wrapped = n.anew"
        " FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS n (owner, wrapped, anew)"
        " WHERE k.owner = n.owner AND k.wrapped = n.wrapped";

static void on_put(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    (void)results;
    ((reseal_done)request->done)(request->context, err);
}

void reseal_put_keys(struct reseal_store *store,
        const struct reseal_key *keys,
        size_t count,
        reseal_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_put_keys);
    pg_add_array_begin(query, PG_ARRAY_INT8);
    for (size_t i = 0; i < count; i++) {
        pg_add_int8(query, keys[i].owner);
    }
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (size_t i = 0; i < count; i++) {
        pg_add_bytes(query, keys[i].wrapped);
    }
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (size_t i = 0; i < count; i++) {
        pg_add_bytes(query, keys[i].anew);
    }
    pg_add_array_end(query);
    store_send(query, on_put, (store_done)done, context, ERR_OK);
}

/* ---- rows in the clear */

static const char sql_rows[] =
        "SELECT d.owner, a.bare, d.kind, d.key, d.value, coalesce(k.wrapped, ''::bytea)"
        " FROM router.account_data d JOIN router.account a ON a.id = d.owner AND a.state <> 2"
        " LEFT JOIN router.account_key k ON k.owner = d.owner"
        " WHERE NOT d.is_sealed AND d.owner > $1 ORDER BY d.owner, d.kind, d.key LIMIT 20";

static void on_rows(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    struct reseal_row rows[RESEAL_MAX_ROWS];
    size_t count = err == ERR_OK ? rows_of(results[0], RESEAL_MAX_ROWS) : 0;
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct reseal_row){
            .owner = pg_result_int(results[0], (int)i, 0),
            .bare = pg_result_bytes(results[0], (int)i, 1),
            .kind = (enum account_data_kind)pg_result_int(results[0], (int)i, 2),
            .key = pg_result_bytes(results[0], (int)i, 3),
            .value = pg_result_bytes(results[0], (int)i, 4),
            .wrapped_key = pg_result_bytes(results[0], (int)i, 5),
        };
    }
    ((reseal_rows_loaded)request->done)(request->context, err, rows, count);
}

void reseal_load_rows(
        struct reseal_store *store, int64_t after, reseal_rows_loaded done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_rows);
    pg_add_int8(query, after);
    store_send(query, on_rows, (store_done)done, context, ERR_OK);
}

static const char sql_add_key[] = "INSERT INTO router.account_key (owner, wrapped) VALUES ($1, $2)";
static const char sql_put_row[] =
        "UPDATE router.account_data SET key = $5, value = $6, is_sealed = true"
        " WHERE owner = $1 AND kind = $2::int4 AND key = $3 AND value = $4 AND NOT is_sealed"
        " RETURNING owner";

void reseal_put_row(
        struct reseal_store *store, const struct reseal_row *row, reseal_done done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    if (row->wrapped_key.len > 0) {
        pg_query_statement(query, sql_add_key);
        pg_add_int8(query, row->owner);
        pg_add_bytes(query, row->wrapped_key);
    }
    pg_query_statement(query, sql_put_row);
    pg_add_int8(query, row->owner);
    pg_add_int4(query, (int32_t)row->kind);
    pg_add_bytes(query, row->key);
    pg_add_bytes(query, row->value);
    pg_add_bytes(query, row->sealed_key);
    pg_add_bytes(query, row->sealed);
    store_send(query, on_put, (store_done)done, context, ERR_CONFLICT);
}

/* Statements over router.fast_client. */
#include "router/store/token_store.h"

#include "chassis/base/mem.h"
#include "router/store/store_request.h"

struct token_store {
    struct pg_pool *pool;
};

struct token_store *token_store_create(struct pg_pool *pool)
{
    struct token_store *store = MEM_NEW(struct token_store);
    store->pool = pool;
    return store;
}

void token_store_destroy(struct token_store *store)
{
    free(store);
}

/* ---- rows: client, version, attempt, then four columns for each slot */

#define SQL_SLOTS                                                                  \
    " t.attempt, t.fresh_seed, t.fresh_mechanism, t.fresh_expires, t.fresh_count," \
    " t.current_seed, t.current_mechanism, t.current_expires, t.current_count,"    \
    " t.former_seed, t.former_mechanism, t.former_expires, t.former_count"

static void read_slot(
        const struct pg_result *result, int row, int column, struct token_slot *slot_out)
{
    struct str seed = pg_result_bytes(result, row, column);
    if (pg_result_is_null(result, row, column) || seed.len != TOKEN_SEED_BYTES) {
        return;
    }
    slot_out->is_set = true;
    memcpy(slot_out->seed, seed.ptr, TOKEN_SEED_BYTES);
    slot_out->mechanism = (enum ht_mechanism)pg_result_int(result, row, column + 1);
    slot_out->expires_s = pg_result_int(result, row, column + 2);
    slot_out->count = pg_result_int(result, row, column + 3);
}

static uint64_t read_u64(const char *at)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value = value << 8 | (uint8_t)at[i];
    }
    return value;
}

static struct id128 read_id(const struct pg_result *result, int row, int column)
{
    struct str bytes = pg_result_bytes(result, row, column);
    return bytes.len == 16 ? (struct id128){ read_u64(bytes.ptr), read_u64(bytes.ptr + 8) }
                           : (struct id128){ 0, 0 };
}

static struct token_family read_family(const struct pg_result *result, int row, int column)
{
    struct token_family family = {
        .client = read_id(result, row, column),
        .version = pg_result_int(result, row, column + 1),
        .attempt = read_id(result, row, column + 2),
    };
    for (int i = 0; i < TOKEN_SLOTS; i++) {
        read_slot(result, row, column + 3 + 4 * i, &family.slots[i]);
    }
    return family;
}

/* ---- loading */

static const char sql_load[] = "SELECT a.id, a.state, t.client, t.version," SQL_SLOTS
                               " FROM router.account a LEFT JOIN router.fast_client t"
                               " ON t.owner = a.id AND t.client = $2 WHERE a.bare = $1";

static void on_loaded(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err != ERR_OK) {
        ((token_loaded)request->done)(request->context, err, NULL, NULL);
        return;
    }
    struct account_row row = {
        .id = pg_result_int(results[0], 0, 0),
        .state = (enum account_state)pg_result_int(results[0], 0, 1),
    };
    if (pg_result_is_null(results[0], 0, 2)) {
        ((token_loaded)request->done)(request->context, ERR_OK, &row, NULL);
    } else {
        struct token_family family = read_family(results[0], 0, 2);
        ((token_loaded)request->done)(request->context, ERR_OK, &row, &family);
    }
}

void token_load(struct token_store *store,
        struct str bare,
        struct id128 client,
        token_loaded done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_load);
    pg_add_text(query, bare);
    pg_add_uuid(query, client.hi, client.lo);
    store_send(query, on_loaded, (store_done)done, context, ERR_NOT_FOUND);
}

static const char sql_others[] =
        "SELECT t.client, t.version," SQL_SLOTS " FROM router.fast_client t"
        " WHERE t.owner = $1 AND t.client <> $2 LIMIT 64";

static void on_others(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    struct token_family families[TOKEN_MAX_OTHERS];
    int rows = err == ERR_OK ? pg_result_rows(results[0]) : 0;
    for (int i = 0; i < rows; i++) {
        families[i] = read_family(results[0], i, 0);
    }
    ((tokens_loaded)request->done)(request->context, err, families, (size_t)rows);
}

void token_load_others(struct token_store *store,
        int64_t owner,
        struct id128 except,
        tokens_loaded done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_others);
    pg_add_int8(query, owner);
    pg_add_uuid(query, except.hi, except.lo);
    store_send(query, on_others, (store_done)done, context, ERR_OK);
}

/* ---- changing */

static void on_changed(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    (void)results;
    ((token_changed)request->done)(request->context, err);
}

static void send_change(
        struct pg_query *query, enum err when_empty, token_changed done, void *context)
{
    store_send(query, on_changed, (store_done)done, context, when_empty);
}

static void add_slot(struct pg_query *query, const struct token_slot *slot)
{
    if (!slot->is_set) {
        for (int i = 0; i < 4; i++) {
            pg_add_null(query);
        }
        return;
    }
    pg_add_bytes(query, str_from(slot->seed, TOKEN_SEED_BYTES));
    pg_add_int4(query, (int32_t)slot->mechanism);
    pg_add_int8(query, slot->expires_s);
    pg_add_int8(query, slot->count);
}

static const char sql_update[] =
        "UPDATE router.fast_client SET version = version + 1,"
        " fresh_seed = $4, fresh_mechanism = $5::int4, fresh_expires = $6, fresh_count = $7,"
        " current_seed = $8, current_mechanism = $9::int4, current_expires = $10,"
        " current_count = $11, former_seed = $12, former_mechanism = $13::int4,"
        " former_expires = $14, former_count = $15, attempt = $16"
        " WHERE owner = $1 AND client = $2 AND version = $3 RETURNING version";

void token_update(struct token_store *store,
        int64_t owner,
        const struct token_family *family,
        token_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_update);
    pg_add_int8(query, owner);
    pg_add_uuid(query, family->client.hi, family->client.lo);
    pg_add_int8(query, family->version);
    for (int i = 0; i < TOKEN_SLOTS; i++) {
        add_slot(query, &family->slots[i]);
    }
    pg_add_uuid(query, family->attempt.hi, family->attempt.lo);
    send_change(query, ERR_CONFLICT, done, context);
}

static const char sql_issue[] =
        "INSERT INTO router.fast_client AS t"
        " (owner, client, fresh_seed, fresh_mechanism, fresh_expires, fresh_count)"
        " VALUES ($1, $2, $3, $4::int4, $5, $6)"
        " ON CONFLICT (owner, client) DO UPDATE SET version = t.version + 1,"
        " fresh_seed = excluded.fresh_seed, fresh_mechanism = excluded.fresh_mechanism,"
        " fresh_expires = excluded.fresh_expires, fresh_count = excluded.fresh_count"
        " RETURNING owner";

static const char sql_make_room[] =
        "DELETE FROM router.fast_client WHERE owner = $1 AND client IN"
        " (SELECT client FROM (SELECT client,"
        " greatest(fresh_expires, current_expires, former_expires) AS ends, row_number() OVER"
        " (ORDER BY greatest(fresh_expires, current_expires, former_expires) DESC) AS place"
        " FROM router.fast_client WHERE owner = $1) AS f WHERE ends <= $2 OR place > $3)";

void token_issue(struct token_store *store,
        const struct token_issue *issue,
        token_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_issue);
    pg_add_int8(query, issue->owner);
    pg_add_uuid(query, issue->client.hi, issue->client.lo);
    add_slot(query, &issue->fresh);
    pg_query_statement(query, sql_make_room);
    pg_add_int8(query, issue->owner);
    pg_add_int8(query, issue->now_s);
    pg_add_int8(query, issue->max_clients);
    send_change(query, ERR_OK, done, context); /* an upsert has its row */
}

static const char sql_revoke[] =
        "DELETE FROM router.fast_client WHERE owner = $1 AND client = $2 RETURNING owner";

void token_revoke(struct token_store *store,
        int64_t owner,
        struct id128 client,
        token_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_revoke);
    pg_add_int8(query, owner);
    pg_add_uuid(query, client.hi, client.lo);
    send_change(query, ERR_NOT_FOUND, done, context);
}

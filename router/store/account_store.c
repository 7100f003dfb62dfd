/* Statements over router.account and router.credential; every one is a single round trip. */
#include "router/store/account_store.h"

#include "chassis/base/mem.h"
#include "proto/xmpp/precis_look_alike.h"
#include "router/store/store_request.h"
#include "router/store/tombstone_name.h"

struct account_store {
    struct pg_pool *pool;
    struct str name_keys;
};

struct account_store *account_store_create(struct pg_pool *pool, struct str name_keys)
{
    struct account_store *store = MEM_NEW(struct account_store);
    store->pool = pool;
    store->name_keys = name_keys;
    return store;
}

void account_store_destroy(struct account_store *store)
{
    free(store);
}

static struct account_row row_of(const struct pg_result *result)
{
    return (struct account_row){
        .id = pg_result_int(result, 0, 0),
        .state = (enum account_state)pg_result_int(result, 0, 1),
    };
}

/* ---- loading */

static struct str bytes_or_none(const struct pg_result *result, int column)
{
    return pg_result_is_null(result, 0, column) ? STR_NULL : pg_result_bytes(result, 0, column);
}

static void on_loaded(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err != ERR_OK) {
        ((account_loaded)request->done)(request->context, err, NULL);
    } else {
        struct account_row row = row_of(results[0]);
        row.blocked = bytes_or_none(results[0], 2);
        row.is_blocked_sealed = row.blocked.len > 0 && pg_result_int(results[0], 0, 3) != 0;
        row.wrapped_key = bytes_or_none(results[0], 4);
        ((account_loaded)request->done)(request->context, ERR_OK, &row);
    }
}

/* Kind 3: the block list is needed with the first stanza. */
static const char sql_load[] =
        "SELECT a.id, a.state, d.value, d.is_sealed, k.wrapped FROM router.account a"
        " LEFT JOIN router.account_data d ON d.owner = a.id AND d.kind = 3"
        " LEFT JOIN router.account_key k ON k.owner = a.id WHERE a.bare = $1";

void account_load(struct account_store *store, struct str bare, account_loaded done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_load);
    pg_add_text(query, bare);
    store_send(query, on_loaded, (store_done)done, context, ERR_NOT_FOUND);
}

static bool copy_bytes(const struct pg_result *result, int column, uint8_t *out, size_t max)
{
    struct str bytes = pg_result_bytes(result, 0, column);
    if (bytes.len > max) {
        return false;
    }

    memcpy(out, bytes.ptr, bytes.len);
    return true;
}

static void on_verifier(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err != ERR_OK) {
        ((verifier_loaded)request->done)(request->context, err, NULL, NULL);
        return;
    }

    const struct pg_result *result = results[0];
    struct account_row row = row_of(result);
    struct verifier verifier = { .salt_len = 0 };
    if (pg_result_is_null(result, 0, 2)) {
        ((verifier_loaded)request->done)(request->context, ERR_OK, &row, NULL);
        return;
    }

    verifier.iterations = (uint32_t)pg_result_int(result, 0, 2);
    verifier.salt_len = pg_result_bytes(result, 0, 3).len;
    bool fits = copy_bytes(result, 3, verifier.salt, sizeof(verifier.salt))
            && copy_bytes(result, 4, verifier.stored_key, sizeof(verifier.stored_key))
            && copy_bytes(result, 5, verifier.server_key, sizeof(verifier.server_key));
    ((verifier_loaded)request->done)(request->context, ERR_OK, &row, fits ? &verifier : NULL);
    secret_wipe(&verifier, sizeof(verifier));
}

static const char sql_verifier[] =
        "SELECT a.id, a.state, c.iterations, c.salt, c.stored_key, c.server_key"
        " FROM router.account a"
        " LEFT JOIN router.credential c ON c.owner = a.id AND c.digest = $2::int4"
        " WHERE a.bare = $1";

void account_load_verifier(struct account_store *store,
        struct str bare,
        enum digest digest,
        verifier_loaded done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_verifier);
    pg_add_text(query, bare);
    pg_add_int4(query, (int32_t)digest);
    store_send(query, on_verifier, (store_done)done, context, ERR_NOT_FOUND);
}

/* ---- changing */

static void on_changed(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    int64_t id = err == ERR_OK ? pg_result_int(results[0], 0, 0) : 0;
    ((account_changed)request->done)(request->context, err, id);
}

static void send_change(
        struct pg_query *query, enum err when_empty, account_changed done, void *context)
{
    store_send(query, on_changed, (store_done)done, context, when_empty);
}

/* $2 ... $5: one element for each digest, in the order of the enum. */
static void add_verifiers(struct pg_query *query, const struct verifier *verifiers)
{
    pg_add_array_begin(query, PG_ARRAY_INT4);
    for (int i = 0; i < VERIFIERS; i++) {
        pg_add_int4(query, (int32_t)verifiers[i].iterations);
    }
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (int i = 0; i < VERIFIERS; i++) {
        pg_add_bytes(query, str_from(verifiers[i].salt, verifiers[i].salt_len));
    }
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (int i = 0; i < VERIFIERS; i++) {
        pg_add_bytes(query, str_from(verifiers[i].stored_key, digest_size((enum digest)i)));
    }
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (int i = 0; i < VERIFIERS; i++) {
        pg_add_bytes(query, str_from(verifiers[i].server_key, digest_size((enum digest)i)));
    }
    pg_add_array_end(query);
}

#define SQL_VERIFIERS                                                              \
    " INSERT INTO router.credential AS c"                                          \
    " (owner, digest, iterations, salt, stored_key, server_key)"                   \
    " SELECT t.id, v.n - 1, v.iterations, v.salt, v.stored_key, v.server_key"      \
    " FROM target t, unnest($2::int[], $3::bytea[], $4::bytea[], $5::bytea[])"     \
    " WITH ORDINALITY AS v (iterations, salt, stored_key, server_key, n)"          \
    " ON CONFLICT (owner, digest) DO UPDATE SET iterations = excluded.iterations," \
    " salt = excluded.salt, stored_key = excluded.stored_key,"                     \
    " server_key = excluded.server_key RETURNING owner"

/* One element for each key. */
static void add_tombstone_names(struct pg_query *query, struct str keys, struct str bare)
{
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (size_t i = 0; i < tombstone_keys(keys); i++) {
        uint8_t name[TOMBSTONE_NAME_BYTES];
        tombstone_name(keys, i, bare, name);
        pg_add_bytes(query, str_from(name, sizeof(name)));
    }
    pg_add_array_end(query);
}

struct new_account {
    struct str bare;
    const struct verifier *verifiers;
    account_changed done;
    void *context;
};

static void send_create(
        struct account_store *store, const char *sql, const struct new_account *account)
{
    uint8_t mark[LOOK_ALIKE_MARK_BYTES];
    precis_look_alike_mark(account->bare, mark);
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql);
    pg_add_text(query, account->bare);
    add_verifiers(query, account->verifiers);
    add_tombstone_names(query, store->name_keys, account->bare);
    pg_add_bytes(query, str_from(mark, sizeof(mark)));
    send_change(query, ERR_EXISTS, account->done, account->context);
}

/* The row of an erased account goes after its tombstone has come: one of both is always seen. */
#define SQL_CREATE_IF(condition)                                                               \
    "WITH target AS (INSERT INTO router.account (bare, look_alike) SELECT $1::text, $7::bytea" \
    " WHERE NOT EXISTS (SELECT FROM router.tombstone"                                          \
    " WHERE name = ANY ($6::bytea[]) AND until > current_date)" condition                      \
    " ON CONFLICT (bare) DO NOTHING RETURNING id),"                                            \
    " notice AS (INSERT INTO router.account_notice (owner, kind) SELECT id, 1 FROM target)" SQL_VERIFIERS
static const char sql_create[] = SQL_CREATE_IF("");
static const char sql_register[] =
        SQL_CREATE_IF(" AND NOT EXISTS (SELECT FROM router.account WHERE look_alike = $7::bytea)");

void account_create(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context)
{
    send_create(store, sql_create, &(struct new_account){ bare, verifiers, done, context });
}

void account_register(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context)
{
    send_create(store, sql_register, &(struct new_account){ bare, verifiers, done, context });
}

static const char sql_set[] =
        "WITH target AS (SELECT id FROM router.account WHERE bare = $1 AND state <> 2)" SQL_VERIFIERS;

void account_set_verifiers(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_set);
    pg_add_text(query, bare);
    add_verifiers(query, verifiers);
    send_change(query, ERR_NOT_FOUND, done, context);
}

static const char sql_digests[] =
        "SELECT coalesce(bit_or(1 << digest), 0) FROM router.credential WHERE owner = $1";

void account_load_digests(
        struct account_store *store, int64_t owner, account_changed done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_digests);
    pg_add_int8(query, owner);
    send_change(query, ERR_NOT_FOUND, done, context);
}

static const char sql_add[] =
        "INSERT INTO router.credential (owner, digest, iterations, salt, stored_key, server_key)"
        " SELECT id, $2::int4, $3, $4, $5, $6 FROM router.account WHERE bare = $1 AND state = 0"
        " ON CONFLICT (owner, digest) DO NOTHING RETURNING owner";

void account_add_verifier(struct account_store *store,
        struct str bare,
        enum digest digest,
        const struct verifier *verifier,
        account_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_add);
    pg_add_text(query, bare);
    pg_add_int4(query, (int32_t)digest);
    pg_add_int4(query, (int32_t)verifier->iterations);
    pg_add_bytes(query, str_from(verifier->salt, verifier->salt_len));
    pg_add_bytes(query, str_from(verifier->stored_key, digest_size(digest)));
    pg_add_bytes(query, str_from(verifier->server_key, digest_size(digest)));
    send_change(query, ERR_EXISTS, done, context);
}

/* Keys and contacts stay until the contacts have been told; the rest of what it owned goes now. */
static const char sql_delete[] =
        "WITH gone AS (UPDATE router.account SET state = 2, deleted = current_date"
        " WHERE bare = $1 AND state <> 2 RETURNING id),"
        " keys AS (DELETE FROM router.credential WHERE owner IN (SELECT id FROM gone))"
        " SELECT id FROM gone";

void account_delete(
        struct account_store *store, struct str bare, account_changed done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_delete);
    pg_add_text(query, bare);
    send_change(query, ERR_NOT_FOUND, done, context);
}

static const char sql_state[] = "UPDATE router.account SET state = $2::int4, inactive_stage = 0,"
                                " stage_day = NULL, counted_from = current_date"
                                " WHERE bare = $1 AND state <> 2 RETURNING id";

void account_set_state(struct account_store *store,
        struct str bare,
        enum account_state state,
        account_changed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_state);
    pg_add_text(query, bare);
    pg_add_int4(query, (int32_t)state);
    send_change(query, ERR_NOT_FOUND, done, context);
}

/* ---- for administrators */

static void on_told(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    bool has_text = err == ERR_OK && !pg_result_is_null(results[0], 0, 0);
    ((account_told)request->done)(
            request->context, err, has_text ? pg_result_bytes(results[0], 0, 0) : STR_NULL);
}

static const char sql_last_login[] =
        "SELECT to_char(last_login, 'YYYY-MM-DD') FROM router.account WHERE bare = $1 AND state <> 2";

void account_last_login(
        struct account_store *store, struct str bare, account_told done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_last_login);
    pg_add_text(query, bare);
    store_send(query, on_told, (store_done)done, context, ERR_NOT_FOUND);
}

static const char sql_count[] = "SELECT count(*)::text FROM router.account"
                                " WHERE split_part(bare, '@', 2) = $1 AND state = $2::int4";

void account_count(struct account_store *store,
        struct str domain,
        enum account_state state,
        account_told done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_count);
    pg_add_text(query, domain);
    pg_add_int4(query, (int32_t)state);
    store_send(query, on_told, (store_done)done, context, ERR_UNAVAILABLE);
}

static const char sql_list[] =
        "SELECT string_agg(bare, E'\\n' ORDER BY bare) FROM (SELECT bare FROM router.account"
        " WHERE split_part(bare, '@', 2) = $1 AND state <> 2 ORDER BY bare LIMIT $2) a";

void account_list(struct account_store *store,
        struct str domain,
        int64_t max,
        account_told done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_list);
    pg_add_text(query, domain);
    pg_add_int8(query, max);
    store_send(query, on_told, (store_done)done, context, ERR_UNAVAILABLE);
}

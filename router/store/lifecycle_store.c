/* Statements over router.account, router.account_notice and router.tombstone; every one is a single
 * round trip, safe to repeat, and asks again for what its caller has seen. */
#include "router/store/lifecycle_store.h"

#include "chassis/base/mem.h"
#include "proto/xmpp/precis_look_alike.h"
#include "router/store/store_request.h"
#include "router/store/tombstone_name.h"

struct lifecycle_store {
    struct pg_pool *pool;
    struct str name_keys;
};

struct lifecycle_store *lifecycle_store_create(struct pg_pool *pool, struct str name_keys)
{
    struct lifecycle_store *store = MEM_NEW(struct lifecycle_store);
    store->pool = pool;
    store->name_keys = name_keys;
    return store;
}

void lifecycle_store_destroy(struct lifecycle_store *store)
{
    free(store);
}

/* ---- lists: id, bare, notice, state, stage, idle days, days of the stage */

static struct lifecycle_row row_at(const struct pg_result *result, int i)
{
    return (struct lifecycle_row){
        .id = pg_result_int(result, i, 0),
        .bare = pg_result_bytes(result, i, 1),
        .notice = (enum notice_kind)pg_result_int(result, i, 2),
        .state = (enum account_state)pg_result_int(result, i, 3),
        .stage = (enum inactive_stage)pg_result_int(result, i, 4),
        .idle_days = pg_result_int(result, i, 5),
        .stage_days = pg_result_int(result, i, 6),
    };
}

static void on_listed(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    if (err != ERR_OK) {
        ((lifecycle_listed)request->done)(request->context, err, NULL, 0);
        return;
    }
    size_t count = (size_t)pg_result_rows(results[0]);
    struct lifecycle_row *rows = mem_calloc(count + 1, sizeof(*rows));
    for (size_t i = 0; i < count; i++) {
        rows[i] = row_at(results[0], (int)i);
    }
    ((lifecycle_listed)request->done)(request->context, ERR_OK, rows, count);
    free(rows);
}

static void list(struct lifecycle_store *store,
        const char *sql,
        const int64_t parameters[2],
        lifecycle_listed done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql);
    pg_add_int8(query, parameters[0]);
    pg_add_int8(query, parameters[1]);
    store_send(query, on_listed, (store_done)done, context, ERR_OK);
}

static const char sql_deleted[] =
        "SELECT id, bare, 0, state, 0, 0::bigint, 0::bigint FROM router.account"
        " WHERE state = 2 AND id > $1::bigint ORDER BY id LIMIT $2::bigint";

void lifecycle_list_deleted(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    list(store, sql_deleted, (const int64_t[]){ after_id, max }, done, context);
}

static const char sql_notices[] =
        "SELECT a.id, a.bare, n.kind, a.state, 0, 0::bigint, 0::bigint"
        " FROM router.account_notice n JOIN router.account a ON a.id = n.owner"
        " WHERE n.owner > $1::bigint ORDER BY n.owner LIMIT $2::bigint";

void lifecycle_list_notices(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    list(store, sql_notices, (const int64_t[]){ after_id, max }, done, context);
}

static const char sql_accounts[] =
        "SELECT id, bare, 0, state, inactive_stage, (current_date - counted_from)::bigint,"
        " (current_date - coalesce(stage_day, current_date))::bigint FROM router.account"
        " WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint";

void lifecycle_list_accounts(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    list(store, sql_accounts, (const int64_t[]){ after_id, max }, done, context);
}

static const char sql_unmarked[] =
        "SELECT id, bare, 0, state, 0, 0::bigint, 0::bigint FROM router.account"
        " WHERE look_alike IS NULL AND id > $1::bigint ORDER BY id LIMIT $2::bigint";

void lifecycle_list_unmarked(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    list(store, sql_unmarked, (const int64_t[]){ after_id, max }, done, context);
}

/* ---- changes */

static void on_done(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    (void)results;
    ((lifecycle_done)request->done)(request->context, err);
}

/* `when_empty`: ERR_NOT_FOUND if the statement returns a row when it has found something. */
static void send_change(
        struct pg_query *query, enum err when_empty, lifecycle_done done, void *context)
{
    store_send(query, on_done, (store_done)done, context, when_empty);
}

static const char sql_bury[] =
        "INSERT INTO router.tombstone AS t (name, until)"
        " SELECT $2::bytea, coalesce(deleted, current_date) + $3::int FROM router.account"
        " WHERE id = $1::bigint AND state = 2"
        " ON CONFLICT (name) DO UPDATE SET until = greatest(t.until, excluded.until)"
        " RETURNING 1";

void lifecycle_bury(struct lifecycle_store *store,
        int64_t id,
        struct str bare,
        int64_t days,
        lifecycle_done done,
        void *context)
{
    uint8_t name[TOMBSTONE_NAME_BYTES];
    tombstone_name(store->name_keys, 0, bare, name);
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_bury);
    pg_add_int8(query, id);
    pg_add_bytes(query, str_from(name, sizeof(name)));
    pg_add_int4(query, (int32_t)days);
    send_change(query, ERR_NOT_FOUND, done, context);
}

static const char sql_remove[] =
        "DELETE FROM router.account WHERE id = $1::bigint AND state = 2 RETURNING 1";

void lifecycle_remove(struct lifecycle_store *store, int64_t id, lifecycle_done done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_remove);
    pg_add_int8(query, id);
    send_change(query, ERR_NOT_FOUND, done, context);
}

static const char sql_end_notice[] =
        "DELETE FROM router.account_notice WHERE owner = $1::bigint AND kind = $2::int RETURNING 1";

void lifecycle_end_notice(struct lifecycle_store *store,
        int64_t owner,
        enum notice_kind kind,
        lifecycle_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_end_notice);
    pg_add_int8(query, owner);
    pg_add_int4(query, (int32_t)kind);
    send_change(query, ERR_NOT_FOUND, done, context);
}

/* In the order of ids, so that routers with the same accounts do not wait for each other in a ring.
 */
static const char sql_note_use[] =
        "WITH used AS (SELECT id FROM router.account WHERE id = ANY ($1) AND state = 0"
        " AND (counted_from <> current_date OR inactive_stage <> 0"
        " OR ($2::boolean AND last_login IS DISTINCT FROM current_date))"
        " ORDER BY id FOR UPDATE)"
        " UPDATE router.account a SET counted_from = current_date, inactive_stage = 0,"
        " stage_day = NULL, last_login = CASE WHEN $2::boolean THEN current_date ELSE last_login END"
        " FROM used WHERE a.id = used.id";

void lifecycle_note_use(struct lifecycle_store *store,
        const int64_t *ids,
        size_t count,
        bool is_login,
        lifecycle_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_note_use);
    pg_add_array_begin(query, PG_ARRAY_INT8);
    for (size_t i = 0; i < count; i++) {
        pg_add_int8(query, ids[i]);
    }
    pg_add_array_end(query);
    pg_add_bool(query, is_login);
    send_change(query, ERR_OK, done, context);
}

static const char sql_set_stage[] =
        "WITH moved AS (UPDATE router.account SET inactive_stage = $2::int, stage_day = current_date,"
        " state = CASE WHEN $2::int = 2 THEN 1 ELSE state END"
        " WHERE id = $1::bigint AND state = 0 AND inactive_stage < $2::int"
        " AND counted_from <= current_date - $3::int RETURNING id),"
        " told AS (INSERT INTO router.account_notice (owner, kind)"
        " SELECT id, 2 FROM moved WHERE $2::int = 1 ON CONFLICT DO NOTHING)"
        " SELECT id FROM moved";

void lifecycle_set_stage(struct lifecycle_store *store,
        int64_t id,
        enum inactive_stage stage,
        int64_t idle_days,
        lifecycle_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_set_stage);
    pg_add_int8(query, id);
    pg_add_int4(query, (int32_t)stage);
    pg_add_int4(query, (int32_t)idle_days);
    send_change(query, ERR_NOT_FOUND, done, context);
}

static const char sql_delete_inactive[] =
        "WITH gone AS (UPDATE router.account SET state = 2, deleted = current_date"
        " WHERE id = $1::bigint AND state = 1 AND inactive_stage = 2"
        " AND counted_from <= current_date - $2::int RETURNING id),"
        " keys AS (DELETE FROM router.credential WHERE owner IN (SELECT id FROM gone))"
        " SELECT id FROM gone";

void lifecycle_delete_inactive(struct lifecycle_store *store,
        int64_t id,
        int64_t idle_days,
        lifecycle_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_delete_inactive);
    pg_add_int8(query, id);
    pg_add_int4(query, (int32_t)idle_days);
    send_change(query, ERR_NOT_FOUND, done, context);
}

static const char sql_mark[] =
        "WITH found AS (SELECT a.id, n.mark FROM router.account a"
        " JOIN unnest($1::bigint[], $2::bytea[]) AS n (id, mark) ON n.id = a.id"
        " WHERE a.look_alike IS NULL FOR NO KEY UPDATE OF a SKIP LOCKED)"
        " UPDATE router.account a SET look_alike = found.mark FROM found WHERE a.id = found.id";

void lifecycle_mark(struct lifecycle_store *store,
        const struct lifecycle_row *rows,
        size_t count,
        lifecycle_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_mark);
    pg_add_array_begin(query, PG_ARRAY_INT8);
    for (size_t i = 0; i < count; i++) {
        pg_add_int8(query, rows[i].id);
    }
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    for (size_t i = 0; i < count; i++) {
        uint8_t mark[LOOK_ALIKE_MARK_BYTES];
        precis_look_alike_mark(rows[i].bare, mark);
        pg_add_bytes(query, str_from(mark, sizeof(mark)));
    }
    pg_add_array_end(query);
    send_change(query, ERR_OK, done, context);
}

static const char sql_forget[] = "DELETE FROM router.tombstone WHERE until <= current_date";
static const char sql_forget_notices[] =
        "DELETE FROM router.account_notice WHERE created < current_date - 7";

void lifecycle_forget_old(struct lifecycle_store *store, lifecycle_done done, void *context)
{
    struct pg_query *query = pg_query_create(store->pool);
    pg_query_statement(query, sql_forget);
    pg_query_statement(query, sql_forget_notices);
    send_change(query, ERR_OK, done, context);
}

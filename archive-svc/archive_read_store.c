/* Reading and erasing the log of one owner. */
#include <stdlib.h>

#include "archive-svc/archive_store.h"
#include "archive-svc/archive_store_internal.h"
#include "chassis/base/arena.h"
#include "chassis/base/mem.h"

static uint64_t read_u64be(const char *at)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value = value << 8 | (unsigned char)at[i];
    }
    return value;
}

static Wire__Id *read_id(struct arena *arena, const struct pg_result *result, int row, int column)
{
    struct str bytes = pg_result_bytes(result, row, column);
    ASSERT(bytes.len == 16);
    Wire__Id *id = ARENA_NEW(arena, Wire__Id);
    wire__id__init(id);
    id->hi = read_u64be(bytes.ptr);
    id->lo = read_u64be(bytes.ptr + 8);
    return id;
}

/* Columns `column` session, then counter and part. */
static Wire__Origin *read_origin(
        struct arena *arena, const struct pg_result *result, int row, int column)
{
    Wire__Origin *origin = ARENA_NEW(arena, Wire__Origin);
    wire__origin__init(origin);
    origin->session = read_id(arena, result, row, column);
    origin->counter = (uint32_t)pg_result_int(result, row, column + 1);
    origin->part = (uint32_t)pg_result_int(result, row, column + 2);
    return origin;
}

/* ---- open */

/* max(id) walks the primary key backwards, newest partition first, and stops at the first hit. */
static const char sql_position[] =
        "SELECT coalesce((SELECT max(id) FROM archive.message WHERE owner = $1::bigint), 0),"
        " coalesce((SELECT watermark FROM archive.cursor WHERE owner = $1), 0)";

/* After an outage, however long, repeats begin with what was written last before it: so also all
 * that is undelivered and what was delivered within 150 s of the watermark. As many as a router
 * remembers of one account (ORIGINS_MAX). */
static const char sql_origins[] =
        "SELECT id, session, counter, part FROM archive.message"
        " WHERE owner = $1::bigint AND id > least($2::bigint, coalesce("
        "  (SELECT watermark FROM archive.cursor WHERE owner = $1) - 150000000, 0))"
        " ORDER BY id DESC LIMIT 4096";

static const char sql_session_inputs[] =
        "SELECT session, h FROM archive.session_input WHERE owner = $1::bigint"
        " ORDER BY updated DESC LIMIT 1000";

/* What waits for the owner: a router keeps to a quota by it. The length of a value is known without
 * reading it. */
static const char sql_waiting[] =
        "SELECT count(*), coalesce(sum(octet_length(stanza)), 0)::bigint FROM archive.message"
        " WHERE owner = $1::bigint AND id > coalesce("
        "  (SELECT watermark FROM archive.cursor WHERE owner = $1), 0)";

static void read_origins(
        struct arena *arena, const struct pg_result *result, Wire__LogOpenReply *reply)
{
    size_t rows = (size_t)pg_result_rows(result);
    reply->origins = arena_calloc(arena, (rows + 1) * sizeof(Wire__Origin *));
    reply->origin_ids = arena_calloc(arena, (rows + 1) * sizeof(int64_t));
    reply->n_origins = reply->n_origin_ids = rows;
    for (size_t i = 0; i < rows; i++) { /* the query gives the newest first */
        reply->origins[rows - 1 - i] = read_origin(arena, result, (int)i, 1);
        reply->origin_ids[rows - 1 - i] = pg_result_int(result, (int)i, 0);
    }
}

static void read_inputs(
        struct arena *arena, const struct pg_result *result, Wire__LogOpenReply *reply)
{
    size_t rows = (size_t)pg_result_rows(result);
    reply->inputs = arena_calloc(arena, (rows + 1) * sizeof(Wire__SessionInput *));
    reply->n_inputs = rows;
    for (size_t i = 0; i < rows; i++) {
        Wire__SessionInput *input = ARENA_NEW(arena, Wire__SessionInput);
        wire__session_input__init(input);
        input->session = read_id(arena, result, (int)i, 0);
        input->h = (uint32_t)pg_result_int(result, (int)i, 1);
        reply->inputs[i] = input;
    }
}

static void on_opened(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    struct archive_call *call = context;
    struct arena arena;
    arena_init(&arena, 0);
    Wire__LogOpenReply reply = WIRE__LOG_OPEN_REPLY__INIT;
    if (err == ERR_OK) {
        ASSERT(count >= 4);
        int64_t last_id = pg_result_int(results[0], 0, 0);
        reply.watermark = pg_result_int(results[0], 0, 1);
        reply.last_id = last_id > reply.watermark ? last_id : reply.watermark;
        read_origins(&arena, results[1], &reply);
        read_inputs(&arena, results[2], &reply);
        reply.waiting_entries = pg_result_int(results[3], 0, 0);
        reply.waiting_bytes = pg_result_int(results[3], 0, 1);
    }
    call->done.open(call->context, err, &reply);
    arena_fini(&arena);
    free(call);
}

void archive_store_open(struct archive_store *store,
        int64_t owner,
        int64_t origins_after_id,
        archive_open_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->read_pool);
    pg_query_statement(query, sql_position);
    pg_add_int8(query, owner);
    pg_query_statement(query, sql_origins);
    pg_add_int8(query, owner);
    pg_add_int8(query, origins_after_id);
    pg_query_statement(query, sql_session_inputs);
    pg_add_int8(query, owner);
    pg_query_statement(query, sql_waiting);
    pg_add_int8(query, owner);
    pg_query_prove_primary(query); /* an entity lives by what it reads here */
    struct archive_call *call = archive_call_create(context);
    call->done.open = done;
    pg_query_send(query, on_opened, call);
}

/* ---- read */

/* The page ends with the entry that goes over the bytes, so that a large one is not skipped. The
 * last column is the number of entries before that cut. */
static const char sql_page[] =
        "SELECT id, session, counter, part, stanza, n FROM ("
        "  SELECT *, sum(octet_length(stanza)) OVER (ORDER BY id) - octet_length(stanza) AS before,"
        "   count(*) OVER () AS n"
        "  FROM (SELECT id, session, counter, part, stanza FROM archive.message"
        "   WHERE owner = $1::bigint AND id > $2::bigint ORDER BY id LIMIT $3::int) AS page"
        " ) AS sized WHERE before < $4::bigint ORDER BY id";

static void read_entries(
        struct arena *arena, const struct pg_result *result, Wire__LogReadReply *reply)
{
    size_t rows = (size_t)pg_result_rows(result);
    reply->entries = arena_calloc(arena, (rows + 1) * sizeof(Wire__LogEntry *));
    reply->n_entries = rows;
    for (size_t i = 0; i < rows; i++) {
        Wire__LogEntry *entry = ARENA_NEW(arena, Wire__LogEntry);
        wire__log_entry__init(entry);
        entry->id = pg_result_int(result, (int)i, 0);
        entry->origin = read_origin(arena, result, (int)i, 1);
        entry->stanza = wire_bytes(pg_result_bytes(result, (int)i, 4));
        reply->entries[i] = entry;
    }
}

static void on_read(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    (void)count;
    struct archive_call *call = context;
    struct arena arena;
    arena_init(&arena, 0);
    Wire__LogReadReply reply = WIRE__LOG_READ_REPLY__INIT;
    if (err == ERR_OK) {
        read_entries(&arena, results[0], &reply);
        size_t found = reply.n_entries > 0 ? (size_t)pg_result_int(results[0], 0, 5) : 0;
        reply.is_complete = reply.n_entries == found && found < call->max_entries;
    }
    call->done.read(call->context, err, &reply);
    arena_fini(&arena);
    free(call);
}

void archive_store_read(struct archive_store *store,
        const struct archive_page *page,
        archive_read_done done,
        void *context)
{
    struct pg_query *query = pg_query_create(store->read_pool);
    pg_query_statement(query, sql_page);
    pg_add_int8(query, page->owner);
    pg_add_int8(query, page->after_id);
    pg_add_int4(query, (int32_t)page->max_entries);
    pg_add_int8(query, page->max_bytes > 0 ? page->max_bytes : 1);
    pg_query_prove_primary(query);
    struct archive_call *call = archive_call_create(context);
    call->done.read = done;
    call->max_entries = page->max_entries;
    pg_query_send(query, on_read, call);
}

/* ---- erase */

/* The cursor first, as retention takes its locks. */
static const char sql_erase_cursor[] = "DELETE FROM archive.cursor WHERE owner = $1::bigint";
static const char sql_erase_messages[] = "DELETE FROM archive.message WHERE owner = $1::bigint";
static const char sql_erase_inputs[] = "DELETE FROM archive.session_input WHERE owner = $1::bigint";

void archive_store_erase(
        struct archive_store *store, int64_t owner, archive_done done, void *context)
{
    static const char *const statements[] = {
        sql_erase_cursor,
        sql_erase_messages,
        sql_erase_inputs,
    };
    struct pg_query *query = pg_query_create(store->read_pool);
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        pg_query_statement(query, statements[i]);
        pg_add_int8(query, owner);
    }
    struct archive_call *call = archive_call_create(context);
    call->done.plain = done;
    pg_query_send(query, archive_call_finish_plain, call);
}

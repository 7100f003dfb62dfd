/* The store itself, and appending. */
#include "archive-svc/archive_store.h"

#include <stdlib.h>
#include <string.h>

#include "archive-svc/archive_store_internal.h"
#include "chassis/base/mem.h"

struct archive_store *archive_store_create(struct pg_pool *append_pool, struct pg_pool *read_pool)
{
    struct archive_store *store = MEM_NEW(struct archive_store);
    store->append_pool = append_pool;
    store->read_pool = read_pool;
    return store;
}

void archive_store_destroy(struct archive_store *store)
{
    free(store);
}

struct archive_call *archive_call_create(void *context)
{
    struct archive_call *call = MEM_NEW(struct archive_call);
    call->context = context;
    return call;
}

void archive_call_finish_plain(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    (void)results;
    (void)count;
    struct archive_call *call = context;
    call->done.plain(call->context, err);
    free(call);
}

/* ---- append: the statements
 *
 * READ COMMITTED gives every statement a fresh snapshot, so all that follow the locks see the
 * epochs as they are while the locks are held: a takeover takes the same lock (class 7301)
 * exclusively before it raises the epoch. Either it waits for us and sees our rows, or we see its
 * epoch and leave them out. */

/* The shards come in ascending order: two appends cannot wait for each other. */
static const char sql_lock[] =
        "SELECT pg_advisory_xact_lock_shared(7301, s) FROM unnest($1::int[]) AS s";

static const char sql_messages[] =
        "INSERT INTO archive.message (owner, id, session, counter, part, stanza)"
        " SELECT r.owner, r.id, r.session, r.counter, r.part, r.stanza"
        " FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[],"
        "  $6::bigint[], $7::int[], $8::bytea[])"
        "  AS r (shard, epoch, owner, id, session, counter, part, stanza)"
        " JOIN router.shard s ON s.shard = r.shard AND s.epoch = r.epoch"
        " ON CONFLICT DO NOTHING";

/* The last word about a session counts. A repeat may come when later batches are written already: a
 * counter (modulo 2^32) goes forward only. One that is ahead covers entries of the same batch:
 * perhaps those that are left out, and who believed it would never send them again (P1). */
static const char sql_inputs[] =
        "WITH fenced AS ("
        "  SELECT FROM unnest($8::int[], $9::bigint[]) AS r (shard, epoch)"
        "  LEFT JOIN router.shard s ON s.shard = r.shard AND s.epoch = r.epoch"
        "  WHERE s.shard IS NULL"
        "), last AS ("
        "  SELECT DISTINCT ON (r.owner, r.session) r.owner, r.session, r.h, r.is_closed"
        "  FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[],"
        "   $6::bool[], $7::bool[])"
        "   WITH ORDINALITY AS r (shard, epoch, owner, session, h, is_closed, is_ahead, n)"
        "  JOIN router.shard s ON s.shard = r.shard AND s.epoch = r.epoch"
        "  WHERE NOT (r.is_ahead AND EXISTS (SELECT FROM fenced))"
        "  ORDER BY r.owner, r.session, r.n DESC"
        "), closed AS ("
        "  DELETE FROM archive.session_input i USING last l"
        "  WHERE l.is_closed AND i.owner = l.owner AND i.session = l.session"
        ")"
        " INSERT INTO archive.session_input AS i (owner, session, h)"
        " SELECT owner, session, h FROM last WHERE NOT is_closed"
        " ON CONFLICT (owner, session) DO UPDATE SET h = excluded.h, updated = now()"
        " WHERE ((excluded.h - i.h) & 4294967295) < 2147483648";

static const char sql_watermarks[] =
        "INSERT INTO archive.cursor AS c (owner, watermark)"
        " SELECT r.owner, max(r.id)"
        " FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[])"
        "  AS r (shard, epoch, owner, id)"
        " JOIN router.shard s ON s.shard = r.shard AND s.epoch = r.epoch"
        " GROUP BY r.owner ORDER BY r.owner"
        " ON CONFLICT (owner) DO UPDATE SET watermark = greatest(c.watermark, excluded.watermark)";

static const char sql_fenced[] =
        "SELECT r.shard FROM unnest($1::int[], $2::bigint[]) AS r (shard, epoch)"
        " LEFT JOIN router.shard s ON s.shard = r.shard AND s.epoch = r.epoch"
        " WHERE s.shard IS NULL ORDER BY r.shard";

/* ---- append: the batch */

struct batch {
    const Wire__Append *wire;
    struct shard_epoch {
        uint32_t shard;
        uint64_t epoch;
    } * epochs; /* by shard, ascending */
    size_t epoch_count;
};

enum {
    MAX_ID_BITS = 62, /* the end of its week must still be a number */
};

static int compare_shards(const void *left, const void *right)
{
    uint32_t a = ((const struct shard_epoch *)left)->shard;
    uint32_t b = ((const struct shard_epoch *)right)->shard;
    return a < b ? -1 : a > b;
}

static const struct shard_epoch *find_epoch(const struct batch *batch, uint32_t shard)
{
    struct shard_epoch key = { .shard = shard };
    return bsearch(
            &key, batch->epochs, batch->epoch_count, sizeof(struct shard_epoch), compare_shards);
}

static bool is_id(int64_t id)
{
    return id > 0 && id >> MAX_ID_BITS == 0;
}

static bool epochs_are_valid(const struct batch *batch)
{
    for (size_t i = 0; i < batch->epoch_count; i++) {
        const struct shard_epoch *each = &batch->epochs[i];
        bool is_double = i > 0 && each[-1].shard == each->shard;
        if (is_double || each->shard > INT32_MAX || each->epoch > INT64_MAX) {
            return false;
        }
    }
    return true;
}

static bool rows_are_valid(const struct batch *batch)
{
    const Wire__Append *wire = batch->wire;
    for (size_t i = 0; i < wire->n_entries; i++) {
        const Wire__LogEntry *entry = wire->entries[i];
        if (!is_id(entry->id) || entry->origin == NULL || entry->origin->part > INT32_MAX
                || find_epoch(batch, entry->shard) == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < wire->n_inputs; i++) {
        if (find_epoch(batch, wire->inputs[i]->shard) == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < wire->n_watermarks; i++) {
        const Wire__Watermark *mark = wire->watermarks[i];
        if (!is_id(mark->id) || find_epoch(batch, mark->shard) == NULL) {
            return false;
        }
    }
    return true;
}

static void batch_init(struct batch *batch, const Wire__Append *wire)
{
    batch->wire = wire;
    batch->epoch_count = wire->n_epochs;
    batch->epochs = mem_calloc(wire->n_epochs + 1, sizeof(struct shard_epoch));
    for (size_t i = 0; i < wire->n_epochs; i++) {
        batch->epochs[i].shard = wire->epochs[i]->shard;
        batch->epochs[i].epoch = wire->epochs[i]->epoch;
    }
    qsort(batch->epochs, batch->epoch_count, sizeof(struct shard_epoch), compare_shards);
}

/* ---- append: columns as array parameters */

typedef void (*add_cell)(struct pg_query *query, const struct batch *batch, size_t row);

static void add_column(struct pg_query *query,
        const struct batch *batch,
        size_t rows,
        enum pg_array_type type,
        add_cell add)
{
    pg_add_array_begin(query, type);
    for (size_t i = 0; i < rows; i++) {
        add(query, batch, i);
    }
    pg_add_array_end(query);
}

static void add_epoch_of(struct pg_query *query, const struct batch *batch, uint32_t shard)
{
    const struct shard_epoch *found = find_epoch(batch, shard);
    ASSERT(found != NULL); /* rows_are_valid */
    pg_add_int8(query, (int64_t)found->epoch);
}

static void add_id128(struct pg_query *query, struct id128 id)
{
    pg_add_uuid(query, id.hi, id.lo);
}

/* clang-format off */
#define CELL(name, expression)                                                                     \
    static void name(struct pg_query *query, const struct batch *batch, size_t i) { expression; }

CELL(add_shard, pg_add_int4(query, (int32_t)batch->epochs[i].shard))
CELL(add_epoch, pg_add_int8(query, (int64_t)batch->epochs[i].epoch))
CELL(add_entry_shard, pg_add_int4(query, (int32_t)batch->wire->entries[i]->shard))
CELL(add_entry_epoch, add_epoch_of(query, batch, batch->wire->entries[i]->shard))
CELL(add_entry_owner, pg_add_int8(query, batch->wire->entries[i]->owner))
CELL(add_entry_id, pg_add_int8(query, batch->wire->entries[i]->id))
CELL(add_entry_session, add_id128(query, wire_id(batch->wire->entries[i]->origin->session)))
CELL(add_entry_counter, pg_add_int8(query, batch->wire->entries[i]->origin->counter))
CELL(add_entry_part, pg_add_int4(query, (int32_t)batch->wire->entries[i]->origin->part))
CELL(add_entry_stanza, pg_add_bytes(query, wire_str(batch->wire->entries[i]->stanza)))
CELL(add_input_shard, pg_add_int4(query, (int32_t)batch->wire->inputs[i]->shard))
CELL(add_input_epoch, add_epoch_of(query, batch, batch->wire->inputs[i]->shard))
CELL(add_input_owner, pg_add_int8(query, batch->wire->inputs[i]->owner))
CELL(add_input_session, add_id128(query, wire_id(batch->wire->inputs[i]->session)))
CELL(add_input_h, pg_add_int8(query, batch->wire->inputs[i]->h))
CELL(add_input_closed, pg_add_bool(query, batch->wire->inputs[i]->is_closed != 0))
CELL(add_input_ahead, pg_add_bool(query, batch->wire->inputs[i]->is_ahead != 0))
CELL(add_mark_shard, pg_add_int4(query, (int32_t)batch->wire->watermarks[i]->shard))
CELL(add_mark_epoch, add_epoch_of(query, batch, batch->wire->watermarks[i]->shard))
CELL(add_mark_owner, pg_add_int8(query, batch->wire->watermarks[i]->owner))
CELL(add_mark_id, pg_add_int8(query, batch->wire->watermarks[i]->id))

struct column {
    enum pg_array_type type;
    add_cell add;
};
static const struct column message_columns[] = {
    { PG_ARRAY_INT4, add_entry_shard },   { PG_ARRAY_INT8, add_entry_epoch },
    { PG_ARRAY_INT8, add_entry_owner },   { PG_ARRAY_INT8, add_entry_id },
    { PG_ARRAY_UUID, add_entry_session }, { PG_ARRAY_INT8, add_entry_counter },
    { PG_ARRAY_INT4, add_entry_part },    { PG_ARRAY_BYTEA, add_entry_stanza },
};
static const struct column input_columns[] = {
    { PG_ARRAY_INT4, add_input_shard },   { PG_ARRAY_INT8, add_input_epoch },
    { PG_ARRAY_INT8, add_input_owner },   { PG_ARRAY_UUID, add_input_session },
    { PG_ARRAY_INT8, add_input_h },       { PG_ARRAY_BOOL, add_input_closed },
    { PG_ARRAY_BOOL, add_input_ahead },
};
static const struct column mark_columns[] = {
    { PG_ARRAY_INT4, add_mark_shard },    { PG_ARRAY_INT8, add_mark_epoch },
    { PG_ARRAY_INT8, add_mark_owner },    { PG_ARRAY_INT8, add_mark_id },
};
/* clang-format on */

#define ADD_ROWS(query, batch, sql, columns, rows) \
    add_rows((query), (batch), (sql), (columns), sizeof(columns) / sizeof((columns)[0]), (rows))

static void add_rows(struct pg_query *query,
        const struct batch *batch,
        const char *sql,
        const struct column *columns,
        size_t column_count,
        size_t rows)
{
    if (rows == 0) {
        return;
    }
    pg_query_statement(query, sql);
    for (size_t i = 0; i < column_count; i++) {
        add_column(query, batch, rows, columns[i].type, columns[i].add);
    }
}

static void add_epochs(struct pg_query *query, const struct batch *batch)
{
    add_column(query, batch, batch->epoch_count, PG_ARRAY_INT4, add_shard);
    add_column(query, batch, batch->epoch_count, PG_ARRAY_INT8, add_epoch);
}

/* ---- append: the transaction */

struct append_call {
    archive_append_done done;
    void *context;
    bool has_entries;
};

static void on_appended(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    struct append_call *call = context;
    if (err != ERR_OK) {
        bool has_no_partition = strcmp(sqlstate, "23514") == 0; /* check_violation */
        call->done(call->context, has_no_partition ? ERR_NOT_FOUND : err, NULL);
        free(call);
        return;
    }
    const struct pg_result *fenced = results[count - 1];
    size_t fenced_count = (size_t)pg_result_rows(fenced);
    uint32_t *shards = mem_calloc(fenced_count + 1, sizeof(uint32_t));
    for (size_t i = 0; i < fenced_count; i++) {
        shards[i] = (uint32_t)pg_result_int(fenced, (int)i, 0);
    }
    struct archive_append_result result = {
        .rows = call->has_entries ? pg_result_affected(results[1]) : 0,
        .fenced = shards,
        .fenced_count = fenced_count,
    };
    call->done(call->context, ERR_OK, &result);
    free(shards);
    free(call);
}

enum err archive_store_append(struct archive_store *store,
        const Wire__Append *append,
        archive_append_done done,
        void *context)
{
    struct batch batch;
    batch_init(&batch, append);
    if (!epochs_are_valid(&batch) || !rows_are_valid(&batch)) {
        free(batch.epochs);
        return ERR_INVALID;
    }
    struct pg_query *query = pg_query_create(store->append_pool);
    pg_query_statement(query, sql_lock);
    add_column(query, &batch, batch.epoch_count, PG_ARRAY_INT4, add_shard);
    ADD_ROWS(query, &batch, sql_messages, message_columns, append->n_entries);
    ADD_ROWS(query, &batch, sql_inputs, input_columns, append->n_inputs);
    if (append->n_inputs > 0) {
        add_epochs(query, &batch);
    }
    ADD_ROWS(query, &batch, sql_watermarks, mark_columns, append->n_watermarks);
    pg_query_statement(query, sql_fenced);
    add_epochs(query, &batch);
    free(batch.epochs);
    pg_query_failpoint(query, "append-before-commit");

    struct append_call *call = MEM_NEW(struct append_call);
    call->done = done;
    call->context = context;
    call->has_entries = append->n_entries > 0;
    pg_query_send(query, on_appended, call);
    return ERR_OK;
}

/* ---- partitions on demand: a clock may have jumped */

static const char sql_make_room[] = "SELECT archive.ensure_partition(id) FROM unnest($1::bigint[])"
                                    " AS id";

enum {
    MAX_WEEKS = 16, /* of one batch; what is left over is made room for at the next attempt */
};

static const int64_t week_us = INT64_C(604800000000);

void archive_store_make_room(
        struct archive_store *store, const Wire__Append *batch, archive_done done, void *context)
{
    int64_t weeks[MAX_WEEKS];
    size_t count = 0;
    for (size_t i = 0; i < batch->n_entries && count < MAX_WEEKS; i++) {
        int64_t week = batch->entries[i]->id / week_us;
        size_t at = 0;
        while (at < count && weeks[at] != week) {
            at++;
        }
        if (at == count) {
            weeks[count++] = week;
        }
    }
    struct pg_query *query = pg_query_create(store->append_pool);
    pg_query_statement(query, sql_make_room);
    pg_add_array_begin(query, PG_ARRAY_INT8);
    for (size_t i = 0; i < count; i++) {
        pg_add_int8(query, weeks[i] * week_us);
    }
    pg_add_array_end(query);
    struct archive_call *call = archive_call_create(context);
    call->done.plain = done;
    pg_query_send(query, archive_call_finish_plain, call);
}

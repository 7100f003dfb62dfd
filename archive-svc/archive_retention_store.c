/* Deleting what is delivered or too old. Several archive-svc may do this at the same time: locked
 * rows are skipped, partitions are made and dropped under a lock on their parent. */
#include <stdlib.h>

#include "archive-svc/archive_store.h"
#include "archive-svc/archive_store_internal.h"
#include "chassis/base/mem.h"

/* Ids are microseconds: the youngest one that has the age. Parameters $1 now, $2 age. */
#define SQL_HORIZON \
    "SELECT least($1::bigint, (extract(epoch FROM now()) * 1000000)::bigint) - $2::bigint"

/* At most 100 owners with 200 entries each; an owner with more keeps its place and comes again. The
 * one longest not cleaned comes first. */
static const char sql_clean[] =
        "WITH horizon AS (" SQL_HORIZON " AS id), batch AS ("
        "  SELECT c.owner, c.cleaned, least(c.watermark, h.id) AS upto"
        "  FROM horizon h JOIN archive.cursor c ON c.cleaned < h.id"
        "  WHERE c.cleaned < c.watermark ORDER BY c.cleaned LIMIT $3::int"
        "  FOR UPDATE OF c SKIP LOCKED"
        "), doomed AS ("
        "  SELECT b.owner, m.id FROM batch b CROSS JOIN LATERAL ("
        "   SELECT id FROM archive.message"
        "   WHERE owner = b.owner AND id > b.cleaned AND id <= b.upto ORDER BY id LIMIT 200) m"
        "), deleted AS ("
        "  DELETE FROM archive.message m USING doomed d WHERE m.owner = d.owner AND m.id = d.id"
        "), reached AS ("
        "  SELECT b.owner, CASE WHEN count(d.id) = 200 THEN max(d.id) ELSE b.upto END AS upto"
        "  FROM batch b LEFT JOIN doomed d ON d.owner = b.owner GROUP BY b.owner, b.upto"
        "), moved AS ("
        "  UPDATE archive.cursor c SET cleaned = r.upto FROM reached r WHERE c.owner = r.owner"
        ")"
        " SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM doomed)";

static const char sql_clean_inputs[] =
        "WITH deleted AS ("
        "  DELETE FROM archive.session_input WHERE (owner, session) IN ("
        "   SELECT owner, session FROM archive.session_input"
        "   WHERE updated < now() - interval '2 days' LIMIT 10000) RETURNING 1"
        ") SELECT count(*) FROM deleted";

static const char sql_ensure_partitions[] =
        "SELECT count(*) FILTER (WHERE archive.ensure_partition(id))"
        " FROM unnest(ARRAY[$1::bigint, $1 + archive.week_us()]) AS id";

static const char sql_drop_partitions[] = "SELECT archive.drop_partitions((" SQL_HORIZON "))";

static void on_counted(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    (void)count;
    struct archive_call *call = context;
    call->done.counted(call->context, err, err == ERR_OK ? pg_result_int(results[0], 0, 0) : 0);
    free(call);
}

static struct pg_query *counted_query(struct archive_store *store, const char *sql)
{
    struct pg_query *query = pg_query_create(store->read_pool);
    pg_query_statement(query, sql);
    return query;
}

static void add_age(struct pg_query *query, struct archive_age age)
{
    pg_add_int8(query, age.now_us);
    pg_add_int8(query, age.age_us);
}

static void send_counted(struct pg_query *query, archive_counted done, void *context)
{
    struct archive_call *call = archive_call_create(context);
    call->done.counted = done;
    pg_query_send(query, on_counted, call);
}

static void on_cleaned(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    (void)count;
    struct archive_call *call = context;
    bool is_ok = err == ERR_OK;
    call->done.cleaned(call->context,
            err,
            is_ok ? pg_result_int(results[0], 0, 0) : 0,
            is_ok ? pg_result_int(results[0], 0, 1) : 0);
    free(call);
}

void archive_store_clean(
        struct archive_store *store, struct archive_age age, archive_cleaned done, void *context)
{
    struct pg_query *query = counted_query(store, sql_clean);
    add_age(query, age);
    pg_add_int4(query, ARCHIVE_CLEAN_OWNERS);
    struct archive_call *call = archive_call_create(context);
    call->done.cleaned = done;
    pg_query_send(query, on_cleaned, call);
}

void archive_store_clean_inputs(struct archive_store *store, archive_counted done, void *context)
{
    send_counted(counted_query(store, sql_clean_inputs), done, context);
}

void archive_store_ensure_partitions(
        struct archive_store *store, int64_t now_us, archive_counted done, void *context)
{
    struct pg_query *query = counted_query(store, sql_ensure_partitions);
    pg_add_int8(query, now_us);
    send_counted(query, done, context);
}

void archive_store_drop_partitions(
        struct archive_store *store, struct archive_age age, archive_counted done, void *context)
{
    struct pg_query *query = counted_query(store, sql_drop_partitions);
    add_age(query, age);
    send_counted(query, done, context);
}

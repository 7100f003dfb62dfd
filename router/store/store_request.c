/* One query, one answer, one call back. */
#include "router/store/store_request.h"

#include "chassis/base/mem.h"

static enum err store_err(enum err err)
{
    return err == ERR_OK || err == ERR_CLOSED ? err : ERR_UNAVAILABLE;
}

static void on_answer(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    struct store_request request = *(struct store_request *)context;
    free(context);
    err = store_err(err);
    if (err == ERR_OK && pg_result_rows(results[count - 1]) == 0) {
        err = request.when_empty;
    }
    request.reader(&request, err, results);
}

void store_send(struct pg_query *query,
        store_reader *reader,
        store_done done,
        void *context,
        enum err when_empty)
{
    struct store_request *request = MEM_NEW(struct store_request);
    *request = (struct store_request){ reader, done, context, when_empty };
    pg_query_send(query, on_answer, request);
}

static const char sql_lock[] = "SELECT pg_advisory_xact_lock_shared(7301, $1::int4)";

void store_lock_shard(struct pg_query *query, unsigned shard)
{
    pg_query_statement(query, sql_lock);
    pg_add_int4(query, (int32_t)shard);
}

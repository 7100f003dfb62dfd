/* One question, repeated while nobody answers it. */
#include "chassis/pg_schema.h"

#include <stdlib.h>
#include <string.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/pg.h"
#include "chassis/service.h"

#define RETRY_MS 250

struct pg_schema {
    struct service_context *service;
    struct pg_pool *pool;
    struct pg_schema_options options;
    struct timer retry;
    bool is_asking;
    bool is_closed; /* the answer to come frees it */
};

static const char sql_number[] =
        "SELECT coalesce(max(number), 0)::bigint FROM public.starling_migration WHERE service = $1";

static void fail(const struct pg_schema *schema, int64_t found)
{
    log_error("schema",
            "the schema is not the one this program is for",
            log_cstr("schema", schema->options.name),
            log_int("found", found),
            log_int("expected", schema->options.number));
    service_fail(schema->service,
            "the schema is missing or of another version: run starlingctl db migrate with the "
            "files of this version");
}

static void on_number(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)count;
    struct pg_schema *schema = context;
    schema->is_asking = false;
    if (schema->is_closed) {
        free(schema);
        return;
    }
    /* Never migrated, or not for us to see. */
    bool is_missing = strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "42501") == 0;
    int64_t number = err == ERR_OK ? pg_result_int(results[0], 0, 0) : 0;
    if (err == ERR_OK && number == schema->options.number) {
        schema->options.is_ours(schema->options.context);
    } else if (err == ERR_OK || is_missing) {
        fail(schema, number);
    } else if (err != ERR_CLOSED) {
        timer_start(loop_timers(service_loop(schema->service)), &schema->retry, RETRY_MS);
    }
}

static void ask(struct timer *timer, void *context)
{
    (void)timer;
    struct pg_schema *schema = context;
    schema->is_asking = true;
    struct pg_query *query = pg_query_create(schema->pool);
    pg_query_statement(query, sql_number);
    pg_add_text(query, str_from_cstr(schema->options.name));
    pg_query_send(query, on_number, schema);
}

struct pg_schema *pg_schema_open(struct service_context *service,
        struct pg_pool *pool,
        const struct pg_schema_options *options)
{
    struct pg_schema *schema = MEM_NEW(struct pg_schema);
    schema->service = service;
    schema->pool = pool;
    schema->options = *options;
    timer_init(&schema->retry, ask, schema);
    ask(&schema->retry, schema);
    return schema;
}

void pg_schema_close(struct pg_schema *schema)
{
    if (!schema) {
        return;
    }
    timer_stop(&schema->retry);
    schema->is_closed = true;
    if (!schema->is_asking) {
        free(schema);
    }
}

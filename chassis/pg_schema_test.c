/* A program meets the schema it was built for, another one, none, and none yet (G11). */
#include "chassis/pg_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/pg.h"
#include "chassis/service.h"
#include "tests/lib/scratch_servers.h"

#define WAIT_MS 10000

static char dir[128];
static struct loop *loop;
static struct pg_pool *pool;
static struct {
    bool is_done;
    unsigned ours;
    unsigned fails;
} t;

/* ---- in place of the service */

void service_fail(struct service_context *service, const char *reason)
{
    (void)service;
    assert_non_null(strstr(reason, "starlingctl db migrate"));
    t.fails++;
    t.is_done = true;
}

struct loop *service_loop(struct service_context *service)
{
    (void)service;
    return loop;
}

static void on_ours(void *context)
{
    assert_ptr_equal(context, &t);
    t.ours++;
    t.is_done = true;
}

/* ---- tests */

static void run_sql(const char *sql)
{
    char command[512];
    (void)snprintf(command,
            sizeof(command),
            "psql -X -q -h %s -U postgres -d postgres -v ON_ERROR_STOP=1 -c \"%s\" >/dev/null",
            dir,
            sql);
    assert_int_equal(system(command), 0);
}

static int start(void **state)
{
    (void)state;
    scratch_start("scratch-pg", dir);
    loop = loop_create(&clock_system);
    char conninfo[256];
    (void)snprintf(conninfo, sizeof(conninfo), "host=%s user=postgres dbname=postgres", dir);
    const struct pg_options options = {
        .conninfo = conninfo,
        .connections = 1,
        .connect_timeout_ms = 1000,
        .query_timeout_ms = 1000,
        .max_queued = 10,
    };
    return pg_pool_open(loop, &options, &pool) == ERR_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    pg_pool_close(pool);
    loop_destroy(loop);
    scratch_do("scratch-pg", "stop", dir);
    return 0;
}

static struct pg_schema *check(int64_t number)
{
    memset(&t, 0, sizeof(t));
    const struct pg_schema_options options = {
        .name = "router", .number = number, .is_ours = on_ours, .context = &t
    };
    return pg_schema_open(NULL, pool, &options);
}

static void expect(int64_t number, unsigned ours, unsigned fails)
{
    struct pg_schema *schema = check(number);
    assert_false(t.is_done);
    assert_true(scratch_run_until(loop, scratch_is_true, &t.is_done, WAIT_MS));
    assert_int_equal(t.ours, ours);
    assert_int_equal(t.fails, fails);
    pg_schema_close(schema);
}

static void schema_that_was_never_made_is_refused(void **state)
{
    (void)state;
    expect(1, 0, 1);
}

static void the_last_number_of_the_service_counts(void **state)
{
    (void)state;
    run_sql("CREATE TABLE public.starling_migration (service text, number int)");
    expect(4, 0, 1); /* made, and nothing applied */
    run_sql("INSERT INTO public.starling_migration VALUES ('router', 3), ('router', 4), "
            "('archive', 9)");
    expect(4, 1, 0);
    expect(3, 0, 1); /* newer than the program */
    expect(5, 0, 1); /* older */
}

static void postgres_that_is_away_is_waited_for(void **state)
{
    (void)state;
    scratch_do("scratch-pg", "crash", dir);
    struct pg_schema *schema = check(4);
    assert_false(scratch_run_until(loop, scratch_is_true, &t.is_done, 1500));
    scratch_do("scratch-pg", "restart", dir);
    assert_true(scratch_run_until(loop, scratch_is_true, &t.is_done, WAIT_MS));
    assert_int_equal(t.ours, 1);
    pg_schema_close(schema);
}

static void one_that_is_closed_says_nothing(void **state)
{
    (void)state;
    struct pg_schema *schema = check(4);
    pg_schema_close(schema);
    assert_false(scratch_run_until(loop, scratch_is_true, &t.is_done, 300));
    pg_schema_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_that_was_never_made_is_refused),
        cmocka_unit_test(the_last_number_of_the_service_counts),
        cmocka_unit_test(postgres_that_is_away_is_waited_for),
        cmocka_unit_test(one_that_is_closed_says_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

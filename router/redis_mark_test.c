/* A real Redis (tests/lib/scratch-redis) that somebody empties. */
#include "router/redis_mark.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "chassis/redis.h"
#include "tests/lib/scratch_servers.h"

#define WAIT_MS 10000

static struct {
    char dir[128];
    char address[160];
    struct loop *loop;
    struct redis *redis;
    struct redis_mark *mark;
    int emptied;
    bool is_answered;
    bool has_key;
    int64_t integer;
} fixture;

static void on_emptied(void *context)
{
    (void)context;
    fixture.emptied++;
}

static bool is_up(void *context)
{
    (void)context;
    return redis_is_up(fixture.redis);
}

static int start(void **state)
{
    (void)state;
    static char none[] = "";
    fixture.emptied = 0;
    scratch_start("scratch-redis", fixture.dir);
    (void)snprintf(fixture.address, sizeof(fixture.address), "unix:%s/redis.sock", fixture.dir);
    fixture.loop = loop_create(&clock_system);
    const struct redis_config config = {
        .address = fixture.address,
        .user = none,
        .password_file = none,
        .sentinel_master = none,
        .connect_timeout_ms = 1000,
        .command_timeout_ms = 1000,
        .reconnect_min_ms = 10,
        .reconnect_max_ms = 50,
        .max_pending = 1000,
    };
    assert_int_equal(redis_open(fixture.loop, &config, &fixture.redis), ERR_OK);
    return scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    redis_close(fixture.redis);
    redis_mark_destroy(fixture.mark);
    loop_destroy(fixture.loop);
    scratch_do("scratch-redis", "stop", fixture.dir);
    return 0;
}

static void on_reply(void *context, enum err err, const struct redis_value *reply)
{
    (void)context;
    fixture.is_answered = true;
    fixture.integer = err == ERR_OK && reply->type == REDIS_INTEGER ? reply->integer : -1;
    fixture.has_key = fixture.integer == 1;
}

static void command(const char *verb, const char *argument)
{
    struct str args[] = { str_from_cstr(verb), str_from_cstr(argument) };
    fixture.is_answered = false;
    redis_command(fixture.redis, args, 2, on_reply, NULL);
    assert_true(scratch_run_until(fixture.loop, scratch_is_true, &fixture.is_answered, WAIT_MS));
}

static bool is_marked(void *context)
{
    (void)context;
    struct str exists[] = { STR("EXISTS"), STR("mark:router-7") };
    if (fixture.is_answered) {
        fixture.is_answered = false;
        redis_command(fixture.redis, exists, 2, on_reply, NULL);
    }
    return fixture.has_key;
}

static bool is_noticed(void *context)
{
    (void)context;
    return fixture.emptied > 0;
}

static void an_emptied_redis_is_noticed_once(void **state)
{
    (void)state;
    fixture.mark = redis_mark_create(fixture.loop, fixture.redis, "router-7", on_emptied, NULL);
    command("EXISTS", "mark:router-7");
    fixture.is_answered = true;
    assert_true(scratch_run_until(fixture.loop, is_marked, NULL, WAIT_MS));
    assert_int_equal(fixture.emptied, 0);
    command("TTL", "mark:router-7");
    assert_in_range(fixture.integer, 60, 600);
    command("FLUSHALL", "SYNC");
    assert_true(scratch_run_until(fixture.loop, is_noticed, NULL, WAIT_MS));
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 3 * REDIS_MARK_MS / 2);
    assert_int_equal(fixture.emptied, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_emptied_redis_is_noticed_once, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

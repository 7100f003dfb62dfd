/* The Redis client against a real server (tests/lib/scratch-redis). */
#include "chassis/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "tests/lib/scratch_servers.h"

enum {
    WAIT_MS = 10000,
    COMMAND_TIMEOUT_MS = 300,
};

struct fixture {
    char dir[128];
    char address[160];
    struct loop *loop;
    struct redis *redis;
    int ups, downs;
};

static struct fixture fixture;
static int answers;

struct answer {
    bool is_done;
    int order;
    enum err err;
    enum redis_type type;
    int64_t integer;
    char text[64];
    size_t count;
    struct redis_value inner; /* of element 1, element 0 */
};

static void on_answer(void *context, enum err err, const struct redis_value *reply)
{
    struct answer *answer = context;
    assert_false(answer->is_done);
    answer->is_done = true;
    answer->order = ++answers;
    answer->err = err;
    assert_int_equal(reply != NULL, err == ERR_OK);
    if (reply != NULL) {
        answer->type = reply->type;
        answer->integer = reply->integer;
        answer->count = reply->count;
        (void)snprintf(answer->text, sizeof(answer->text), STR_FMT, STR_ARG(reply->text));
        struct redis_value list = redis_value_at(reply, 1);
        answer->inner = redis_value_at(&list, 0);
    }
}

static void ask(struct answer *answer, const char *a, const char *b, const char *c)
{
    struct str args[] = { str_from_cstr(a), str_from_cstr(b), str_from_cstr(c) };
    size_t count = c != NULL ? 3 : b != NULL ? 2 : 1;
    redis_command(fixture.redis, args, count, on_answer, answer);
}

static void await(struct answer *answer)
{
    assert_true(scratch_run_until(fixture.loop, scratch_is_true, &answer->is_done, WAIT_MS));
}

static bool is_up(void *context)
{
    (void)context;
    return redis_is_up(fixture.redis);
}

static bool is_down(void *context)
{
    return !is_up(context);
}

static void await_up(void)
{
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
}

static void on_change(void *context, bool up)
{
    (void)context;
    fixture.ups += up;
    fixture.downs += !up;
}

static void open_with(struct redis_config config)
{
    static char none[] = "";
    config.address = config.address != NULL ? config.address : fixture.address;
    config.user = none;
    config.password_file = config.password_file != NULL ? config.password_file : none;
    config.sentinel_master = config.sentinel_master != NULL ? config.sentinel_master : none;
    config.connect_timeout_ms = 500;
    config.command_timeout_ms =
            config.command_timeout_ms != 0 ? config.command_timeout_ms : COMMAND_TIMEOUT_MS;
    config.reconnect_min_ms = 20;
    config.reconnect_max_ms = 100;
    config.max_pending = config.max_pending != 0 ? config.max_pending : 1000;
    fixture.ups = fixture.downs = 0;
    assert_int_equal(redis_open(fixture.loop, &config, &fixture.redis), ERR_OK);
    redis_on_change(fixture.redis, on_change, NULL);
}

static void open_up(void)
{
    open_with((struct redis_config){ 0 });
    await_up();
}

static int close_redis(void **state)
{
    (void)state;
    redis_close(fixture.redis);
    fixture.redis = NULL;
    return 0;
}

/* ---- replies */

static void test_commands_of_one_turn_are_answered_in_order(void **state)
{
    (void)state;
    open_up();
    struct answer list[50] = { 0 };
    for (int i = 0; i < 50; i++) {
        ask(&list[i], "INCR", "order", NULL);
    }
    await(&list[49]);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(list[i].type, REDIS_INTEGER);
        assert_int_equal(list[i].integer, i + 1);
        assert_int_equal(list[i].order, list[0].order + i);
    }
}

static bool is_allowed(void *context)
{
    return *(const bool *)context;
}

static void test_guarded_writes_are_left_out_and_questions_are_not(void **state)
{
    (void)state;
    open_up();
    bool may_write = true;
    redis_guard_writes(fixture.redis, is_allowed, &may_write);
    const struct str push[] = { STR("RPUSH"), STR("guarded"), STR("x") };
    for (int i = 0; i < 4; i++) {
        may_write = i % 2 == 0;
        redis_command(fixture.redis, push, 3, NULL, NULL);
    }
    may_write = true;
    struct answer length = { 0 };
    ask(&length, "LLEN", "guarded", NULL);
    await(&length);
    assert_int_equal(length.err, ERR_OK);
    assert_int_equal(length.integer, 2);
    may_write = false;
    struct answer question = { 0 };
    ask(&question, "LLEN", "guarded", NULL);
    await(&question);
    assert_int_equal(question.err, ERR_OK);
}

/* The process was stopped between the command and the end of its turn. */
static void test_guarded_writes_that_are_late_never_leave(void **state)
{
    (void)state;
    open_up();
    bool may_write = true;
    redis_guard_writes(fixture.redis, is_allowed, &may_write);
    const struct str push[] = { STR("RPUSH"), STR("late"), STR("x") };
    redis_command(fixture.redis, push, 3, NULL, NULL);
    struct answer length = { 0 };
    ask(&length, "LLEN", "late", NULL);
    may_write = false;
    await(&length);
    assert_int_equal(length.err, ERR_UNAVAILABLE);
    await_up();
    struct answer again = { 0 };
    ask(&again, "LLEN", "late", NULL);
    await(&again);
    assert_int_equal(again.err, ERR_OK);
    assert_int_equal(again.integer, 0);
}

static void count_refused(void *context)
{
    (*(int *)context)++;
}

static void test_who_writes_too_much_hears_of_what_was_refused(void **state)
{
    (void)state;
    open_with((struct redis_config){ .max_pending = 10 });
    int refused = 0;
    redis_on_refused(fixture.redis, count_refused, &refused);
    const struct str push[] = { STR("RPUSH"), STR("much"), STR("x") };
    assert_false(redis_has_room(fixture.redis)); /* not connected yet */
    redis_command(fixture.redis, push, 3, NULL, NULL);
    assert_int_equal(refused, 0);
    await_up();
    for (int i = 0; i < 12; i++) {
        assert_int_equal(redis_has_room(fixture.redis), i < 5);
        redis_command(fixture.redis, push, 3, NULL, NULL);
    }
    assert_int_equal(refused, 2);
    struct answer answer = { 0 };
    ask(&answer, "LLEN", "much", NULL); /* refused, too, but its asker knows */
    await(&answer);
    assert_int_equal(answer.err, ERR_UNAVAILABLE);
    assert_int_equal(refused, 2);
    struct answer again = { 0 };
    ask(&again, "LLEN", "much", NULL);
    await(&again);
    assert_int_equal(again.integer, 10);
    assert_true(redis_has_room(fixture.redis));
}

/* G09 */
static void test_errors_nil_and_unexpected_types_are_values(void **state)
{
    (void)state;
    open_up();
    struct answer set = { 0 };
    struct answer wrong = { 0 };
    struct answer nil = { 0 };
    struct answer text = { 0 };
    ask(&set, "SET", "a-string", "x");
    ask(&wrong, "HGETALL", "a-string", NULL);
    ask(&nil, "GET", "nothing", NULL);
    ask(&text, "GET", "a-string", NULL);
    await(&text);
    assert_int_equal(set.type, REDIS_STATUS);
    assert_int_equal(wrong.err, ERR_OK);
    assert_int_equal(wrong.type, REDIS_ERROR);
    assert_int_equal(strncmp(wrong.text, "WRONGTYPE", 9), 0);
    assert_int_equal(nil.type, REDIS_NIL);
    assert_string_equal(text.text, "x");
    assert_int_equal(text.inner.type, REDIS_NIL); /* element of something that is no array */
    assert_true(redis_is_up(fixture.redis));
}

static void test_nested_arrays_are_read_by_index(void **state)
{
    (void)state;
    open_up();
    struct answer answer = { 0 };
    ask(&answer, "EVAL", "return {1, {42, 'x'}}", "0");
    await(&answer);
    assert_int_equal(answer.type, REDIS_ARRAY);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.inner.type, REDIS_INTEGER);
    assert_int_equal(answer.inner.integer, 42);
}

static void test_binary_and_empty_arguments_survive(void **state)
{
    (void)state;
    open_up();
    struct str args[] = { STR("SET"), STR("bin"), STR("a\0\r\nb") };
    redis_command(fixture.redis, args, 3, NULL, NULL);
    struct answer length = { 0 };
    struct answer echo = { 0 };
    ask(&length, "STRLEN", "bin", NULL);
    ask(&echo, "ECHO", "", NULL);
    await(&echo);
    assert_int_equal(length.integer, 5);
    assert_int_equal(echo.type, REDIS_STRING);
}

/* G09: replies beyond the ceilings cost the connection, not the memory. */
static void test_oversized_replies_drop_the_connection(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "return string.rep('x', 20971520)",
        "local t = {} for i = 1, 1100000 do t[i] = 1 end return t",
        "local t = {} local s = string.rep('x', 65536) for i = 1, 400 do t[i] = s end return t",
    };
    for (size_t i = 0; i < 3; i++) {
        open_with((struct redis_config){ .command_timeout_ms = WAIT_MS });
        await_up();
        struct answer answer = { 0 };
        ask(&answer, "EVAL", scripts[i], "0");
        await(&answer);
        assert_int_equal(answer.err, ERR_UNAVAILABLE);
        await_up();
        assert_int_equal(fixture.ups, 2);
        close_redis(NULL);
    }
}

/* ---- faults */

static void test_without_an_address_it_is_never_up(void **state)
{
    (void)state;
    static char none[] = "";
    open_with((struct redis_config){ .address = none });
    struct answer answer = { 0 };
    ask(&answer, "PING", NULL, NULL);
    assert_false(answer.is_done); /* never from inside the call */
    await(&answer);
    assert_int_equal(answer.err, ERR_UNAVAILABLE);
    assert_false(redis_is_up(fixture.redis));
}

static void test_too_many_pending_commands_are_refused(void **state)
{
    (void)state;
    open_with((struct redis_config){ .max_pending = 2 });
    await_up();
    struct answer list[3] = { 0 };
    for (int i = 0; i < 3; i++) {
        ask(&list[i], "PING", NULL, NULL);
    }
    await(&list[2]);
    await(&list[1]);
    assert_int_equal(list[1].err, ERR_OK);
    assert_int_equal(list[2].err, ERR_UNAVAILABLE);
}

/* G08, T05 */
static void test_killed_and_restarted_redis_is_found_again(void **state)
{
    (void)state;
    open_with((struct redis_config){ .command_timeout_ms = WAIT_MS });
    await_up();
    struct answer paused = { 0 };
    ask(&paused, "CLIENT", "PAUSE", "9000");
    await(&paused);
    struct answer lost = { 0 };
    ask(&lost, "GET", "x", NULL);
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 20);
    scratch_do("scratch-redis", "crash", fixture.dir);
    await(&lost);
    assert_int_equal(lost.err, ERR_UNAVAILABLE);
    assert_int_equal(fixture.downs, 1);
    struct answer refused = { 0 };
    ask(&refused, "GET", "x", NULL);
    await(&refused);
    assert_int_equal(refused.err, ERR_UNAVAILABLE);
    scratch_do("scratch-redis", "start", fixture.dir);
    await_up();
    struct answer after = { 0 };
    ask(&after, "PING", NULL, NULL);
    await(&after);
    assert_string_equal(after.text, "PONG");
    assert_int_equal(fixture.ups, 2);
}

/* G08: CLIENT PAUSE */
static void test_a_command_without_reply_times_out_and_the_client_recovers(void **state)
{
    (void)state;
    open_up();
    struct answer paused = { 0 };
    ask(&paused, "CLIENT", "PAUSE", "700");
    await(&paused);
    struct answer first = { 0 };
    ask(&first, "GET", "x", NULL);
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, COMMAND_TIMEOUT_MS / 2);
    struct answer second = { 0 };
    ask(&second, "GET", "x", NULL);
    await(&second);
    assert_int_equal(first.err, ERR_TIMEOUT);
    assert_int_not_equal(second.err, ERR_OK);
    assert_true(is_down(NULL));
    await_up();
    assert_int_equal(fixture.downs, 1);
}

static char *write_secret(const char *secret)
{
    static char path[160];
    (void)snprintf(path, sizeof(path), "%s/secret", fixture.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(secret, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    return path;
}

/* G08: NOAUTH and a wrong password keep it down, the right one brings it up. */
static void test_authentication(void **state)
{
    (void)state;
    open_up();
    struct str args[] = { STR("CONFIG"), STR("SET"), STR("requirepass"), STR("sesame") };
    struct answer set = { 0 };
    redis_command(fixture.redis, args, 4, on_answer, &set);
    await(&set);
    close_redis(NULL);
    bool never = false;

    open_with((struct redis_config){ 0 });
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 100);
    assert_int_equal(fixture.ups, 0);
    close_redis(NULL);

    open_with((struct redis_config){ .password_file = write_secret("wrong\n") });
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 100);
    assert_int_equal(fixture.ups, 0);
    close_redis(NULL);

    open_with((struct redis_config){ .password_file = write_secret("sesame\n") });
    await_up();
    args[3] = STR("");
    struct answer unset = { 0 };
    redis_command(fixture.redis, args, 4, on_answer, &unset);
    await(&unset);
}

static void test_the_primary_is_found_through_the_first_sentinel_that_answers(void **state)
{
    (void)state;
    char command[256];
    (void)snprintf(command, sizeof(command), "tests/lib/scratch-redis sentinel %s", fixture.dir);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    int port = 0;
    assert_int_equal(fscanf(pipe, "%d", &port), 1);
    assert_int_equal(pclose(pipe), 0);

    static char none[] = "";
    char master[] = "main";
    char dead[] = "127.0.0.1:1";
    char alive[32];
    (void)snprintf(alive, sizeof(alive), "127.0.0.1:%d", port);
    char *sentinels[] = { dead, alive };
    open_with((struct redis_config){
            .address = none,
            .sentinels = { sentinels, 2 },
            .sentinel_master = master,
    });
    await_up();
    struct answer answer = { 0 };
    ask(&answer, "PING", NULL, NULL);
    await(&answer);
    assert_string_equal(answer.text, "PONG");
    close_redis(NULL);

    char other[] = "nobody"; /* a name the Sentinel does not know */
    open_with((struct redis_config){
            .address = none,
            .sentinels = { sentinels + 1, 1 },
            .sentinel_master = other,
    });
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 200);
    assert_int_equal(fixture.ups, 0);
}

static void test_close_ends_pending_commands(void **state)
{
    (void)state;
    open_up();
    struct answer answer = { 0 };
    ask(&answer, "PING", NULL, NULL);
    close_redis(NULL);
    assert_true(answer.is_done);
    assert_int_equal(answer.err, ERR_UNAVAILABLE);
}

static int set_up(void **state)
{
    (void)state;
    scratch_start("scratch-redis", fixture.dir);
    (void)snprintf(fixture.address, sizeof(fixture.address), "unix:%s/redis.sock", fixture.dir);
    fixture.loop = loop_create(&clock_system);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_destroy(fixture.loop);
    scratch_do("scratch-redis", "stop", fixture.dir);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, close_redis)
    const struct CMUnitTest tests[] = {
        TEST(test_commands_of_one_turn_are_answered_in_order),
        TEST(test_guarded_writes_are_left_out_and_questions_are_not),
        TEST(test_guarded_writes_that_are_late_never_leave),
        TEST(test_who_writes_too_much_hears_of_what_was_refused),
        TEST(test_errors_nil_and_unexpected_types_are_values),
        TEST(test_nested_arrays_are_read_by_index),
        TEST(test_binary_and_empty_arguments_survive),
        TEST(test_oversized_replies_drop_the_connection),
        TEST(test_without_an_address_it_is_never_up),
        TEST(test_too_many_pending_commands_are_refused),
        TEST(test_killed_and_restarted_redis_is_found_again),
        TEST(test_a_command_without_reply_times_out_and_the_client_recovers),
        TEST(test_authentication),
        TEST(test_the_primary_is_found_through_the_first_sentinel_that_answers),
        TEST(test_close_ends_pending_commands),
    };
    return cmocka_run_group_tests_name("redis", tests, set_up, tear_down);
}

/* Session records as Redis keeps them, and for how long. */
#include "router/session_registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/redis.h"
#include "tests/lib/scratch_servers.h"

static void record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct session_record record = { .session = { UINT64_MAX, 7 },
        .edge = STR("edge-1"),
        .is_available = true,
        .has_blocklist = true,
        .has_carbons = true,
        .is_interested = true,
        .priority = -128,
        .handled = UINT32_MAX };
    struct buf out;
    buf_init(&out, 0);
    session_record_encode(&out, &record);
    assert_true(out.len < 65); /* a longer value turns the hash into a table of its own */
    struct session_record back;
    assert_int_equal(session_record_decode(buf_view(&out), &back), ERR_OK);
    assert_true(id128_equal(back.session, record.session));
    assert_true(str_equal(back.edge, record.edge));
    assert_true(back.is_available && back.is_interested);
    assert_true(back.has_carbons && back.has_blocklist);
    assert_int_equal(back.priority, -128);
    assert_int_equal(back.handled, UINT32_MAX);
    buf_fini(&out);
}

static void broken_records_are_refused(void **state)
{
    (void)state;
    struct session_record record;
    assert_int_equal(session_record_decode(STR(""), &record), ERR_INVALID);
    assert_int_equal(session_record_decode(STR("\1short"), &record), ERR_INVALID);
    assert_int_equal(
            session_record_decode(STR("\2aaaaaaaabbbbbbbbcdeeeeedge"), &record), ERR_INVALID);
    assert_int_equal(session_record_decode(STR("\1aaaaaaaabbbbbbbbcdeeee"), &record), ERR_INVALID);
}

static void managed_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct session_record record = { .session = { 5, 7 },
        .edge = STR("edge-1"),
        .handled = 3,
        .has_sm = true,
        .sm = { .is_resumable = true,
                .is_detached = true,
                .base_sequence = UINT32_MAX,
                .base_counter = 1,
                .acked = 2,
                .attach = 3,
                .max_s = 300,
                .detached_wall_ms = INT64_C(1700000000123) } };
    struct buf out;
    buf_init(&out, 0);
    session_record_encode(&out, &record);
    struct session_record back;
    assert_int_equal(session_record_decode(buf_view(&out), &back), ERR_OK);
    assert_true(str_equal(back.edge, record.edge));
    assert_false(back.is_available);
    assert_true(back.has_sm && back.sm.is_resumable && back.sm.is_detached);
    assert_int_equal(back.sm.base_sequence, UINT32_MAX);
    assert_int_equal(back.sm.base_counter, 1);
    assert_int_equal(back.sm.acked, 2);
    assert_int_equal(back.sm.attach, 3);
    assert_int_equal(back.sm.max_s, 300);
    assert_int_equal(back.sm.granted, 0);
    assert_int_equal(back.sm.detached_wall_ms, record.sm.detached_wall_ms);
    record.sm.is_detached = false;
    record.sm.granted = UINT32_MAX;
    buf_clear(&out);
    session_record_encode(&out, &record);
    assert_int_equal(session_record_decode(buf_view(&out), &back), ERR_OK);
    assert_int_equal(back.sm.granted, UINT32_MAX);
    assert_int_equal(back.sm.detached_wall_ms, 0);
    buf_fini(&out);
}

static void presence_comes_back_as_it_was(void **state)
{
    (void)state;
    struct session_record record = { .presence = STR("<show>away</show>"),
        .presence_child_count = 1,
        .directed = STR("room@example.org/nick\0nurse@example.org\0") };
    struct buf out;
    buf_init(&out, 0);
    session_presence_encode(&out, &record);
    struct session_record back = { .presence = STR_NULL };
    assert_int_equal(session_presence_decode(buf_view(&out), &back), ERR_OK);
    assert_true(str_equal(back.presence, record.presence));
    assert_true(str_equal(back.directed, record.directed));
    assert_int_equal(back.presence_child_count, 1);
    for (size_t len = 0; len < 8 + record.presence.len; len++) {
        struct str part = str_from(buf_view(&out).ptr, len);
        assert_int_equal(session_presence_decode(part, &back), ERR_INVALID);
    }
    out.data[out.start + out.len - 1] = 'x';
    assert_int_equal(session_presence_decode(buf_view(&out), &back), ERR_INVALID);
    buf_fini(&out);
}

/* ---- a real Redis (tests/lib/scratch-redis) */

struct look {
    int64_t integer;
    bool is_done;
};

static void on_integer(void *context, enum err err, const struct redis_value *reply)
{
    struct look *look = context;
    look->integer = err == ERR_OK && reply->type == REDIS_INTEGER ? reply->integer : -9;
    look->is_done = true;
}

static int64_t ask(struct loop *loop, struct redis *redis, const char *verb, const char *rest)
{
    struct str args[3] = { str_from_cstr(verb) };
    struct str words = str_from_cstr(rest);
    size_t count = 1;
    while (words.len > 0 && count < 3) {
        args[count++] = str_cut(&words, ' ');
    }
    struct look look = { .is_done = false };
    redis_command(redis, args, count, on_integer, &look);
    assert_true(scratch_run_until(loop, scratch_is_true, &look.is_done, 10000));
    return look.integer;
}

static bool is_up(void *redis)
{
    return redis_is_up(redis);
}

static void records_that_are_renewed_live_on(void **state)
{
    (void)state;
    static char none[] = "";
    char dir[128] = "";
    char address[160];
    scratch_start("scratch-redis", dir);
    (void)snprintf(address, sizeof(address), "unix:%s/redis.sock", dir);
    struct loop *loop = loop_create(&clock_system);
    const struct redis_config config = {
        .address = address,
        .user = none,
        .password_file = none,
        .sentinel_master = none,
        .connect_timeout_ms = 1000,
        .command_timeout_ms = 1000,
        .reconnect_min_ms = 10,
        .reconnect_max_ms = 50,
        .max_pending = 1000,
    };
    struct redis *redis = NULL;
    assert_int_equal(redis_open(loop, &config, &redis), ERR_OK);
    assert_true(scratch_run_until(loop, is_up, redis, 10000));
    const struct session_record record = {
        .resource = STR("phone"), .edge = STR("e1"), .presence = STR("<show>away</show>")
    };
    session_registry_write(redis, STR("a@x"), &record);
    session_registry_write_presence(redis, STR("a@x"), &record);
    assert_int_equal(ask(loop, redis, "EXPIRE", "s:{a@x} 100"), 1);
    assert_int_equal(ask(loop, redis, "EXPIRE", "p:{a@x} 100"), 1);
    session_registry_renew(redis, STR("a@x"));
    session_registry_renew(redis, STR("b@x"));
    assert_in_range(ask(loop, redis, "TTL", "s:{a@x}"), 172000, 172800);
    assert_in_range(ask(loop, redis, "TTL", "p:{a@x}"), 172000, 172800);
    assert_int_equal(ask(loop, redis, "EXISTS", "s:{b@x}"), 0);
    redis_close(redis);
    loop_destroy(loop);
    scratch_do("scratch-redis", "stop", dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_comes_back_as_it_was),
        cmocka_unit_test(managed_record_comes_back_as_it_was),
        cmocka_unit_test(broken_records_are_refused),
        cmocka_unit_test(presence_comes_back_as_it_was),
        cmocka_unit_test(records_that_are_renewed_live_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Session records as Redis keeps them. */
#include "router/session_registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
    assert_int_equal(back.sm.detached_wall_ms, record.sm.detached_wall_ms);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_comes_back_as_it_was),
        cmocka_unit_test(managed_record_comes_back_as_it_was),
        cmocka_unit_test(broken_records_are_refused),
        cmocka_unit_test(presence_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

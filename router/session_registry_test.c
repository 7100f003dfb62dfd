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
    assert_true(back.is_available);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_comes_back_as_it_was),
        cmocka_unit_test(broken_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

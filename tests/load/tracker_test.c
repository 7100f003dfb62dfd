/* Lost, twice, out of order, never sent: each is counted, and only once. */
#include "tests/load/tracker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct tracker sent(uint64_t count)
{
    struct tracker tracker = { 0 };
    for (uint64_t i = 1; i <= count; i++) {
        assert_int_equal(tracker_send(&tracker), i);
    }
    return tracker;
}

static void all_in_order(void **state)
{
    (void)state;
    struct tracker tracker = sent(1000);
    assert_int_equal(tracker_missing(&tracker), 1000);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(tracker_receive(&tracker, i), TRACK_EXPECTED);
    }
    assert_int_equal(tracker_missing(&tracker), 0);
    assert_int_equal(tracker.duplicates + tracker.disordered + tracker.strange, 0);
    tracker_fini(&tracker);
}

static void what_never_comes_is_missing(void **state)
{
    (void)state;
    struct tracker tracker = sent(300);
    for (uint64_t i = 1; i <= 300; i++) {
        if (i % 100 != 0) {
            assert_int_equal(tracker_receive(&tracker, i), TRACK_EXPECTED);
        }
    }
    assert_int_equal(tracker_missing(&tracker), 3);
    assert_int_equal(tracker.disordered, 0);
    tracker_fini(&tracker);
}

static void twice_is_a_duplicate_however_late(void **state)
{
    (void)state;
    struct tracker tracker = sent(200);
    tracker_receive(&tracker, 1);
    assert_int_equal(tracker_receive(&tracker, 1), TRACK_DUPLICATE);
    tracker_receive(&tracker, 200);
    assert_int_equal(tracker_receive(&tracker, 1), TRACK_DUPLICATE);
    assert_int_equal(tracker_receive(&tracker, 200), TRACK_DUPLICATE);
    assert_int_equal(tracker.duplicates, 3);
    assert_int_equal(tracker.arrived, 2);
    assert_int_equal(tracker_missing(&tracker), 198);
    tracker_fini(&tracker);
}

static void behind_a_later_one_is_out_of_order_and_not_lost(void **state)
{
    (void)state;
    struct tracker tracker = sent(3);
    assert_int_equal(tracker_receive(&tracker, 3), TRACK_EXPECTED);
    assert_int_equal(tracker_receive(&tracker, 1), TRACK_DISORDERED);
    assert_int_equal(tracker_receive(&tracker, 2), TRACK_DISORDERED);
    assert_int_equal(tracker.disordered, 2);
    assert_int_equal(tracker_missing(&tracker), 0);
    tracker_fini(&tracker);
}

static void what_was_never_sent_is_strange(void **state)
{
    (void)state;
    struct tracker tracker = sent(3);
    assert_int_equal(tracker_receive(&tracker, 0), TRACK_STRANGE);
    assert_int_equal(tracker_receive(&tracker, 4), TRACK_STRANGE);
    assert_int_equal(tracker_receive(&tracker, UINT64_MAX), TRACK_STRANGE);
    assert_int_equal(tracker.strange, 3);
    assert_int_equal(tracker_missing(&tracker), 3);
    tracker_fini(&tracker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_in_order),
        cmocka_unit_test(what_never_comes_is_missing),
        cmocka_unit_test(twice_is_a_duplicate_however_late),
        cmocka_unit_test(behind_a_later_one_is_out_of_order_and_not_lost),
        cmocka_unit_test(what_was_never_sent_is_strange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

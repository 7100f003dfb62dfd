/* Delivered ids are confirmed by acknowledged bytes only, and repeats are recognised. */
#include "edge/delivered_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void entry_is_due_only_when_its_last_byte_is_acknowledged(void **state)
{
    (void)state;
    struct delivered_ring ring = { 0 };
    int64_t ids[8];
    assert_true(delivered_ring_push(&ring, 11, 100));
    assert_true(delivered_ring_push(&ring, 12, 250));
    assert_int_equal(delivered_ring_due(&ring, 99, ids, 8), 0);
    assert_int_equal(delivered_ring_due(&ring, 100, ids, 8), 1);
    assert_int_equal(ids[0], 11);
    assert_int_equal(delivered_ring_due(&ring, 250, ids, 8), 2);
    delivered_ring_fini(&ring);
}

static void repeat_is_told_apart_before_and_after_confirmation(void **state)
{
    (void)state;
    struct delivered_ring ring = { 0 };
    assert_int_equal(delivered_ring_find(&ring, 11), DELIVERED_UNKNOWN);
    assert_true(delivered_ring_push(&ring, 11, 100));
    assert_int_equal(delivered_ring_find(&ring, 11), DELIVERED_SENT);
    delivered_ring_confirm(&ring, 1);
    assert_int_equal(delivered_ring_find(&ring, 11), DELIVERED_CONFIRMED);
    assert_int_equal(delivered_ring_find(&ring, 12), DELIVERED_UNKNOWN);
    delivered_ring_fini(&ring);
}

static void report_that_was_not_sent_is_due_again(void **state)
{
    (void)state;
    struct delivered_ring ring = { 0 };
    int64_t ids[2];
    assert_true(delivered_ring_push(&ring, 11, 100));
    assert_int_equal(delivered_ring_due(&ring, 100, ids, 2), 1);
    assert_int_equal(delivered_ring_due(&ring, 100, ids, 2), 1);
    delivered_ring_confirm(&ring, 1);
    assert_int_equal(delivered_ring_due(&ring, 100, ids, 2), 0);
    delivered_ring_fini(&ring);
}

static void memory_is_bounded_for_a_client_that_reads(void **state)
{
    (void)state;
    struct delivered_ring ring = { 0 };
    for (int64_t id = 1; id <= 100000; id++) {
        assert_true(delivered_ring_push(&ring, id, (uint64_t)id));
        delivered_ring_confirm(&ring, 1);
    }
    assert_int_equal(ring.capacity, DELIVERED_RING_REMEMBERED);
    assert_int_equal(delivered_ring_find(&ring, 100000), DELIVERED_CONFIRMED);
    assert_int_equal(delivered_ring_find(&ring, 100000 - DELIVERED_RING_REMEMBERED + 1),
            DELIVERED_CONFIRMED);
    assert_int_equal(
            delivered_ring_find(&ring, 100000 - DELIVERED_RING_REMEMBERED), DELIVERED_UNKNOWN);
    delivered_ring_fini(&ring);
}

static void nothing_unconfirmed_is_forgotten_before_the_ceiling(void **state)
{
    (void)state;
    struct delivered_ring ring = { 0 };
    int64_t id = 1;
    while (delivered_ring_push(&ring, id, (uint64_t)id)) {
        id++;
    }
    assert_int_equal(id - 1, DELIVERED_RING_MAX);
    assert_int_equal(delivered_ring_find(&ring, 1), DELIVERED_SENT);
    int64_t ids[4];
    assert_int_equal(delivered_ring_due(&ring, UINT64_MAX, ids, 4), 4);
    assert_int_equal(ids[0], 1);
    delivered_ring_fini(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_is_due_only_when_its_last_byte_is_acknowledged),
        cmocka_unit_test(repeat_is_told_apart_before_and_after_confirmation),
        cmocka_unit_test(report_that_was_not_sent_is_due_again),
        cmocka_unit_test(memory_is_bounded_for_a_client_that_reads),
        cmocka_unit_test(nothing_unconfirmed_is_forgotten_before_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

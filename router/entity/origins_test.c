/* The memory of origins: repeats are found, the oldest ones make room. */
#include "router/entity/origins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct origin origin_of(uint32_t counter, uint32_t part)
{
    return (struct origin){ .session = { 7, 8 }, .counter = counter, .part = part & INT32_MAX };
}

static void repeat_is_found_with_its_id(void **state)
{
    (void)state;
    struct origins origins;
    origins_init(&origins);
    struct origin first = origin_of(1, 0);
    struct origin part = origin_of(1, 1);
    int64_t id = 0;
    assert_false(origins_find(&origins, &first, &id));
    origins_add(&origins, &first, 100);
    assert_false(origins_find(&origins, &part, &id));
    assert_true(origins_find(&origins, &first, &id));
    assert_int_equal(id, 100);
    origins_fini(&origins);
}

static void ring_keeps_the_newest(void **state)
{
    (void)state;
    struct origins origins;
    origins_init(&origins);
    const uint32_t total = 3 * ORIGINS_MAX + 5;
    for (uint32_t counter = 1; counter <= total; counter++) {
        struct origin origin = origin_of(counter, 0);
        origins_add(&origins, &origin, counter);
    }
    assert_int_equal(origins.capacity, ORIGINS_MAX);
    for (uint32_t counter = 1; counter <= total; counter++) {
        struct origin origin = origin_of(counter, 0);
        int64_t id = 0;
        bool is_found = origins_find(&origins, &origin, &id);
        assert_int_equal(is_found, counter > total - ORIGINS_MAX);
        assert_true(!is_found || id == counter);
    }
    origins_fini(&origins);
}

/* P5: also when many came back at once, and were many before. */
static void what_was_refused_is_remembered_like_the_rest(void **state)
{
    (void)state;
    struct origins origins;
    origins_init(&origins);
    const uint32_t total = 3 * ORIGINS_MAX + 5;
    for (uint32_t counter = 1; counter <= total; counter++) {
        struct origin origin = origin_of(counter, 0);
        int64_t id = 0;
        origins_add(&origins, &origin, ORIGIN_REFUSED);
        if (counter > 1) {
            origin.counter = counter <= ORIGINS_MAX ? 1 : counter - ORIGINS_MAX + 1;
            assert_true(origins_find(&origins, &origin, &id));
            assert_int_equal(id, ORIGIN_REFUSED);
        }
        origin.counter = total + counter;
        assert_false(origins_find(&origins, &origin, &id)); /* a chain ends */
    }
    origins_fini(&origins);
}

static void younger_is_what_was_kept_later_in_the_same_session(void **state)
{
    (void)state;
    struct origins origins;
    origins_init(&origins);
    struct origin kept = origin_of(UINT32_MAX, 0);
    struct origin refused = origin_of(3, 0);
    struct origin other = { .session = { 9, 9 }, .counter = 4 };
    origins_add(&origins, &kept, 100);
    origins_add(&origins, &refused, 99);
    origins_add(&origins, &refused, ORIGIN_REFUSED); /* taken back */
    origins_add(&origins, &other, 101);
    struct origin before = origin_of(UINT32_MAX - 1, 0);
    struct origin after = origin_of(2, 0); /* counters wrap */
    assert_true(origins_has_younger(&origins, &before));
    assert_false(origins_has_younger(&origins, &kept));
    assert_false(origins_has_younger(&origins, &after));
    assert_true(origins_has_younger(&origins, &before)); /* it has gone on meanwhile */
    struct origin next = origin_of(7, 0);
    origins_add(&origins, &next, 102); /* nobody asked */
    next.counter = 6;
    assert_true(origins_has_younger(&origins, &next));
    origins_fini(&origins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeat_is_found_with_its_id),
        cmocka_unit_test(ring_keeps_the_newest),
        cmocka_unit_test(younger_is_what_was_kept_later_in_the_same_session),
        cmocka_unit_test(what_was_refused_is_remembered_like_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

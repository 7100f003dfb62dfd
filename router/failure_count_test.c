/* Guessing gets slower and is forgotten. */
#include "router/failure_count.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/mem.h"

static void the_first_failures_are_answered_at_once(void **state)
{
    (void)state;
    struct failure_count *failures = MEM_NEW(struct failure_count);
    for (int i = 0; i < FAILURE_FREE; i++) {
        assert_int_equal(failure_count_add(failures, STR("a@b"), 5), 0);
    }
    assert_int_equal(failure_count_add(failures, STR("a@b"), 5), FAILURE_STEP_MS);
    assert_int_equal(failure_count_add(failures, STR("a@b"), 5), 2 * FAILURE_STEP_MS);
    assert_int_equal(failure_count_add(failures, STR("c@b"), 5), 0);
    free(failures);
}

/* B17: slow, but never locked: the delay has an end and goes away. */
static void the_delay_is_bounded_and_decays(void **state)
{
    (void)state;
    struct failure_count *failures = MEM_NEW(struct failure_count);
    int64_t delay = 0;
    for (int i = 0; i < 1000; i++) {
        delay = failure_count_add(failures, STR("a@b"), 1000);
    }
    assert_int_equal(delay, FAILURE_MAX_MS);
    delay = failure_count_add(failures, STR("a@b"), 1000 + 5 * FAILURE_DECAY_MS);
    assert_int_equal(delay, FAILURE_MAX_MS - 4 * FAILURE_STEP_MS);
    delay = failure_count_add(failures, STR("a@b"), 1000 + 500 * FAILURE_DECAY_MS);
    assert_int_equal(delay, 0);
    free(failures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failures_are_answered_at_once),
        cmocka_unit_test(the_delay_is_bounded_and_decays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

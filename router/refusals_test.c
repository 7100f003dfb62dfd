/* What is younger than a refused route waits for it. */
#include "router/refusals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SHARDS 4

static struct refusals *refusals;

static int start(void **state)
{
    (void)state;
    refusals = NULL;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    refusals_destroy(refusals);
    return 0;
}

static void refuse(uint64_t request)
{
    refusals_add(&refusals, SHARDS, 1, request);
}

static bool is_behind(uint64_t request)
{
    return refusals_is_behind(refusals, 1, request);
}

static void nothing_is_refused_at_first(void **state)
{
    (void)state;
    assert_false(is_behind(7));
}

static void younger_ones_are_refused_until_it_comes_again(void **state)
{
    (void)state;
    refuse(7);
    assert_true(is_behind(8));
    assert_true(is_behind(9));
    assert_false(is_behind(7));
    assert_false(is_behind(8));
}

static void an_older_one_begins_anew_too(void **state)
{
    (void)state;
    refuse(7);
    assert_false(is_behind(5));
    assert_false(is_behind(8));
}

static void other_shards_are_not_concerned(void **state)
{
    (void)state;
    refuse(7);
    assert_false(refusals_is_behind(refusals, 2, 8));
}

static void the_oldest_of_several_counts(void **state)
{
    (void)state;
    refuse(8);
    refuse(7);
    refuse(9);
    assert_true(is_behind(8));
    assert_false(is_behind(7));
}

/* Another home has answered it, and some of those behind it. */
static void one_that_never_comes_again_is_not_waited_for(void **state)
{
    (void)state;
    refuse(7);
    assert_true(is_behind(8));
    assert_true(is_behind(9));
    assert_true(is_behind(10));
    assert_false(is_behind(9));
    assert_false(is_behind(10));
}

/* The shard was elsewhere for long. */
static void an_old_refusal_costs_one_attempt(void **state)
{
    (void)state;
    refuse(7);
    assert_true(is_behind(8));
    assert_true(is_behind(1000));
    refuse(1000);
    assert_false(is_behind(1000));
    assert_false(is_behind(1001));
}

static void one_that_is_refused_again_is_waited_for_again(void **state)
{
    (void)state;
    refuse(7);
    assert_true(is_behind(8));
    assert_false(is_behind(7));
    refuse(7);
    assert_true(is_behind(8));
    assert_false(is_behind(7));
    assert_false(is_behind(8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_refused_at_first, start, stop),
        cmocka_unit_test_setup_teardown(younger_ones_are_refused_until_it_comes_again, start, stop),
        cmocka_unit_test_setup_teardown(an_older_one_begins_anew_too, start, stop),
        cmocka_unit_test_setup_teardown(other_shards_are_not_concerned, start, stop),
        cmocka_unit_test_setup_teardown(the_oldest_of_several_counts, start, stop),
        cmocka_unit_test_setup_teardown(one_that_never_comes_again_is_not_waited_for, start, stop),
        cmocka_unit_test_setup_teardown(an_old_refusal_costs_one_attempt, start, stop),
        cmocka_unit_test_setup_teardown(one_that_is_refused_again_is_waited_for_again, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

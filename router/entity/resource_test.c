/* The window of a session's inputs: which counter is taken, handled, committed; also across the
 * wrap of 2^32. */
#include "router/entity/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct resource *fresh(uint32_t handled)
{
    struct resource *resource =
            resource_create((struct id128){ 1, 2 }, "e1", STR("a@x"), STR("phone"));
    assert_true(str_equal(resource->full, STR("a@x/phone")));
    assert_true(str_equal(resource->name, STR("phone")));
    resource_set_handled(resource, handled);
    return resource;
}

static struct input_work *take(struct resource *resource, uint32_t counter, bool is_durable)
{
    assert_int_equal(resource_take_input(resource, counter), RESOURCE_TAKEN);
    struct input_work *work = resource_find_work(resource, counter);
    work->pending = 1;
    work->unappended = 1;
    work->is_durable = is_durable;
    return work;
}

static void counters_are_taken_once_and_without_gaps(void **state)
{
    (void)state;
    struct resource *resource = fresh(0);
    assert_int_equal(resource_take_input(resource, 2), RESOURCE_GAP);
    take(resource, 1, false);
    assert_int_equal(resource_take_input(resource, 1), RESOURCE_IN_WORK);
    resource_find_work(resource, 1)->pending = 0;
    resource_advance(resource);
    assert_int_equal(resource_take_input(resource, 1), RESOURCE_REPEATED);
    assert_true(resource_may_tell_handled(resource));
    resource_destroy(resource);
}

static void handled_moves_over_the_contiguous_prefix_only(void **state)
{
    (void)state;
    struct resource *resource = fresh(0);
    struct input_work *first = take(resource, 1, false);
    struct input_work *second = take(resource, 2, false);
    second->pending = 0;
    resource_advance(resource);
    assert_int_equal(resource->handled, 0);
    first->pending = 0;
    resource_advance(resource);
    assert_int_equal(resource->handled, 2);
    assert_null(resource->works);
    resource_destroy(resource);
}

static void durable_input_is_committed_with_its_entry_and_told_after_both(void **state)
{
    (void)state;
    struct resource *resource = fresh(0);
    struct input_work *work = take(resource, 1, true);
    uint32_t counter = 0;
    assert_false(resource_next_commit(resource, &counter));
    work->unappended = 0;
    assert_true(resource_next_commit(resource, &counter));
    assert_int_equal(counter, 1);
    resource->input_asked = 1;
    assert_false(resource_next_commit(resource, &counter));
    work->pending = 0;
    resource_advance(resource);
    assert_false(resource_may_tell_handled(resource));
    resource->input_committed = 1;
    assert_true(resource_may_tell_handled(resource));
    resource_destroy(resource);
}

static void counters_wrap(void **state)
{
    (void)state;
    struct resource *resource = fresh(UINT32_MAX - 1);
    struct input_work *last = take(resource, UINT32_MAX, true);
    struct input_work *first = take(resource, 0, true);
    last->pending = 0;
    last->unappended = 0;
    first->pending = 0;
    first->unappended = 0;
    resource_advance(resource);
    assert_int_equal(resource->handled, 0);
    uint32_t counter = 99;
    assert_true(resource_next_commit(resource, &counter));
    assert_int_equal(counter, 0);
    assert_int_equal(resource_take_input(resource, UINT32_MAX), RESOURCE_REPEATED);
    resource_destroy(resource);
}

static void announced_counter_ends_older_work(void **state)
{
    (void)state;
    struct resource *resource = fresh(0);
    take(resource, 1, true);
    take(resource, 2, true);
    resource_set_handled(resource, 1);
    assert_null(resource_find_work(resource, 1));
    assert_non_null(resource_find_work(resource, 2));
    resource_set_handled(resource, 0); /* older news change nothing */
    assert_int_equal(resource->handled, 1);
    assert_int_equal(resource->taken, 2);
    resource_destroy(resource);
    resource_destroy(NULL);
}

static void only_available_sessions_of_no_negative_priority_are_eligible(void **state)
{
    (void)state;
    struct resource *resource = fresh(0);
    assert_false(resource_is_eligible(resource));
    resource->is_available = true;
    assert_true(resource_is_eligible(resource));
    resource->priority = -1;
    assert_false(resource_is_eligible(resource));
    resource_destroy(resource);
}

static void directed_addresses_are_kept_once(void **state)
{
    (void)state;
    struct resource *resource =
            resource_create(id128_random(), "e1", STR("alice@example.org"), STR("phone"));
    resource_add_directed(resource, STR("a@b"));
    resource_add_directed(resource, STR("c@d/e"));
    resource_add_directed(resource, STR("a@b"));
    resource_add_directed(resource, STR("f@g"));
    assert_int_equal(resource->directed_count, 3);
    resource_remove_directed(resource, STR("c@d/e"));
    resource_remove_directed(resource, STR("nobody@there"));
    assert_int_equal(resource->directed_count, 2);
    struct str at = STR_NULL;
    assert_true(resource_next_directed(resource, &at) && str_equal(at, STR("a@b")));
    assert_true(resource_next_directed(resource, &at) && str_equal(at, STR("f@g")));
    assert_false(resource_next_directed(resource, &at));
    assert_false(resource_has_directed(resource, STR("c@d/e")));
    resource_clear_directed(resource);
    assert_int_equal(resource->directed_count, 0);
    assert_false(resource_has_directed(resource, STR("a@b")));
    resource_destroy(resource);
}

/* For a while after its edge, or its client, has spoken to the new home. */
static void what_comes_soon_after_a_move_may_be_a_repeat(void **state)
{
    (void)state;
    struct resource *resource =
            resource_create((struct id128){ 1, 2 }, "e1", STR("a@x"), STR("phone"));
    resource_repeats_from(resource, 1000); /* it was bound here */
    assert_false(resource_may_repeat(resource, 1001));
    resource->moved_ms = 1000;
    assert_true(resource_may_repeat(resource, 900)); /* it waited while the account was read */
    assert_true(resource_may_repeat(resource, 30999));
    assert_false(resource_may_repeat(resource, 31000));
    resource_repeats_from(resource, 20000);
    assert_true(resource_may_repeat(resource, 31000));
    resource_destroy(resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directed_addresses_are_kept_once),
        cmocka_unit_test(counters_are_taken_once_and_without_gaps),
        cmocka_unit_test(handled_moves_over_the_contiguous_prefix_only),
        cmocka_unit_test(durable_input_is_committed_with_its_entry_and_told_after_both),
        cmocka_unit_test(counters_wrap),
        cmocka_unit_test(what_comes_soon_after_a_move_may_be_a_repeat),
        cmocka_unit_test(announced_counter_ends_older_work),
        cmocka_unit_test(only_available_sessions_of_no_negative_priority_are_eligible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Inputs are kept until they are handled and repeated in order (P1, P3, F06). */
#include "edge/input_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_next(struct input_queue *queue, const char *expected)
{
    struct str record;
    assert_true(input_queue_peek(queue, &record));
    assert_true(str_equal(record, str_from_cstr(expected)));
    input_queue_sent(queue);
}

static void fill(struct input_queue *queue, uint32_t first_counter)
{
    input_queue_push(queue, first_counter, STR("one"));
    input_queue_push(queue, first_counter + 1, STR("two"));
    input_queue_push(queue, first_counter + 2, STR("three"));
}

static void sends_each_once_in_order(void **state)
{
    (void)state;
    struct input_queue queue = { 0 };
    struct str record;
    fill(&queue, 1);
    assert_next(&queue, "one");
    assert_next(&queue, "two");
    assert_next(&queue, "three");
    assert_false(input_queue_peek(&queue, &record));
    input_queue_push(&queue, 4, STR("four"));
    assert_next(&queue, "four");
    assert_int_equal(queue.count, 4);
    input_queue_fini(&queue);
}

static void repeats_what_is_not_handled_after_a_rewind(void **state)
{
    (void)state;
    struct input_queue queue = { 0 };
    fill(&queue, 1);
    assert_next(&queue, "one");
    assert_next(&queue, "two");
    assert_true(input_queue_handled(&queue, 1) > 0);
    input_queue_rewind(&queue);
    assert_next(&queue, "two");
    assert_next(&queue, "three");
    input_queue_fini(&queue);
}

static void replaced_one_keeps_its_place(void **state)
{
    (void)state;
    struct input_queue queue = { 0 };
    fill(&queue, UINT32_MAX);
    assert_next(&queue, "one");
    input_queue_replace(&queue, UINT32_MAX, STR("1"));
    input_queue_replace(&queue, 0, STR("2"));
    input_queue_replace(&queue, 7, STR("nobody"));
    assert_next(&queue, "2");
    input_queue_replace(&queue, 1, STR("3"));
    input_queue_push(&queue, 2, STR("four"));
    input_queue_rewind(&queue);
    assert_next(&queue, "1");
    assert_next(&queue, "2");
    assert_next(&queue, "3");
    assert_next(&queue, "four");
    (void)input_queue_handled(&queue, 2);
    assert_int_equal(queue.bytes, 0);
}

static void handled_frees_all_memory_and_repeats_do_no_harm(void **state)
{
    (void)state;
    struct input_queue queue = { 0 };
    fill(&queue, 1);
    size_t bytes = queue.bytes;
    assert_int_equal(input_queue_handled(&queue, 3), bytes);
    assert_int_equal(queue.count, 0);
    assert_int_equal(queue.bytes, 0);
    assert_int_equal(input_queue_handled(&queue, 3), 0);
    assert_int_equal(input_queue_handled(&queue, 1), 0);
    input_queue_fini(&queue);
}

static void counter_beyond_the_last_one_drops_nothing(void **state)
{
    (void)state;
    struct input_queue queue = { 0 };
    fill(&queue, 1);
    assert_int_equal(input_queue_handled(&queue, 4), 0);
    assert_int_equal(queue.count, 3);
    input_queue_fini(&queue);
}

static void counters_wrap_at_two_to_the_thirtytwo(void **state)
{
    (void)state;
    struct input_queue queue = { 0 };
    fill(&queue, UINT32_MAX - 1); /* ..., 2^32 - 1, 0 */
    assert_true(input_queue_handled(&queue, UINT32_MAX) > 0);
    assert_int_equal(queue.count, 1);
    assert_true(input_queue_handled(&queue, 0) > 0);
    assert_int_equal(queue.count, 0);
    input_queue_fini(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_each_once_in_order),
        cmocka_unit_test(replaced_one_keeps_its_place),
        cmocka_unit_test(repeats_what_is_not_handled_after_a_rewind),
        cmocka_unit_test(handled_frees_all_memory_and_repeats_do_no_harm),
        cmocka_unit_test(counter_beyond_the_last_one_drops_nothing),
        cmocka_unit_test(counters_wrap_at_two_to_the_thirtytwo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

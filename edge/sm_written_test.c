/* What was written is remembered as long as a next home may have to hear of it. */
#include "edge/sm_written.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint32_t sequences[SM_WRITTEN_MAX];
static int64_t log_ids[SM_WRITTEN_MAX];

static void push_many(struct sm_written *written, uint32_t first, uint32_t count, uint32_t acked)
{
    for (uint32_t i = 0; i < count; i++) {
        sm_written_push(written, first + i, 1000 + (int64_t)i, acked);
    }
}

static void entries_come_oldest_first(void **state)
{
    (void)state;
    struct sm_written written = { 0 };
    sm_written_list(&written, sequences, log_ids);
    sm_written_push(&written, 4, 70, 0);
    sm_written_push(&written, 9, 71, 0); /* volatile ones between them are not here */
    sm_written_list(&written, sequences, log_ids);
    assert_int_equal(written.count, 2);
    assert_int_equal(sequences[0], 4);
    assert_int_equal(log_ids[0], 70);
    assert_int_equal(sequences[1], 9);
    assert_int_equal(log_ids[1], 71);
    sm_written_fini(&written);
    assert_int_equal(written.count, 0);
}

static void acknowledged_ones_are_remembered_for_a_while(void **state)
{
    (void)state;
    struct sm_written written = { 0 };
    push_many(&written, 1, 500, 500);
    assert_int_equal(written.count, SM_WRITTEN_REMEMBERED);
    sm_written_list(&written, sequences, log_ids);
    assert_int_equal(sequences[0], 500 - SM_WRITTEN_REMEMBERED + 1);
    assert_int_equal(sequences[SM_WRITTEN_REMEMBERED - 1], 500);
    assert_int_equal(log_ids[SM_WRITTEN_REMEMBERED - 1], 1499);
    sm_written_fini(&written);
}

static void what_is_not_acknowledged_stays(void **state)
{
    (void)state;
    struct sm_written written = { 0 };
    push_many(&written, 1, 500, 10);
    assert_true(written.count >= 490);
    sm_written_list(&written, sequences, log_ids);
    assert_true(sequences[0] <= 11);
    assert_int_equal(sequences[written.count - 1], 500);
    sm_written_fini(&written);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct sm_written written = { 0 };
    push_many(&written, 1, 3 * SM_WRITTEN_MAX, 0);
    assert_int_equal(written.count, SM_WRITTEN_MAX);
    sm_written_list(&written, sequences, log_ids);
    assert_int_equal(sequences[0], 2 * SM_WRITTEN_MAX + 1);
    sm_written_fini(&written);
}

static void numbers_wrap(void **state)
{
    (void)state;
    struct sm_written written = { 0 };
    push_many(&written, UINT32_MAX - 100, 300, UINT32_MAX - 101);
    assert_int_equal(written.count, 300);
    push_many(&written, 199, 1, 198);
    sm_written_list(&written, sequences, log_ids);
    assert_int_equal(written.count, SM_WRITTEN_REMEMBERED);
    assert_int_equal(sequences[written.count - 1], 199);
    sm_written_fini(&written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_oldest_first),
        cmocka_unit_test(acknowledged_ones_are_remembered_for_a_while),
        cmocka_unit_test(what_is_not_acknowledged_stays),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(numbers_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Numbers, acknowledgements, what is sent again, and what is remembered of the log. */
#include "router/entity/sm_queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int64_t heard[16];
static size_t heard_count;

static void hear(void *context, int64_t log_id)
{
    (void)context;
    heard[heard_count++] = log_id;
}

static int setup(void **state)
{
    static struct sm_queue queue;
    sm_queue_init(&queue, 100);
    heard_count = 0;
    *state = &queue;
    return 0;
}

static int teardown(void **state)
{
    sm_queue_fini(*state);
    return 0;
}

static void push(struct sm_queue *queue, const char *text, int64_t log_id)
{
    struct stanza stanza = { .kind = STANZA_MESSAGE, .children = str_from_cstr(text) };
    (void)sm_queue_push(queue, &stanza, log_id);
}

static void numbers_count_from_the_base(void **state)
{
    struct sm_queue *queue = *state;
    push(queue, "<a/>", 0);
    push(queue, "<b/>", 7);
    assert_int_equal(queue->head->sequence, 101);
    assert_int_equal(queue->last, 102);
    assert_int_equal(queue->count, 2);
    assert_true(queue->bytes > 8);
    assert_true(str_equal(queue->tail->stanza.children, STR("<b/>")));
}

static void ack_is_cumulative_and_names_what_is_durable(void **state)
{
    struct sm_queue *queue = *state;
    push(queue, "<a/>", 5);
    push(queue, "<b/>", 0);
    push(queue, "<c/>", 7);
    push(queue, "<d/>", 8);
    assert_int_equal(sm_queue_ack(queue, 103, hear, NULL), ERR_OK);
    assert_int_equal(heard_count, 2);
    assert_int_equal(heard[0], 5);
    assert_int_equal(heard[1], 7);
    assert_int_equal(queue->count, 1);
    assert_int_equal(sm_queue_ack(queue, 101, hear, NULL), ERR_OK); /* old news */
    assert_int_equal(queue->acked, 103);
    assert_int_equal(sm_queue_ack(queue, 104, hear, NULL), ERR_OK);
    assert_int_equal(queue->count, 0);
    assert_int_equal(queue->bytes, 0);
}

static void more_than_was_sent_is_refused(void **state)
{
    struct sm_queue *queue = *state;
    push(queue, "<a/>", 5);
    assert_int_equal(sm_queue_ack(queue, 102, hear, NULL), ERR_INVALID);
    assert_int_equal(queue->count, 1);
    assert_int_equal(heard_count, 0);
}

static void sent_again_is_what_follows_a_number(void **state)
{
    struct sm_queue *queue = *state;
    push(queue, "<a/>", 0);
    push(queue, "<b/>", 0);
    push(queue, "<c/>", 0);
    assert_int_equal(sm_queue_after(queue, 100)->sequence, 101);
    assert_int_equal(sm_queue_after(queue, 101)->sequence, 102);
    assert_int_equal(sm_queue_after(queue, 102)->sequence, 103);
    assert_null(sm_queue_after(queue, 103));
    assert_int_equal(sm_queue_ack(queue, 102, hear, NULL), ERR_OK);
    assert_int_equal(sm_queue_after(queue, 100)->sequence, 103);
}

static void numbers_wrap(void **state)
{
    struct sm_queue *queue = *state;
    sm_queue_init(queue, UINT32_MAX - 1);
    push(queue, "<a/>", 1);
    push(queue, "<b/>", 2);
    push(queue, "<c/>", 3);
    assert_int_equal(queue->last, 1);
    assert_int_equal(sm_queue_after(queue, UINT32_MAX)->sequence, 0);
    assert_int_equal(sm_queue_ack(queue, 2, hear, NULL), ERR_INVALID);
    assert_int_equal(sm_queue_ack(queue, 0, hear, NULL), ERR_OK);
    assert_int_equal(heard_count, 2);
    assert_int_equal(queue->count, 1);
}

static void acknowledged_ones_are_remembered_until_the_log_forgets(void **state)
{
    struct sm_queue *queue = *state;
    push(queue, "<a/>", 0);
    push(queue, "<b/>", 5);
    push(queue, "<c/>", 0);
    push(queue, "<d/>", 7);
    assert_int_equal(sm_queue_ack(queue, 104, hear, NULL), ERR_OK);
    struct sm_entry *entry = sm_queue_find_log(queue, 5);
    assert_non_null(entry);
    assert_true(sm_queue_is_acked(queue, entry));
    assert_int_equal(sm_queue_forget(queue, 0), 102); /* not <a/> any more */
    assert_int_equal(sm_queue_forget(queue, 5), 104); /* nor <b/>, and <c/> behind it */
    assert_null(sm_queue_find_log(queue, 5));
    assert_non_null(sm_queue_find_log(queue, 7));
    push(queue, "<e/>", 9);
    assert_int_equal(sm_queue_forget(queue, 9), 105);
    assert_int_equal(queue->count, 1); /* not acknowledged: stays */
    assert_int_equal(sm_queue_ack(queue, 105, hear, NULL), ERR_OK);
    assert_int_equal(sm_queue_forget(queue, 9), 106);
}

static void restored_queue_goes_on(void **state)
{
    struct sm_queue *queue = *state;
    struct stanza stanza = { .kind = STANZA_MESSAGE, .children = STR("<a/>") };
    sm_queue_init(queue, 40);
    assert_int_equal(sm_queue_restore(queue, 40, 3, NULL), ERR_OK); /* acknowledged before */
    assert_int_equal(sm_queue_restore(queue, 41, 4, NULL), ERR_OK);
    assert_int_equal(sm_queue_restore(queue, 42, 0, &stanza), ERR_OK);
    assert_int_equal(sm_queue_restore(queue, 42, 0, &stanza), ERR_INVALID);
    assert_int_equal(queue->count, 2);
    struct sm_entry *entry = sm_queue_after(queue, 40);
    assert_int_equal(entry->sequence, 41);
    assert_false(entry->has_stanza);
    sm_queue_fill(queue, entry, &stanza);
    assert_true(entry->has_stanza);
    push(queue, "<b/>", 0);
    assert_int_equal(queue->last, 43);
    assert_int_equal(sm_queue_ack(queue, 43, hear, NULL), ERR_OK);
    assert_int_equal(queue->bytes, 0);
    assert_int_equal(heard_count, 1);
}

static void what_only_others_know_is_remembered(void **state)
{
    struct sm_queue *queue = *state;
    for (int64_t id = 1; id <= 4; id++) {
        push(queue, "<a/>", 0);
    }
    push(queue, "<b/>", 9);
    assert_int_equal(sm_queue_ack(queue, 104, hear, NULL), ERR_OK);
    sm_queue_remember(queue, 103, 7);
    sm_queue_remember(queue, 102, 6);
    sm_queue_remember(queue, 104, 8);
    assert_true(sm_queue_is_acked(queue, sm_queue_find_log(queue, 6)));
    assert_true(sm_queue_is_acked(queue, sm_queue_find_log(queue, 8)));
    assert_int_equal(queue->count, 1);
    assert_int_equal(sm_queue_forget(queue, 6), 103);
    assert_int_equal(sm_queue_ack(queue, 105, hear, NULL), ERR_OK);
    assert_int_equal(sm_queue_forget(queue, 8), 105);
    assert_int_equal(sm_queue_forget(queue, 9), 106);
    sm_queue_remember(queue, 105, 10);
    assert_int_equal(queue->tail->log_id, 10);
    push(queue, "<c/>", 11);
    assert_int_equal(sm_queue_forget(queue, 10), 106);
    assert_int_equal(queue->head->log_id, 11);
}

static void numbers_somebody_else_gave_are_skipped(void **state)
{
    struct sm_queue *queue = *state;
    push(queue, "<a/>", 0);
    sm_queue_skip(queue, 110);
    push(queue, "<b/>", 0);
    assert_int_equal(queue->tail->sequence, 111);
    sm_queue_skip(queue, 105);
    assert_int_equal(queue->last, 111);
    assert_int_equal(sm_queue_ack(queue, 108, hear, NULL), ERR_OK);
    assert_int_equal(queue->count, 1);
    assert_int_equal(sm_queue_after(queue, 108)->sequence, 111);
}

static void what_is_behind_a_number_is_split_off(void **state)
{
    struct sm_queue *queue = *state;
    push(queue, "<a/>", 5);
    push(queue, "<b/>", 6);
    push(queue, "<c/>", 0);
    push(queue, "<d/>", 7);
    uint32_t base = queue->head->sequence - 1;
    assert_int_equal(sm_queue_ack(queue, base + 1, hear, NULL), ERR_OK);
    size_t bytes = queue->bytes;
    struct sm_queue rest = sm_queue_split(queue, base + 2);
    assert_int_equal(queue->count, 1);
    assert_int_equal(queue->last, base + 2);
    assert_int_equal(queue->tail->log_id, 6);
    assert_int_equal(rest.count, 2);
    assert_int_equal(rest.head->sequence, base + 3);
    assert_int_equal(rest.bytes + queue->bytes, bytes);
    sm_queue_fini(&rest);
    rest = sm_queue_split(queue, base + 2);
    assert_null(rest.head);
    rest = sm_queue_split(queue, base + 1); /* the acknowledged one stays */
    assert_int_equal(rest.count, 1);
    assert_null(queue->unacked);
    assert_int_equal(queue->bytes, 0);
    assert_int_equal(queue->tail->log_id, 5);
    sm_queue_fini(&rest);
    push(queue, "<e/>", 8);
    push(queue, "<f/>", 9);
    rest = sm_queue_split(queue, base + 1);
    assert_int_equal(sm_queue_restore(queue, base + 2, 9, NULL), ERR_OK);
    sm_queue_join(queue, &rest); /* 9 has a number now */
    assert_null(rest.head);
    assert_int_equal(queue->tail->sequence, base + 3);
    assert_int_equal(queue->tail->log_id, 8);
    assert_true(queue->tail->has_stanza);
    assert_int_equal(queue->count, 2);
    assert_int_equal(sm_queue_ack(queue, base + 3, hear, NULL), ERR_OK);
    assert_int_equal(queue->bytes, 0);
}

static void what_is_on_the_way_is_counted(void **state)
{
    struct sm_queue *queue = *state;
    for (int64_t i = 0; i < 4; i++) {
        push(queue, "<a/>", i % 2); /* volatile ones are forgotten when they are acknowledged */
        sm_queue_note_sent(queue, queue->tail, 0);
    }
    size_t each = queue->bytes / 4;
    assert_int_equal(sm_queue_in_flight(queue), 4 * each);
    assert_int_equal(sm_queue_ack(queue, 101, hear, NULL), ERR_OK);
    assert_int_equal(sm_queue_in_flight(queue), 3 * each);
    sm_queue_rewind(queue, 103); /* the last one did not leave */
    assert_int_equal(sm_queue_in_flight(queue), 2 * each);
    sm_queue_note_sent(queue, queue->tail, 0);
    push(queue, "<a/>", 0);
    assert_int_equal(sm_queue_in_flight(queue), 3 * each);
    sm_queue_rewind(queue, 101); /* another stream */
    assert_int_equal(sm_queue_in_flight(queue), 0);
    sm_queue_note_sent(queue, queue->unacked, 0);
    assert_int_equal(sm_queue_in_flight(queue), each);
    assert_int_equal(sm_queue_ack(queue, 105, hear, NULL), ERR_OK);
    assert_int_equal(sm_queue_in_flight(queue), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_count_from_the_base, setup, teardown),
        cmocka_unit_test_setup_teardown(
                ack_is_cumulative_and_names_what_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_was_sent_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(sent_again_is_what_follows_a_number, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(
                acknowledged_ones_are_remembered_until_the_log_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(restored_queue_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_only_others_know_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_somebody_else_gave_are_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_behind_a_number_is_split_off, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_on_the_way_is_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Batches: what is in them, who is told what, in which order. */
#include "router/commit_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SHARDS 8

struct told {
    int order;
    enum err err;
};

static int order;

static void note(void *context, enum err err)
{
    struct told *told = context;
    assert_int_equal(told->order, 0);
    told->order = ++order;
    told->err = err;
}

static bool waits(struct commit_queue *queue, unsigned shard, commit_done done, void *context)
{
    struct commit_waiter waiter = { .shard = shard, .done = done, .context = context };
    return commit_queue_wait(queue, &waiter);
}

static void input(struct commit_queue *queue, unsigned shard, uint32_t h, bool is_ahead)
{
    struct commit_row row = { .shard = shard, .epoch = 5, .owner = shard + 100 };
    struct commit_input given = { .session = { shard, 1 }, .h = h, .is_ahead = is_ahead };
    commit_queue_input(queue, 0, &row, &given);
}

static bool waits_for_input(struct commit_queue *queue, unsigned shard, struct told *told)
{
    struct commit_waiter waiter = {
        .shard = shard, .is_input = true, .done = note, .context = told
    };
    return commit_queue_wait(queue, &waiter);
}

static void entry_at(struct commit_queue *queue, unsigned shard, int64_t id, int64_t now_ms)
{
    struct commit_row row = { .shard = shard, .epoch = 5, .owner = shard + 100, .id = id };
    struct origin origin = { .session = { 1, 2 }, .counter = 3 };
    struct stanza stanza = { .kind = STANZA_MESSAGE, .children = STR("<body>x</body>") };
    commit_queue_entry(queue, now_ms, &row, &origin, &stanza);
}

static void entry(struct commit_queue *queue, unsigned shard, int64_t id)
{
    entry_at(queue, shard, id, 0);
}

static int begin(void **state)
{
    static struct commit_queue queue;
    commit_queue_init(&queue, SHARDS, 1 << 19);
    order = 0;
    *state = &queue;
    return 0;
}

static int end(void **state)
{
    commit_queue_fini(*state);
    return 0;
}

static void nothing_to_wait_for(void **state)
{
    struct told told = { 0, ERR_OK };
    assert_false(waits(*state, 1, note, &told));
    assert_int_equal(told.order, 0);
    assert_null(commit_queue_head(*state));
}

static void a_batch_holds_rows_and_one_epoch_for_each_shard(void **state)
{
    struct commit_queue *queue = *state;
    entry(queue, 1, 10);
    entry(queue, 1, 11);
    entry(queue, 2, 12);
    Wire__Append append;
    commit_batch_message(commit_queue_head(queue), &append);
    assert_int_equal(append.n_entries, 3);
    assert_int_equal(append.n_epochs, 2);
    assert_int_equal(append.epochs[0]->shard, 1);
    assert_int_equal(append.epochs[0]->epoch, 5);
    assert_int_equal(append.entries[1]->id, 11);
    assert_int_equal(append.entries[1]->origin->counter, 3);
    struct arena arena;
    struct stanza stanza;
    arena_init(&arena, 0);
    assert_int_equal(
            wire_stanza_unpack(&arena, wire_str(append.entries[2]->stanza), &stanza), ERR_OK);
    assert_true(str_equal(stanza.children, STR("<body>x</body>")));
    arena_fini(&arena);
}

static void inputs_and_watermarks_keep_the_newest_of_a_batch(void **state)
{
    struct commit_queue *queue = *state;
    struct commit_row row = { .shard = 1, .epoch = 5, .owner = 7, .id = 40 };
    struct commit_input first = { .session = { 8, 9 }, .h = 1, .is_ahead = true };
    struct commit_input other = { .session = { 9, 8 }, .h = 5 };
    commit_queue_input(queue, 0, &row, &first);
    first.h = 2;
    commit_queue_input(queue, 0, &row, &first);
    commit_queue_input(queue, 0, &row, &other);
    first = (struct commit_input){ .session = { 8, 9 }, .h = 3, .is_closed = true };
    commit_queue_input(queue, 0, &row, &first);
    commit_queue_watermark(queue, 0, &row);
    row.id = 39;
    commit_queue_watermark(queue, 0, &row);
    Wire__Append append;
    commit_batch_message(commit_queue_head(queue), &append);
    assert_int_equal(append.n_inputs, 2);
    assert_int_equal(append.inputs[0]->h, 3);
    assert_true(append.inputs[0]->is_closed);
    assert_false(append.inputs[0]->is_ahead);
    assert_int_equal(append.inputs[1]->h, 5);
    assert_int_equal(append.n_watermarks, 1);
    assert_int_equal(append.watermarks[0]->id, 40);
}

static void waiters_hear_in_order_and_fenced_ones_the_truth(void **state)
{
    struct commit_queue *queue = *state;
    struct told told[3] = { 0 };
    entry(queue, 1, 10);
    assert_true(waits(queue, 1, note, &told[0]));
    entry(queue, 2, 11);
    assert_true(waits(queue, 2, note, &told[1]));
    assert_true(waits(queue, 1, note, &told[2]));
    const uint32_t fenced[] = { 2 };
    commit_queue_head(queue)->was_sent = true;
    commit_queue_decide(queue, fenced, 1);
    assert_int_equal(told[0].order, 1);
    assert_int_equal(told[0].err, ERR_OK);
    assert_int_equal(told[1].err, ERR_FENCED);
    assert_int_equal(told[2].order, 3);
    assert_int_equal(told[2].err, ERR_OK);
    assert_false(commit_queue_has(queue, 1));
    assert_int_equal(queue->bytes, 0);
    assert_int_equal(queue->entries, 0);
}

static void rows_that_come_in_flight_go_into_the_next_batch(void **state)
{
    struct commit_queue *queue = *state;
    struct told told = { 0, ERR_OK };
    entry(queue, 1, 10);
    commit_queue_head(queue)->was_sent = true;
    entry(queue, 1, 11);
    assert_true(waits(queue, 1, note, &told));
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told.order, 0);
    assert_true(commit_queue_has(queue, 1));
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told.order, 1);
}

static void a_batch_is_bounded(void **state)
{
    struct commit_queue *queue = *state;
    for (int i = 0; i < COMMIT_BATCH_MAX_ROWS + 1; i++) {
        entry(queue, 1, i);
    }
    assert_int_equal(commit_queue_head(queue)->entry_count, COMMIT_BATCH_MAX_ROWS);
    assert_int_equal(queue->tail->entry_count, 1);
    assert_ptr_not_equal(queue->head, queue->tail);
}

static void a_lost_shard_takes_its_unsent_rows_along(void **state)
{
    struct commit_queue *queue = *state;
    struct told told[3] = { 0 };
    entry(queue, 1, 10);
    entry(queue, 2, 10);
    assert_true(waits(queue, 1, note, &told[0]));
    commit_queue_head(queue)->was_sent = true;
    entry(queue, 1, 11);
    entry(queue, 2, 11);
    assert_true(waits(queue, 1, note, &told[1]));
    assert_true(waits(queue, 2, note, &told[2]));
    commit_queue_drop(queue, 1);
    assert_int_equal(told[0].order, 1);
    assert_int_equal(told[0].err, ERR_FENCED);
    assert_int_equal(told[1].order, 2);
    assert_int_equal(told[1].err, ERR_FENCED);
    assert_int_equal(told[2].order, 0);
    assert_int_equal(queue->head->entry_count, 2); /* a repeat must have the same content */
    assert_int_equal(queue->tail->entry_count, 1);
    assert_int_equal(queue->tail->epoch_count, 1);
    assert_true(commit_queue_has(queue, 1)); /* the one in flight */
    commit_queue_decide(queue, NULL, 0);
    assert_false(commit_queue_has(queue, 1));
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told[2].err, ERR_OK);
}

/* P1: an entry of shard 2 goes to its next home. A counter of shard 1 that may cover it must not
 * come into the log before it is there: neither in its group nor in the next one. */
static void with_a_fence_inputs_ahead_are_not_written(void **state)
{
    struct commit_queue *queue = *state;
    struct told told[6] = { 0 };
    entry(queue, 2, 10);
    assert_true(waits(queue, 2, note, &told[0]));
    entry(queue, 1, 11);
    assert_true(waits(queue, 1, note, &told[1]));
    input(queue, 1, 7, true);
    assert_true(waits_for_input(queue, 1, &told[2]));
    commit_queue_head(queue)->was_sent = true;
    input(queue, 1, 8, true);
    assert_true(waits_for_input(queue, 1, &told[3]));
    entry(queue, 3, 12);
    assert_true(waits(queue, 3, note, &told[4]));
    input(queue, 4, 9, false);
    assert_true(waits_for_input(queue, 4, &told[5]));
    const uint32_t fenced[] = { 2 };
    commit_queue_decide(queue, fenced, 1);
    assert_int_equal(told[0].err, ERR_FENCED);
    assert_int_equal(told[1].err, ERR_OK);
    assert_int_equal(told[2].err, ERR_UNAVAILABLE);
    assert_int_equal(told[3].err, ERR_UNAVAILABLE);
    assert_int_equal(told[4].order, 0);
    assert_int_equal(told[5].err, ERR_UNAVAILABLE); /* written, but nobody knows that here */

    Wire__Append append;
    commit_batch_message(commit_queue_head(queue), &append);
    assert_int_equal(append.n_inputs, 1);
    assert_int_equal(append.inputs[0]->h, 9);
    assert_int_equal(append.n_epochs, 2);
    assert_false(commit_queue_has(queue, 1));
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told[4].err, ERR_OK);
    assert_int_equal(queue->bytes, 0);
}

/* The same when the router hears of it in another way, and of a group that was not sent. */
static void with_a_lost_shard_inputs_ahead_are_not_written(void **state)
{
    struct commit_queue *queue = *state;
    struct told told[3] = { 0 };
    input(queue, 1, 7, true);
    assert_true(waits_for_input(queue, 1, &told[0]));
    commit_queue_drop(queue, 2); /* had nothing here: nobody is disturbed */
    assert_int_equal(told[0].order, 0);
    entry(queue, 2, 10);
    assert_true(waits(queue, 2, note, &told[1]));
    commit_queue_drop(queue, 2);
    assert_int_equal(told[1].err, ERR_FENCED);
    assert_int_equal(told[0].err, ERR_UNAVAILABLE);
    assert_null(commit_queue_head(queue));

    entry(queue, 2, 11);
    input(queue, 1, 7, true);
    assert_true(waits_for_input(queue, 1, &told[2]));
    commit_queue_head(queue)->was_sent = true;
    commit_queue_drop(queue, 2);
    assert_int_equal(told[2].order, 0); /* archive-svc decides, with the entry */
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told[2].err, ERR_OK);
}

/* G01: what was never sent comes back, also behind what may have been committed, which does not. */
static void only_what_was_never_sent_is_withdrawn(void **state)
{
    struct commit_queue *queue = *state;
    struct told told[5] = { 0 };
    entry_at(queue, 1, 10, 0);
    assert_true(waits(queue, 1, note, &told[0]));
    commit_queue_head(queue)->was_sent = true;
    entry_at(queue, 1, 11, 100);
    assert_true(waits(queue, 1, note, &told[1]));
    entry_at(queue, 2, 12, 100);
    assert_true(waits(queue, 2, note, &told[2]));
    entry_at(queue, 3, 13, 100 + COMMIT_BATCH_MAX_MS);
    assert_true(waits(queue, 3, note, &told[3]));
    commit_queue_withdraw(queue, 100);
    assert_int_equal(told[0].order, 0);
    assert_int_equal(told[1].err, ERR_UNAVAILABLE);
    assert_int_equal(told[1].order, 1);
    assert_int_equal(told[2].err, ERR_UNAVAILABLE);
    assert_int_equal(told[2].order, 2);
    assert_int_equal(told[3].order, 0);
    assert_int_equal(queue->head->entry_count, 1); /* a repeat must have the same content */
    assert_false(commit_queue_has(queue, 2));
    assert_true(commit_queue_has(queue, 1)); /* in flight: still in doubt */

    entry_at(queue, 1, 14, 2000); /* P3: comes behind it */
    assert_true(waits(queue, 1, note, &told[4]));
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told[0].err, ERR_OK);
    assert_int_equal(told[0].order, 3);
    assert_int_equal(told[4].order, 0);
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told[3].err, ERR_OK);
    assert_int_equal(told[4].order, 0);
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told[4].err, ERR_OK);
    assert_int_equal(queue->bytes, 0);
}

/* T04: what an SM queue in Redis forgets waits for a later group; its watermark must be in one. */
static void watermarks_are_not_withdrawn(void **state)
{
    struct commit_queue *queue = *state;
    struct told told[2] = { 0 };
    struct commit_row row = { .shard = 1, .epoch = 7, .owner = 5, .id = 40 };
    entry_at(queue, 1, 10, 0);
    commit_queue_watermark(queue, 0, &row);
    entry_at(queue, 2, 11, 0);
    assert_true(waits(queue, 1, note, &told[0]));
    entry_at(queue, 1, 12, 100 + COMMIT_BATCH_MAX_MS);
    assert_true(waits(queue, 1, note, &told[1]));
    commit_queue_withdraw(queue, 50);
    commit_queue_withdraw(queue, 50);
    assert_int_equal(told[0].err, ERR_UNAVAILABLE);
    assert_int_equal(told[1].order, 0);
    const struct commit_batch *head = commit_queue_head(queue);
    assert_int_equal(head->entry_count, 0);
    assert_int_equal(head->watermark_count, 1);
    assert_int_equal(head->epoch_count, 1);
    assert_int_equal(commit_queue_find_watermark(queue, 5), 40);
    commit_queue_drop(queue, 1);
    assert_null(commit_queue_head(queue)); /* shard 2 was withdrawn: nothing is left */
    assert_int_equal(told[1].err, ERR_FENCED);
    assert_int_equal(queue->bytes, 0);
}

static size_t batches_of(const struct commit_queue *queue)
{
    size_t count = 0;
    for (const struct commit_batch *batch = queue->head; batch != NULL; batch = batch->next) {
        count++;
        assert_true(batch->next != NULL || batch == queue->tail);
    }
    return count;
}

/* A session whose counter comes back asks again at once. */
struct outage {
    struct commit_queue *queue;
    int64_t now_ms;
    size_t told;
};

static void ask_again(void *context, enum err err)
{
    struct outage *outage = context;
    if (err == ERR_CLOSED || err == ERR_FENCED) {
        return;
    }
    assert_int_equal(err, ERR_UNAVAILABLE);
    outage->told++;
    struct commit_row row = { .shard = 3, .epoch = 5, .owner = 9 };
    struct commit_input again = { .session = { 3, 4 }, .h = 1, .is_ahead = true };
    commit_queue_input(outage->queue, outage->now_ms, &row, &again);
    assert_true(waits(outage->queue, 3, ask_again, outage));
}

/* P7: a group is in doubt, PostgreSQL away for an hour, and traffic goes on. */
static void a_long_outage_costs_no_more_than_its_last_seconds(void **state)
{
    struct commit_queue *queue = *state;
    static struct told told[7200];
    struct outage outage = { .queue = queue };
    entry(queue, 1, 1);
    commit_queue_head(queue)->was_sent = true;
    ask_again(&outage, ERR_UNAVAILABLE);
    for (int i = 0; i < 7200; i++) {
        outage.now_ms = (i + 1) * INT64_C(500);
        entry_at(queue, 2, i + 2, outage.now_ms);
        assert_true(waits(queue, 2, note, &told[i]));
        struct commit_row row = { .shard = 4, .epoch = 5, .owner = 50 + i % 7, .id = i + 1 };
        commit_queue_watermark(queue, outage.now_ms, &row);
        commit_queue_withdraw(queue, outage.now_ms - 10000);
        assert_true(batches_of(queue) <= 24);
        assert_true(queue->bytes < 24 * 600);
    }
    assert_int_equal(told[7000].err, ERR_UNAVAILABLE);
    assert_in_range(outage.told, 300, 400);
    assert_int_equal(commit_queue_find_watermark(queue, 50), 7197);
    assert_int_equal(commit_queue_find_watermark(queue, 51), 7198);

    commit_queue_decide(queue, NULL, 0);
    struct commit_batch *gathered = commit_queue_head(queue);
    assert_int_equal(gathered->watermark_count, 7);
    assert_int_equal(gathered->entry_count, 0);
    assert_int_equal(gathered->epoch_count, 1);
    assert_true(commit_queue_has(queue, 4));
    commit_queue_drop(queue, 3); /* its waiter asks nothing any more */
    while (commit_queue_head(queue) != NULL) {
        commit_queue_decide(queue, NULL, 0);
    }
    assert_int_equal(queue->bytes, 0);
    assert_int_equal(queue->entries, 0);
    assert_null(queue->tail);
}

/* The tail goes, and rows that come next have one all the same. */
static void an_empty_tail_is_let_go(void **state)
{
    struct commit_queue *queue = *state;
    struct told told[2] = { 0 };
    entry(queue, 1, 1);
    commit_queue_head(queue)->was_sent = true;
    entry(queue, 2, 2);
    assert_true(waits(queue, 2, note, &told[0]));
    commit_queue_drop(queue, 2);
    assert_int_equal(told[0].err, ERR_FENCED);
    assert_int_equal(batches_of(queue), 1);
    assert_false(commit_queue_has(queue, 2));
    entry(queue, 2, 3);
    assert_true(waits(queue, 2, note, &told[1]));
    assert_int_equal(batches_of(queue), 2);
    commit_queue_decide(queue, NULL, 0);
    commit_queue_decide(queue, NULL, 0);
    assert_int_equal(told[1].err, ERR_OK);
}

static void memory_is_used_again(void **state)
{
    struct commit_queue *queue = *state;
    entry(queue, 1, 1);
    struct commit_batch *first = commit_queue_head(queue);
    commit_queue_decide(queue, NULL, 0);
    entry(queue, 1, 2);
    assert_ptr_equal(commit_queue_head(queue), first);
    assert_int_equal(first->seq, 2);
    assert_int_equal(first->entry_count, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nothing_to_wait_for),
        CASE(a_batch_holds_rows_and_one_epoch_for_each_shard),
        CASE(inputs_and_watermarks_keep_the_newest_of_a_batch),
        CASE(waiters_hear_in_order_and_fenced_ones_the_truth),
        CASE(rows_that_come_in_flight_go_into_the_next_batch),
        CASE(a_batch_is_bounded),
        CASE(a_lost_shard_takes_its_unsent_rows_along),
        CASE(with_a_fence_inputs_ahead_are_not_written),
        CASE(with_a_lost_shard_inputs_ahead_are_not_written),
        CASE(only_what_was_never_sent_is_withdrawn),
        CASE(watermarks_are_not_withdrawn),
        CASE(a_long_outage_costs_no_more_than_its_last_seconds),
        CASE(an_empty_tail_is_let_go),
        CASE(memory_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

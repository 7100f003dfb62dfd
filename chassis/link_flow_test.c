/* Sequence numbers, resending, duplicates and credit, without a wire. */
#include "chassis/link_flow.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/link_frame.h"

enum {
    FRAME = 1 << 20,
    MANY = 64,
    COST = 10 + LINK_RECORD_OVERHEAD_BYTES, /* of a record of ten bytes */
};

static struct link_outbox outbox_with(size_t count, uint64_t credit_bytes)
{
    struct link_outbox outbox;
    link_outbox_init(&outbox, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(link_outbox_push(&outbox, STR("0123456789")), ERR_OK);
    }
    assert_int_equal(link_outbox_resume(&outbox, 0, credit_bytes), ERR_OK);
    return outbox;
}

static size_t take(struct link_outbox *outbox, uint64_t *first_seq_out)
{
    struct str records[MANY];
    return link_outbox_take(outbox, FRAME, records, MANY, first_seq_out);
}

static void records_leave_once_and_in_order(void **state)
{
    struct link_outbox outbox;
    struct str records[MANY];
    uint64_t first;
    (void)state;
    link_outbox_init(&outbox, 1 << 20);
    assert_int_equal(link_outbox_resume(&outbox, 0, 1 << 20), ERR_OK);
    assert_int_equal(link_outbox_push(&outbox, STR("a")), ERR_OK);
    assert_int_equal(link_outbox_push(&outbox, STR("")), ERR_OK);
    assert_int_equal(link_outbox_push(&outbox, STR("c")), ERR_OK);
    assert_int_equal(link_outbox_take(&outbox, FRAME, records, MANY, &first), 3);
    assert_int_equal(first, 1);
    assert_true(str_equal(records[0], STR("a")));
    assert_true(str_equal(records[1], STR("")));
    assert_true(str_equal(records[2], STR("c")));
    assert_int_equal(link_outbox_take(&outbox, FRAME, records, MANY, &first), 0);
    assert_int_equal(link_outbox_push(&outbox, STR("d")), ERR_OK);
    assert_int_equal(link_outbox_take(&outbox, FRAME, records, MANY, &first), 1);
    assert_int_equal(first, 4);
    assert_int_equal(link_outbox_ack(&outbox, 4, 1 << 20), ERR_OK);
    assert_int_equal(outbox.queued_bytes, 0);
    assert_int_equal(outbox.in_flight_bytes, 0);
    link_outbox_fini(&outbox);
}

static void credit_bounds_what_is_in_flight(void **state)
{
    struct link_outbox outbox = outbox_with(10, 3 * COST);
    uint64_t first;
    (void)state;
    assert_int_equal(take(&outbox, &first), 3);
    assert_int_equal(take(&outbox, &first), 0);
    assert_int_equal(link_outbox_ack(&outbox, 1, 3 * COST), ERR_OK);
    assert_int_equal(take(&outbox, &first), 1);
    assert_int_equal(first, 4);
    assert_int_equal(link_outbox_ack(&outbox, 4, 0), ERR_OK);
    assert_int_equal(outbox.in_flight_bytes, 0);
    /* nothing in flight: one goes, or a small window would stall for ever */
    assert_int_equal(take(&outbox, &first), 1);
    assert_int_equal(take(&outbox, &first), 0);
    link_outbox_fini(&outbox);
}

static void frames_are_split_at_their_limit(void **state)
{
    struct link_outbox outbox = outbox_with(10, 1 << 20);
    struct str records[MANY];
    uint64_t first;
    (void)state;
    size_t limit = LINK_FRAME_OVERHEAD_BYTES + 4 * COST;
    assert_int_equal(link_outbox_take(&outbox, limit, records, MANY, &first), 4);
    assert_int_equal(link_outbox_take(&outbox, limit + COST - 1, records, MANY, &first), 4);
    assert_int_equal(link_outbox_take(&outbox, limit, records, 1, &first), 1);
    assert_int_equal(first, 9);
    assert_false(link_outbox_is_blocked(&outbox, limit));
    assert_true(link_outbox_is_blocked(&outbox, LINK_FRAME_OVERHEAD_BYTES + COST - 1));
    link_outbox_fini(&outbox);
}

static void a_reconnect_resends_what_the_receiver_lacks(void **state)
{
    struct link_outbox outbox = outbox_with(6, 1 << 20);
    uint64_t first;
    (void)state;
    assert_int_equal(take(&outbox, &first), 6);
    assert_int_equal(link_outbox_ack(&outbox, 2, 1 << 20), ERR_OK);
    assert_int_equal(link_outbox_resume(&outbox, 4, 1 << 20), ERR_OK);
    assert_int_equal(link_outbox_take_settled(&outbox), 0);
    assert_int_equal(take(&outbox, &first), 2);
    assert_int_equal(first, 5);
    assert_int_equal(link_outbox_ack(&outbox, 6, 1 << 20), ERR_OK);
    assert_int_equal(outbox.queued_bytes, 0);
    link_outbox_fini(&outbox);
}

static void impossible_acknowledgements_are_refused(void **state)
{
    struct link_outbox outbox = outbox_with(6, 2 * COST);
    uint64_t first;
    (void)state;
    assert_int_equal(take(&outbox, &first), 2);
    assert_int_equal(link_outbox_ack(&outbox, 3, 0), ERR_PROTOCOL);
    assert_int_equal(link_outbox_ack(&outbox, 2, 0), ERR_OK);
    assert_int_equal(link_outbox_ack(&outbox, 1, 0), ERR_PROTOCOL);
    assert_int_equal(link_outbox_resume(&outbox, 3, 0), ERR_PROTOCOL);
    link_outbox_fini(&outbox);
}

/* The receiver has moved on: another incarnation, which knows nothing, or the same one after we
 * had given it up. */
static void dropped_records_are_announced_and_numbers_go_on(void **state)
{
    struct link_outbox outbox = outbox_with(5, 1 << 20);
    struct link_inbox inbox = { 0 };
    uint64_t first;
    size_t skip;
    (void)state;
    assert_int_equal(take(&outbox, &first), 5);
    link_outbox_drop(&outbox);
    assert_int_equal(outbox.queued_bytes, 0);
    assert_int_equal(link_outbox_push(&outbox, STR("new")), ERR_OK);
    assert_int_equal(link_outbox_resume(&outbox, 0, 1 << 20), ERR_OK);
    assert_int_equal(take(&outbox, &first), 1);
    assert_int_equal(first, 6);

    link_inbox_begin(&inbox, 1);
    assert_int_equal(link_inbox_check(&inbox, first, 1, &skip), ERR_PROTOCOL);
    link_inbox_settle(&inbox, link_outbox_take_settled(&outbox));
    assert_int_equal(link_inbox_check(&inbox, first, 1, &skip), ERR_OK);
    assert_int_equal(skip, 0);
    link_outbox_fini(&outbox);
}

static void a_full_outbox_says_when_half_is_free(void **state)
{
    struct link_outbox outbox;
    uint64_t first;
    (void)state;
    link_outbox_init(&outbox, 4 * COST);
    assert_int_equal(link_outbox_resume(&outbox, 0, 1 << 20), ERR_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(link_outbox_push(&outbox, STR("0123456789")), ERR_OK);
    }
    assert_false(link_outbox_take_room(&outbox));
    assert_int_equal(link_outbox_push(&outbox, STR("0123456789")), ERR_LIMIT);
    assert_int_equal(take(&outbox, &first), 4);
    assert_int_equal(link_outbox_ack(&outbox, 1, 1 << 20), ERR_OK);
    assert_false(link_outbox_take_room(&outbox));
    assert_int_equal(link_outbox_ack(&outbox, 2, 1 << 20), ERR_OK);
    assert_true(link_outbox_take_room(&outbox));
    assert_false(link_outbox_take_room(&outbox));
    link_outbox_fini(&outbox);
}

static void duplicates_are_skipped_and_gaps_refused(void **state)
{
    struct link_inbox inbox = { 0 };
    size_t skip = 99;
    (void)state;
    link_inbox_begin(&inbox, 7);
    assert_int_equal(link_inbox_check(&inbox, 0, 1, &skip), ERR_PROTOCOL);
    assert_int_equal(link_inbox_check(&inbox, 2, 1, &skip), ERR_PROTOCOL);
    assert_int_equal(link_inbox_check(&inbox, UINT64_MAX, 2, &skip), ERR_PROTOCOL);
    assert_int_equal(skip, 99);
    assert_int_equal(link_inbox_check(&inbox, 1, 3, &skip), ERR_OK);
    assert_int_equal(skip, 0);
    for (int i = 0; i < 3; i++) {
        link_inbox_advance(&inbox);
    }
    assert_int_equal(link_inbox_check(&inbox, 1, 3, &skip), ERR_OK); /* F05 */
    assert_int_equal(skip, 3);
    assert_int_equal(link_inbox_check(&inbox, 2, 5, &skip), ERR_OK);
    assert_int_equal(skip, 2);
    link_inbox_begin(&inbox, 7); /* a new connection changes nothing */
    assert_int_equal(inbox.last_seq, 3);
    link_inbox_begin(&inbox, 8); /* a new incarnation does */
    assert_int_equal(inbox.last_seq, 0);
}

/* Property: whatever is pushed, taken, lost and acknowledged, the receiver sees 1, 2, 3, ... once.
 */
static void random_losses_never_lose_repeat_or_reorder(void **state)
{
    struct link_outbox outbox;
    struct link_inbox inbox = { 0 };
    uint64_t pushed = 0, seen = 0;
    char *big = mem_calloc(1, 50000);
    (void)state;

    link_outbox_init(&outbox, 300000);
    link_inbox_begin(&inbox, 1);
    assert_int_equal(link_outbox_resume(&outbox, 0, 70000), ERR_OK);
    for (int step = 0; step < 200000; step++) {
        uint64_t dice = random_u64();
        if (dice % 8 < 4) {
            size_t len = 8 + (dice >> 8) % (dice % 64 == 0 ? 40000 : 300);
            uint64_t number = pushed + 1;
            memcpy(big, &number, 8);
            pushed += link_outbox_push(&outbox, str_from(big, len)) == ERR_OK;
        } else if (dice % 8 == 4 && dice >> 60 == 0) { /* the connection breaks */
            assert_int_equal(link_outbox_resume(&outbox, inbox.last_seq, 70000), ERR_OK);
        } else if (dice % 8 == 5) {
            assert_int_equal(link_outbox_ack(&outbox, inbox.last_seq, 70000), ERR_OK);
        } else {
            struct str records[MANY];
            uint64_t first;
            size_t skip;
            size_t count = link_outbox_take(&outbox, 65536, records, 1 + dice % MANY, &first);
            assert_true(outbox.in_flight_bytes <= 70000);
            if (count == 0 || dice >> 61 == 0) {
                if (count > 0) { /* lost, with its connection */
                    assert_int_equal(link_outbox_resume(&outbox, inbox.last_seq, 70000), ERR_OK);
                }
                continue;
            }
            assert_int_equal(link_inbox_check(&inbox, first, count, &skip), ERR_OK);
            for (size_t i = skip; i < count; i++) {
                uint64_t number;
                memcpy(&number, records[i].ptr, 8);
                assert_int_equal(number, ++seen);
                link_inbox_advance(&inbox);
            }
        }
    }
    assert_true(seen > 10000);
    link_outbox_fini(&outbox);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_leave_once_and_in_order),
        cmocka_unit_test(credit_bounds_what_is_in_flight),
        cmocka_unit_test(frames_are_split_at_their_limit),
        cmocka_unit_test(a_reconnect_resends_what_the_receiver_lacks),
        cmocka_unit_test(impossible_acknowledgements_are_refused),
        cmocka_unit_test(dropped_records_are_announced_and_numbers_go_on),
        cmocka_unit_test(a_full_outbox_says_when_half_is_free),
        cmocka_unit_test(duplicates_are_skipped_and_gaps_refused),
        cmocka_unit_test(random_losses_never_lose_repeat_or_reorder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

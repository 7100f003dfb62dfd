/* Mailbox and outbox: order, copies, and who is told. */
#include "router/entity/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/entity/outbox.h"

static void items_come_out_in_order_and_own_their_texts(void **state)
{
    (void)state;
    struct mailbox mailbox;
    mailbox_init(&mailbox);
    char text[] = "a@x/r";
    struct stanza stanza = { .kind = STANZA_MESSAGE, .from = str_from_cstr(text) };
    mailbox_push(&mailbox, item_create(ITEM_ROUTE, &stanza, 0));
    text[0] = 'b';
    mailbox_push(&mailbox, item_create(ITEM_INPUT, &stanza, 0));
    struct item *first = mailbox_pop(&mailbox);
    assert_true(str_equal(first->stanza.from, STR("a@x/r")));
    mailbox_unpop(&mailbox, first);
    assert_int_equal(mailbox.count, 2);
    assert_ptr_equal(mailbox_pop(&mailbox), first);
    struct item *second = mailbox_pop(&mailbox);
    assert_int_equal(second->kind, ITEM_INPUT);
    assert_null(mailbox_pop(&mailbox));
    mailbox_unpop(&mailbox, second); /* into an empty one: the end is right again */
    mailbox_push(&mailbox, first);
    assert_ptr_equal(mailbox_pop(&mailbox), second);
    assert_ptr_equal(mailbox_pop(&mailbox), first);
    item_destroy(first);
    item_destroy(second);
    item_destroy(NULL);
}

static void items_in_front_keep_their_order(void **state)
{
    (void)state;
    struct item *items[3];
    struct mailbox mailbox;
    struct mailbox older;
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        mailbox_init(&mailbox);
        mailbox_init(&older);
        for (int i = 0; i < 3; i++) {
            items[i] = item_create(ITEM_ROUTE, NULL, 0);
        }
        mailbox_push(&older, items[0]);
        mailbox_push(&older, items[1]);
        if (!is_empty) {
            mailbox_push(&mailbox, items[2]);
        }
        mailbox_push_first(&mailbox, &older);
        assert_null(older.head);
        mailbox_push_first(&mailbox, &older);
        if (is_empty) {
            mailbox_push(&mailbox, items[2]); /* the end is right */
        }
        assert_int_equal(mailbox.count, 3);
        for (int i = 0; i < 3; i++) {
            assert_ptr_equal(mailbox_pop(&mailbox), items[i]);
            item_destroy(items[i]);
        }
        assert_null(mailbox_pop(&mailbox));
    }
}

static void note(void *context, enum err err)
{
    char **at = context;
    *(*at)++ = err == ERR_OK ? 'o' : 'f';
}

static void waiters_are_told_once_in_order(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    struct stanza stanza = { .kind = STANZA_MESSAGE, .from = STR("a@x/r") };
    struct outbox_item *item = outbox_push(&outbox, &stanza, 5);
    char told[8] = "";
    char *at = told;
    outbox_add_waiter(item, note, &at);
    outbox_add_waiter(item, note, &at);
    assert_ptr_equal(outbox_find(&outbox, 5), item);
    outbox_tell_waiters(item, ERR_OK);
    outbox_tell_waiters(item, ERR_FENCED);
    assert_string_equal(told, "oo");
    outbox_fini(&outbox);
}

static void removed_item_leaves_the_queue_whole(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    struct stanza stanza = { .kind = STANZA_MESSAGE, .from = STR("a@x/r") };
    outbox_push(&outbox, &stanza, 1);
    struct outbox_item *last = outbox_push(&outbox, &stanza, 2);
    outbox_remove(&outbox, last);
    outbox_push(&outbox, &stanza, 3);
    assert_int_equal(outbox.count, 2);
    assert_true(outbox_has_sender(&outbox, STR("a@x/r")));
    assert_false(outbox_has_sender(&outbox, STR("b@x/r")));
    struct outbox_item *item = outbox_pop(&outbox);
    assert_int_equal(item->id, 1);
    outbox_item_destroy(item);
    assert_int_equal(outbox.head->id, 3);
    assert_null(outbox_find(&outbox, 0));
    outbox_fini(&outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_and_own_their_texts),
        cmocka_unit_test(items_in_front_keep_their_order),
        cmocka_unit_test(waiters_are_told_once_in_order),
        cmocka_unit_test(removed_item_leaves_the_queue_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

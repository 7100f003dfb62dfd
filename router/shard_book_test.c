/* Losing, gaining and sharing shards, without a database. */
#include "router/shard_book.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void apply(struct shard_book *book, unsigned shard, const char *owner, uint64_t epoch)
{
    struct shard_row row = { shard, str_from_cstr(owner), STR("tcp://x"), epoch };
    (void)shard_book_apply(book, &row);
}

static void a_shard_of_ours_is_gained_once(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 4, "me");
    apply(&book, 0, "me", 3);
    assert_true(shard_book_may_gain(&book, 0));
    shard_book_gain(&book, 0);
    assert_false(shard_book_may_gain(&book, 0));
    assert_false(shard_book_must_lose(&book, 0));
    apply(&book, 0, "me", 3);
    assert_false(shard_book_must_lose(&book, 0));
    shard_book_fini(&book);
}

/* F08: whatever the table says, an epoch that was given up is never held again. */
static void a_lost_epoch_is_never_held_again(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 4, "me");
    apply(&book, 1, "me", 7);
    shard_book_gain(&book, 1);
    shard_book_lose(&book, 1);
    assert_false(shard_book_may_gain(&book, 1));
    assert_true(shard_book_must_retake(&book, 1));
    apply(&book, 1, "me", 8);
    assert_true(shard_book_may_gain(&book, 1));
    assert_false(shard_book_must_retake(&book, 1));
    shard_book_fini(&book);
}

static void a_node_is_needed_while_it_lives_or_owns(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 4, "me");
    apply(&book, 0, "other", 1);
    assert_true(shard_book_is_needed(&book, 1)); /* dead, but the shard is still its */
    apply(&book, 0, "me", 2);
    assert_false(shard_book_is_needed(&book, 1));
    shard_book_node_is_live(&book, STR("other"), STR("tcp://x"));
    assert_true(shard_book_is_needed(&book, 1));
    shard_book_fini(&book);
}

static void another_owner_or_epoch_means_loss(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 4, "me");
    apply(&book, 0, "me", 1);
    apply(&book, 1, "me", 1);
    shard_book_gain(&book, 0);
    shard_book_gain(&book, 1);
    apply(&book, 0, "other", 2);
    apply(&book, 1, "me", 2);
    assert_true(shard_book_must_lose(&book, 0));
    assert_true(shard_book_must_lose(&book, 1));
    shard_book_lose(&book, 1);
    assert_true(shard_book_may_gain(&book, 1));
    shard_book_fini(&book);
}

static void a_shard_being_handed_over_is_not_retaken(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 2, "me");
    apply(&book, 0, "me", 1);
    shard_book_gain(&book, 0);
    shard_book_lose(&book, 0);
    book.entries[0].is_handing = true;
    assert_false(shard_book_must_retake(&book, 0));
    shard_book_fini(&book);
}

static void holding_needs_no_lease(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 2, "me");
    apply(&book, 0, "me", 1);
    shard_book_gain(&book, 0);
    assert_true(shard_book_is_held(&book, 0));
    assert_false(shard_book_is_held(&book, 1));
    shard_book_fini(&book);
}

static void the_surplus_is_what_is_above_the_rounded_share(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 256, "me");
    for (unsigned i = 0; i < 256; i++) {
        apply(&book, i, "me", 1);
        shard_book_gain(&book, i);
    }
    shard_book_nodes_begin(&book);
    assert_int_equal(shard_book_surplus(&book), 0);
    shard_book_node_is_live(&book, STR("me"), STR("tcp://x"));
    assert_int_equal(shard_book_surplus(&book), 0);
    assert_null(shard_book_poorest(&book));
    shard_book_node_is_live(&book, STR("b"), STR("tcp://y"));
    assert_int_equal(shard_book_surplus(&book), 128);
    shard_book_node_is_live(&book, STR("c"), STR("tcp://z"));
    assert_int_equal(shard_book_surplus(&book), 256 - 86);
    book.entries[0].is_releasing = true;
    assert_int_equal(shard_book_surplus(&book), 256 - 86 - 1);
    shard_book_fini(&book);
}

static void the_poorest_live_router_gets_the_next_shard(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 8, "me");
    apply(&book, 0, "b", 1);
    apply(&book, 1, "b", 1);
    apply(&book, 2, "c", 1);
    shard_book_nodes_begin(&book);
    shard_book_node_is_live(&book, STR("me"), STR(""));
    shard_book_node_is_live(&book, STR("b"), STR(""));
    assert_string_equal(shard_book_poorest(&book), "b");
    shard_book_node_is_live(&book, STR("c"), STR(""));
    assert_string_equal(shard_book_poorest(&book), "c");
    shard_book_fini(&book);
}

/* A slow answer about a hold of before takes nothing from the present one. */
static void a_late_fence_is_no_news(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 4, "me");
    apply(&book, 1, "me", 7);
    shard_book_gain(&book, 1);
    assert_true(shard_book_is_fenced(&book, 1, 7));
    assert_false(shard_book_is_fenced(&book, 1, 0)); /* nothing of it was written */
    shard_book_lose(&book, 1);
    assert_true(shard_book_is_fenced(&book, 1, 7)); /* the table is read again all the same */
    apply(&book, 1, "other", 8);
    apply(&book, 1, "me", 9);
    shard_book_gain(&book, 1);
    assert_false(shard_book_is_fenced(&book, 1, 7));
    assert_true(shard_book_is_fenced(&book, 1, 9));
    assert_false(shard_book_is_fenced(&book, 4, 9));
    shard_book_fini(&book);
}

static void a_row_out_of_range_is_ignored(void **state)
{
    (void)state;
    struct shard_book book;
    shard_book_init(&book, 2, "me");
    struct shard_row row = { 2, STR("b"), STR(""), 1 };
    assert_false(shard_book_apply(&book, &row));
    shard_book_fini(&book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_of_ours_is_gained_once),
        cmocka_unit_test(a_lost_epoch_is_never_held_again),
        cmocka_unit_test(a_node_is_needed_while_it_lives_or_owns),
        cmocka_unit_test(another_owner_or_epoch_means_loss),
        cmocka_unit_test(a_shard_being_handed_over_is_not_retaken),
        cmocka_unit_test(holding_needs_no_lease),
        cmocka_unit_test(the_surplus_is_what_is_above_the_rounded_share),
        cmocka_unit_test(the_poorest_live_router_gets_the_next_shard),
        cmocka_unit_test(a_late_fence_is_no_news),
        cmocka_unit_test(a_row_out_of_range_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

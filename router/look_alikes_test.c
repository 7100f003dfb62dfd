/* Accounts without a mark get theirs page by page, and a store that is away is asked again. */
#include "router/look_alikes.h"

#include "router/store/lifecycle_store.h"
#include "tests/lib/fake_router.h"

#define PAGE 200

static struct look_alikes *looks;
static size_t unmarked;
static size_t marked;
static unsigned lists;
static int64_t last_after;

void lifecycle_list_unmarked(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    (void)store;
    struct lifecycle_row rows[PAGE];
    assert_int_equal(max, PAGE);
    lists++;
    last_after = after_id;
    size_t count = unmarked < PAGE ? unmarked : PAGE;
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct lifecycle_row){ .id = after_id + 1 + (int64_t)i, .bare = STR("a@b") };
    }
    done(context, fake.is_store_down ? ERR_UNAVAILABLE : ERR_OK, rows, count);
}

void lifecycle_mark(struct lifecycle_store *store,
        const struct lifecycle_row *rows,
        size_t count,
        lifecycle_done done,
        void *context)
{
    (void)store;
    assert_true(count > 0 && count <= unmarked && rows[0].id == last_after + 1);
    marked += count;
    unmarked -= count;
    done(context, ERR_OK);
}

static int start(void **state)
{
    int result = fake_start(state);
    unmarked = marked = 0;
    lists = 0;
    looks = look_alikes_create(&fake.router);
    look_alikes_start(looks);
    return result;
}

static int stop(void **state)
{
    look_alikes_destroy(looks);
    return fake_stop(state);
}

static void all_are_marked_in_pages(void **state)
{
    (void)state;
    unmarked = 2 * PAGE + 1;
    fake_advance(5000);
    assert_int_equal(marked, PAGE);
    fake_advance(200);
    assert_int_equal(last_after, PAGE);
    fake_advance(200);
    assert_int_equal(marked, 2 * PAGE + 1);
    assert_int_equal(lists, 3);
    fake_advance(1000);
    assert_int_equal(lists, 3); /* it rests */
    unmarked = 1;
    fake_advance(600000);
    assert_int_equal(lists, 4);
    assert_int_equal(last_after, 0);
    assert_int_equal(unmarked, 0);
}

static void a_store_that_is_away_is_asked_again(void **state)
{
    (void)state;
    unmarked = 1;
    fake.is_store_down = true;
    fake_advance(5000);
    assert_int_equal(marked, 0);
    fake.is_store_down = false;
    fake_advance(5000);
    assert_int_equal(marked, 1);
    assert_int_equal(lists, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_are_marked_in_pages, start, stop),
        cmocka_unit_test_setup_teardown(a_store_that_is_away_is_asked_again, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Logins are written in groups, and never more than are remembered. */
#include "router/login_days.h"

#include "router/store/lifecycle_store.h"
#include "tests/lib/fake_router.h"

static unsigned writes;
static size_t written;
static bool was_login;
static lifecycle_done answer;
static void *answer_context;

void lifecycle_note_use(struct lifecycle_store *store,
        const int64_t *ids,
        size_t count,
        bool is_login,
        lifecycle_done done,
        void *context)
{
    (void)store;
    assert_true(ids[0] > 0);
    writes++;
    written = count;
    was_login = is_login;
    answer = done;
    answer_context = context;
}

static struct login_days *days;

static int start(void **state)
{
    int result = fake_start(state);
    days = login_days_create(&fake.router);
    writes = 0;
    return result;
}

static int stop(void **state)
{
    login_days_destroy(days);
    return fake_stop(state);
}

static void logins_wait_for_each_other(void **state)
{
    (void)state;
    login_days_note(days, 0, true); /* nobody */
    login_days_note(days, 5, true);
    login_days_note(days, 6, true);
    assert_int_equal(writes, 0);
    fake_advance(2000);
    assert_int_equal(writes, 1);
    assert_int_equal(written, 2);
    assert_true(was_login);
    fake_advance(10000);
    assert_int_equal(writes, 1);
}

static void one_write_at_a_time_and_others_after_it(void **state)
{
    (void)state;
    login_days_note(days, 5, false);
    fake_advance(2000);
    assert_false(was_login);
    login_days_note(days, 6, false);
    fake_advance(2000);
    assert_int_equal(writes, 1);
    answer(answer_context, ERR_UNAVAILABLE); /* lost: nobody waits for it */
    fake_advance(2000);
    assert_int_equal(writes, 2);
    assert_int_equal(written, 1);
}

static void a_flood_is_bounded(void **state)
{
    (void)state;
    for (int64_t i = 1; i <= 10000; i++) {
        login_days_note(days, i, true);
    }
    fake_advance(2000);
    assert_int_equal(written, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(logins_wait_for_each_other, start, stop),
        cmocka_unit_test_setup_teardown(one_write_at_a_time_and_others_after_it, start, stop),
        cmocka_unit_test_setup_teardown(a_flood_is_bounded, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

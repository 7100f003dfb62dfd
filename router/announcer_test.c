/* Announcements reach who is there, of that host only, in portions. */
#include "router/announcer.h"

#include "tests/lib/fake_router.h"

static struct announcer *announcer;

static int start(void **state)
{
    int result = fake_start(state);
    announcer = announcer_create(&fake.router);
    return result;
}

static int stop(void **state)
{
    announcer_destroy(announcer);
    return fake_stop(state);
}

static void who_is_there_is_told(void **state)
{
    (void)state;
    fake_login("e1", "alice@example.org/phone", 0);
    fake_login("e2", "bob@example.org/pc", 0);
    fake_clear();
    announcer_begin(announcer, STR("example.org"), STR("Soon"), STR("We go down"));
    announcer_begin(announcer, STR("other.example"), STR_NULL, STR("Not here"));
    fake_advance(10);
    fake_advance(10);
    fake_advance(10);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone volatile");
    assert_seen(out, "DELIVER e2 pc volatile");
    assert_seen(out, "<subject>Soon</subject><body>We go down</body>");
    assert_not_seen(out, "Not here");
}

static void who_has_gone_meanwhile_is_not_woken(void **state)
{
    (void)state;
    fake_login("e2", "bob@example.org/pc", 0);
    announcer_begin(announcer, STR("example.org"), STR_NULL, STR("We go down"));
    fake_close("e2", "bob@example.org/pc");
    fake_clear();
    fake_advance(10);
    assert_not_seen(fake_take_out(), "We go down");
}

static void only_so_many_wait(void **state)
{
    (void)state;
    fake_login("e2", "bob@example.org/pc", 0);
    for (int i = 0; i < ANNOUNCER_MAX; i++) {
        announcer_begin(announcer, STR("example.org"), STR_NULL, STR("once more"));
    }
    announcer_begin(announcer, STR("example.org"), STR_NULL, STR("too many"));
    fake_clear();
    for (int i = 0; i < 2 * ANNOUNCER_MAX; i++) {
        fake_advance(10);
    }
    const char *out = fake_take_out();
    assert_seen(out, "once more");
    assert_not_seen(out, "too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_there_is_told, start, stop),
        cmocka_unit_test_setup_teardown(who_has_gone_meanwhile_is_not_woken, start, stop),
        cmocka_unit_test_setup_teardown(only_so_many_wait, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

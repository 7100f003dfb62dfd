/* XEP-0012. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/pc"

static const char *ask(const char *edge, const char *from, uint32_t counter, const char *to)
{
    struct stanza iq = fake_iq(from, to, STANZA_TYPE_GET, NS_LAST, "query");
    fake_clear();
    fake_input(edge, counter, &iq);
    return fake_take_out();
}

static void the_server_tells_how_long_it_runs_and_oneself_is_here(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.router.started_ms = fake.time.monotonic_ms;
    fake_advance(61500);
    assert_seen(ask("e1", ALICE, 2, "example.org"), "<query xmlns='jabber:iq:last' seconds='61'/>");
    assert_seen(ask("e1", ALICE, 3, ""), "<query xmlns='jabber:iq:last' seconds='0'/>");
    assert_seen(ask("e1", ALICE, 4, "alice@example.org"), "seconds='0'");
}

static void a_stranger_learns_nothing_and_asks_no_client(void **state) /* C09 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    static const char *const names[] = { "alice@example.org",
        "alice@example.org/phone",
        "alice@example.org/none",
        "nobody@example.org",
        "nobody@example.org/x" };
    for (uint32_t i = 0; i < 5; i++) {
        const char *out = ask("e2", BOB, 2 + i, names[i]);
        assert_seen(out, "<service-unavailable");
        assert_not_seen(out, "DELIVER e1");
    }
    fake_login("e3", "alice@example.org/desk", 0);
    assert_seen(ask("e3", "alice@example.org/desk", 2, ALICE), "DELIVER e1 phone volatile <iq");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                the_server_tells_how_long_it_runs_and_oneself_is_here, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_stranger_learns_nothing_and_asks_no_client, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

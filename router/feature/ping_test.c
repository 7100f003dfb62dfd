/* XEP-0199 through a whole entity. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static const char *ask(
        uint32_t counter, const char *to, enum stanza_type type, const char *ns, const char *name)
{
    struct stanza iq = fake_iq(ALICE, to, type, ns, name);
    fake_clear();
    fake_input("e1", counter, &iq);
    return fake_take_out();
}

static void ping_is_answered_by_host_and_own_account(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    const char *out = ask(2, "example.org", STANZA_TYPE_GET, NS_PING, "ping");
    assert_seen(out, "<iq from='example.org' to='alice@example.org/phone' type='result' id='q'");
    out = ask(3, "", STANZA_TYPE_GET, NS_PING, "ping");
    assert_seen(out, "<iq from='alice@example.org' to='alice@example.org/phone' type='result'");
    assert_seen(ask(4, "example.org", STANZA_TYPE_SET, NS_PING, "ping"), "service-unavailable");
    assert_seen(ask(5, "example.org/x", STANZA_TYPE_GET, NS_PING, "ping"), "service-unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                ping_is_answered_by_host_and_own_account, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

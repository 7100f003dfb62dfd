/* RFC 6121 §4 without subscriptions. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define DESK  "alice@example.org/desk"

static void presence_reaches_all_own_sessions(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake_login("e2", DESK, 5);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone volatile <presence from='alice@example.org/desk'");
    assert_seen(out, "DELIVER e2 desk volatile <presence from='alice@example.org/desk'");
    assert_seen(out, "DELIVER e2 desk volatile <presence from='alice@example.org/phone'");
    assert_seen(out, "RECORD alice@example.org/desk e2 available 5");
    struct stanza unavailable = fake_presence(DESK, STANZA_TYPE_UNAVAILABLE, 0);
    fake_input("e2", 2, &unavailable);
    out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone volatile <presence from='alice@example.org/desk'");
    assert_seen(out, "RECORD alice@example.org/desk e2 unavailable");
}

static void directed_presence_is_routed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", "bob@example.org/pc", 0);
    fake_clear();
    struct stanza presence = fake_presence(ALICE, STANZA_TYPE_NONE, 0);
    presence.to = STR("bob@example.org");
    fake_input("e1", 2, &presence);
    assert_seen(fake_take_out(), "DELIVER e2 pc volatile <presence from='alice@example.org/phone'");
}

static void oversized_presence_is_refused(void **state)
{
    (void)state;
    static char big[20000];
    memset(big, 'a', sizeof(big));
    fake_bind("e1", "alice@example.org", "phone");
    struct stanza presence = fake_presence(ALICE, STANZA_TYPE_NONE, 0);
    presence.children = str_from(big, sizeof(big));
    fake_clear();
    fake_input("e1", 1, &presence);
    assert_seen(fake_take_out(), "<not-acceptable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(presence_reaches_all_own_sessions, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(directed_presence_is_routed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(oversized_presence_is_refused, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

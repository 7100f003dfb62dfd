/* XEP-0077 for users who are logged in, and the turn that waits for the store. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define DESK  "alice@example.org/desk"

static const char *ask(
        uint32_t counter, const char *to, enum stanza_type type, const char *ns, const char *name)
{
    struct stanza iq = fake_iq(ALICE, to, type, ns, name);
    fake_clear();
    fake_input("e1", counter, &iq);
    return fake_take_out();
}

static const char *set_register(uint32_t counter, const char *children)
{
    static char xml[1024];
    (void)snprintf(xml, sizeof(xml), "<query xmlns='jabber:iq:register'>%s</query>", children);
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_SET, NS_REGISTER, "query");
    iq.children = str_from_cstr(xml);
    fake_clear();
    fake_input("e1", counter, &iq);
    return fake_take_out();
}

static void registration_tells_who_is_registered_but_no_password(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    const char *out = ask(2, "example.org", STANZA_TYPE_GET, NS_REGISTER, "query");
    assert_seen(out, "<registered/><username>alice</username><password/>");
    fake.host.registration = false;
    out = ask(3, "example.org", STANZA_TYPE_GET, NS_REGISTER, "query");
    assert_seen(out, "service-unavailable");
}

static void new_password_is_stored_as_verifiers_and_then_answered(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    const char *out = set_register(2, "<username>alice</username><password>s3cret</password>");
    assert_before(out, "PASSWORD alice@example.org", "type='result'");
    assert_before(out, "type='result'", "HANDLED e1 phone 2");
    assert_not_seen(out, "s3cret");
}

static void mailbox_stands_still_while_a_turn_waits(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_SET, NS_REGISTER, "query");
    iq.children = STR("<query xmlns='jabber:iq:register'><username>alice</username>"
                      "<password>x</password></query>");
    struct stanza ping = fake_iq(ALICE, "example.org", STANZA_TYPE_GET, NS_VERSION, "query");
    ping.children = STR("<query xmlns='jabber:iq:version'/>");
    fake_clear();
    fake_post_input("e1", 2, &iq);
    fake_post_input("e1", 3, &ping);
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "PASSWORD", "Starling");
    assert_before(out, "type='result'", "Starling");
}

static void bad_password_changes_are_refused(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    assert_seen(set_register(2, "<username>bob</username><password>x</password>"),
            "<forbidden"); /* C28 */
    assert_seen(set_register(3, "<username>alice</username><password/>"), "<bad-request");
    assert_seen(set_register(4, "<password>x</password>"), "<bad-request");
    assert_seen(set_register(5, "<remove/><username>alice</username>"), "<bad-request");
    assert_seen(set_register(6, "<username>alice</username><password>&#xE000;&#x7;</password>"),
            "<error");
}

static void store_that_is_away_is_a_retryable_error(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.is_store_down = true;
    const char *out = set_register(2, "<username>alice</username><password>x</password>");
    assert_seen(out, "<error type='wait'");
    assert_seen(out, "HANDLED e1 phone 2");
}

static void removed_account_ends_everything(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", DESK, 0);
    const char *out = set_register(2, "<remove/>");
    assert_before(out, "DELETE alice@example.org", "type='result'");
    assert_before(out, "type='result'", "KICK e1 phone not-authorized");
    assert_seen(out, "KICK e2 desk not-authorized");
    assert_before(out, "KICK e2 desk", "POKED");
    assert_not_seen(out, "ERASE"); /* the erasure's business */
    fake_bind("e1", "alice@example.org", "phone");
    assert_seen(fake_take_out(), "REFUSED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                registration_tells_who_is_registered_but_no_password, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                new_password_is_stored_as_verifiers_and_then_answered, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                mailbox_stands_still_while_a_turn_waits, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(bad_password_changes_are_refused, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                store_that_is_away_is_a_retryable_error, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(removed_account_ends_everything, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0133: each command's effect, and who may not. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/pc"

static struct str admins[] = { { "alice@example.org", 17 } };
static uint32_t counters[2];

static int start(void **state)
{
    int result = fake_start(state);
    fake.settings.admins = (struct settings_texts){ admins, 1 };
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    counters[0] = counters[1] = 1;
    return result;
}

static const char *run(const char *from, const char *name, const char *fields)
{
    bool is_alice = strcmp(from, ALICE) == 0;
    static char xml[16384];
    (void)snprintf(xml,
            sizeof(xml),
            "<command xmlns='" NS_COMMANDS "' node='" NS_ADMIN "#%s' sessionid='s'>"
            "<x xmlns='jabber:x:data' type='submit'>%s</x></command>",
            name,
            fields);
    struct stanza iq = fake_iq(from, "example.org", STANZA_TYPE_SET, NS_COMMANDS, "command");
    iq.children = str_from_cstr(xml);
    fake_clear();
    fake_input(is_alice ? "e1" : "e2", ++counters[is_alice ? 0 : 1], &iq);
    return fake_take_out();
}

#define JID(jid)       "<field var='accountjid'><value>" jid "</value></field>"
#define JIDS(jid)      "<field var='accountjids'><value>" jid "</value></field>"
#define TWO(a, b)      "<field var='accountjids'><value>" a "</value><value>" b "</value></field>"
#define PASSWORD(text) "<field var='password'><value>" text "</value></field>"
#define VERIFY(text)   "<field var='password-verify'><value>" text "</value></field>"
#define DONE           "sessionid='s' status='completed'"

static void accounts_are_made_and_get_passwords(void **state)
{
    (void)state;
    const char *out = run(ALICE, "add-user", JID("Carol@Example.org") PASSWORD("p") VERIFY("p"));
    assert_before(out, "CREATE carol@example.org", DONE);
    out = run(ALICE, "add-user", JID("bob@example.org") PASSWORD("p") VERIFY("p"));
    assert_seen(out, "<conflict");
    out = run(ALICE, "add-user", JID("dave@example.org") PASSWORD("p") VERIFY("q"));
    assert_seen(out, "<not-acceptable");
    assert_not_seen(out, "CREATE");
    out = run(ALICE, "add-user", JID("dave@example.org"));
    assert_seen(out, "<not-acceptable");
    out = run(ALICE, "change-user-password", JID("bob@example.org") PASSWORD("new"));
    assert_before(out, "PASSWORD bob@example.org", DONE);
}

static void accounts_are_disabled_enabled_and_deleted(void **state)
{
    (void)state;
    const char *out = run(ALICE, "disable-user", JIDS("bob@example.org"));
    assert_before(out, "STATE bob@example.org 1", "CHANGED bob@example.org\n");
    assert_seen(out, "KICK e2 pc not-authorized");
    assert_seen(out, DONE);
    assert_seen(run(ALICE, "reenable-user", JIDS("bob@example.org")), "STATE bob@example.org 0");
    out = run(ALICE, "delete-user", JIDS("bob@example.org"));
    assert_before(out, "DELETE bob@example.org", "CHANGED bob@example.org\n");
    assert_seen(out, DONE);
    assert_seen(run(ALICE, "delete-user", JIDS("nobody@example.org")), "<item-not-found");
}

static void sessions_are_ended(void **state)
{
    (void)state;
    const char *out = run(ALICE, "end-user-session", JIDS("bob@example.org"));
    assert_seen(out, "CHANGED bob@example.org end");
    assert_seen(out, "KICK e2 pc policy-violation");
    assert_seen(run(ALICE, "end-user-session", JIDS("nobody@example.org")), "<item-not-found");
}

static void numbers_and_lists_are_told(void **state)
{
    (void)state;
    assert_seen(run(ALICE, "get-registered-users-num", ""),
            "<field var='registeredusersnum'><value>10</value></field>");
    assert_seen(run(ALICE, "get-disabled-users-num", ""),
            "<field var='disabledusersnum'><value>11</value></field>");
    assert_seen(run(ALICE, "get-online-users-num", ""),
            "<field var='onlineusersnum'><value>2</value></field>");
    fake_close("e2", BOB);
    assert_seen(run(ALICE, "get-online-users-num", ""), "<value>1</value>");
    assert_seen(run(ALICE,
                        "get-registered-users-list",
                        "<field var='max_items'><value>25</value></field>"),
            "<field var='registereduserjids'><value>a@x</value><value>b@x</value><value>max25@x</value></field>");
    assert_seen(run(ALICE,
                        "get-registered-users-list",
                        "<field var='max_items'><value>none</value></field>"),
            "max200@x");
    assert_seen(run(ALICE,
                        "get-registered-users-list",
                        "<field var='max_items'><value>x</value></field>"),
            "<not-acceptable");
}

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "add-user",
        "delete-user",
        "disable-user",
        "reenable-user",
        "end-user-session",
        "change-user-password",
        "get-registered-users-num",
        "get-disabled-users-num",
        "get-online-users-num",
        "get-registered-users-list",
        "get-user-lastlogin",
        "announce" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) { /* C29 */
        const char *out = run(BOB, names[i], JIDS("alice@example.org") PASSWORD("p"));
        assert_seen(out, "<forbidden");
        assert_not_seen(out, "CHANGED");
        assert_not_seen(out, "ANNOUNCE");
    }
    assert_seen(run(ALICE, "delete-user", JIDS("alice@example.org")), "<not-allowed");
    assert_seen(run(ALICE, "delete-user", JIDS("bob@other.example")), "<item-not-found");
    assert_seen(run(ALICE, "delete-user", JIDS("bob@example.org/pc")), "<jid-malformed");
    assert_seen(run(ALICE, "delete-user", JIDS("example.org")), "<jid-malformed");
    assert_seen(run(ALICE, "delete-user", ""), "<bad-request");
    /* All or nothing, if one of them makes no sense. */
    const char *out = run(ALICE, "delete-user", TWO("bob@example.org", "alice@example.org"));
    assert_seen(out, "<not-allowed");
    assert_not_seen(out, "DELETE");
    assert_seen(run(ALICE, "add-user", TWO("a@example.org", "b@example.org") PASSWORD("p")),
            "<bad-request");
}

static void several_accounts_are_changed_by_one_command(void **state)
{
    (void)state;
    const char *out = run(ALICE, "disable-user", TWO("nobody@example.org", "bob@example.org"));
    assert_before(out, "STATE nobody@example.org 1", "STATE bob@example.org 1");
    assert_seen(out, DONE);
    assert_seen(out, "<note type='warn'>Not done for nobody@example.org</note>");
    out = run(ALICE, "reenable-user", TWO("bob@example.org", "alice@example.org"));
    assert_not_seen(out, "<note");
    out = run(ALICE, "delete-user", TWO("nobody@example.org", "no-one@example.org"));
    assert_seen(out, "<item-not-found");
    char many[8192] = "<field var='accountjids'>";
    for (int i = 0; i < 101; i++) {
        (void)snprintf(many + strlen(many),
                sizeof(many) - strlen(many),
                "<value>a%d@example.org</value>",
                i);
    }
    (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "</field>");
    assert_seen(run(ALICE, "delete-user", many), "<not-acceptable");
}

static void the_day_of_the_last_login_is_told(void **state)
{
    (void)state;
    assert_seen(run(ALICE, "get-user-lastlogin", TWO("bob@example.org", "nobody@example.org")),
            "<note type='warn'>Not done for nobody@example.org</note>"
            "<x xmlns='jabber:x:data' type='result'>");
    const char *out = run(ALICE, "get-user-lastlogin", JIDS("bob@example.org"));
    assert_seen(out, "<field var='accountjids'><value>bob@example.org</value></field>");
    assert_seen(out, "<field var='lastlogin'><value>2026-11-27</value></field>");
}

static void announcements_are_passed_on(void **state)
{
    (void)state;
    const char *out = run(ALICE,
            "announce",
            "<field var='subject'><value>Soon</value></field>"
            "<field var='announcement'><value>We go</value><value>down</value></field>");
    assert_before(out, "ANNOUNCE example.org [Soon] We go\ndown\n", DONE);
    assert_seen(run(ALICE, "announce", ""), "<not-acceptable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(accounts_are_made_and_get_passwords, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                accounts_are_disabled_enabled_and_deleted, start, fake_stop),
        cmocka_unit_test_setup_teardown(sessions_are_ended, start, fake_stop),
        cmocka_unit_test_setup_teardown(numbers_and_lists_are_told, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                several_accounts_are_changed_by_one_command, start, fake_stop),
        cmocka_unit_test_setup_teardown(the_day_of_the_last_login_is_told, start, fake_stop),
        cmocka_unit_test_setup_teardown(announcements_are_passed_on, start, fake_stop),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_refused, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

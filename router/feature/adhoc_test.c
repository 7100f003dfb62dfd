/* XEP-0050: who sees which commands, the stages, and what is refused. */
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

static const char *send(
        const char *from, enum stanza_type type, const char *ns, const char *name, const char *xml)
{
    bool is_alice = strcmp(from, ALICE) == 0;
    struct stanza iq = fake_iq(from, "example.org", type, ns, name);
    iq.children = str_from_cstr(xml);
    fake_clear();
    fake_input(is_alice ? "e1" : "e2", ++counters[is_alice ? 0 : 1], &iq);
    return fake_take_out();
}

static const char *run(const char *from, const char *attributes, const char *payload)
{
    char xml[1024];
    (void)snprintf(xml,
            sizeof(xml),
            "<command xmlns='" NS_COMMANDS "' %s>%s</command>",
            attributes,
            payload);
    return send(from, STANZA_TYPE_SET, NS_COMMANDS, "command", xml);
}

#define ITEMS "<query xmlns='" NS_DISCO_ITEMS "' node='" NS_COMMANDS "'/>"
#define ADD   "http://jabber.org/protocol/admin#add-user"

static void only_who_may_run_a_command_sees_it(void **state)
{
    (void)state;
    const char *out = send(ALICE, STANZA_TYPE_GET, NS_DISCO_ITEMS, "query", ITEMS);
    assert_seen(out, "<item jid='example.org' node='" ADD "' name='Add a user'/>");
    out = send(BOB, STANZA_TYPE_GET, NS_DISCO_ITEMS, "query", ITEMS);
    assert_seen(out, "node='" NS_COMMANDS "'></query>");
    out = send(ALICE,
            STANZA_TYPE_GET,
            NS_DISCO_INFO,
            "query",
            "<query xmlns='" NS_DISCO_INFO "' node='" ADD "'/>");
    assert_seen(out, "<identity category='automation' type='command-node' name='Add a user'/>");
    out = send(BOB,
            STANZA_TYPE_GET,
            NS_DISCO_INFO,
            "query",
            "<query xmlns='" NS_DISCO_INFO "' node='" ADD "'/>");
    assert_seen(out, "<forbidden");
    out = send(BOB,
            STANZA_TYPE_GET,
            NS_DISCO_INFO,
            "query",
            "<query xmlns='" NS_DISCO_INFO "' node='" NS_COMMANDS "'/>");
    assert_seen(out, "type='command-list'");
    out = send(BOB,
            STANZA_TYPE_GET,
            NS_DISCO_INFO,
            "query",
            "<query xmlns='" NS_DISCO_INFO "' node='other'/>");
    assert_seen(out, "<item-not-found");
}

static void a_form_is_asked_and_may_be_canceled(void **state)
{
    (void)state;
    const char *out = run(ALICE, "node='" ADD "' action='execute'", "");
    assert_seen(out, "status='executing'><actions execute='complete'><complete/></actions>");
    assert_seen(out, "<field var='accountjid' type='jid-single'");
    assert_seen(out, "sessionid='");
    out = run(ALICE, "node='" ADD "' action='cancel' sessionid='s1'", "");
    assert_seen(out, "sessionid='s1' status='canceled'");
}

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    assert_seen(run(BOB, "node='" ADD "'", ""), "<forbidden"); /* C29 */
    assert_seen(run(ALICE, "node='none'", ""), "<item-not-found");
    assert_seen(run(ALICE, "sessionid='s'", ""), "<item-not-found");
    assert_seen(run(ALICE, "node='" ADD "' action='prev'", ""),
            "<bad-action xmlns='" NS_COMMANDS "'/>");
    assert_seen(run(ALICE, "node='" ADD "' action='x'", ""), "<malformed-action");
    assert_seen(
            run(ALICE, "node='" ADD "'", "<x xmlns='jabber:x:data' type='odd'/>"), "<bad-payload");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_who_may_run_a_command_sees_it, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_form_is_asked_and_may_be_canceled, start, fake_stop),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_refused, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0191: the list, its limits, and what it stops. */
#include "tests/lib/fake_router.h"

#define PHONE "alice@example.org/phone"
#define DESK  "alice@example.org/desk"
#define BOB   "bob@example.org/pc"

static uint32_t counters[3];

static int start(void **state)
{
    int result = fake_start(state);
    fake_login("e1", PHONE, 0);
    fake_login("e2", DESK, 0);
    fake_login("e3", BOB, 0);
    counters[0] = counters[1] = counters[2] = 1;
    return result;
}

static const char *input(const char *edge, const struct stanza *stanza)
{
    fake_clear();
    fake_input(edge, ++counters[edge[1] - '1'], stanza);
    return fake_take_out();
}

static const char *ask(enum stanza_type type, const char *name, const char *items)
{
    struct stanza iq = fake_iq(PHONE, "", type, NS_BLOCKING, name);
    char xml[2048];
    (void)snprintf(xml, sizeof(xml), "<%s xmlns='" NS_BLOCKING "'>%s</%s>", name, items, name);
    iq.children = str_from_cstr(xml);
    return input("e1", &iq);
}

#define BLOCK_BOB ask(STANZA_TYPE_SET, "block", "<item jid='bob@example.org'/>")

static void the_list_is_kept_and_told(void **state)
{
    (void)state;
    assert_seen(ask(STANZA_TYPE_GET, "blocklist", ""),
            "<blocklist xmlns='urn:xmpp:blocking'></blocklist>");
    const char *out = ask(STANZA_TYPE_SET,
            "block",
            "<item jid='Bob@Example.ORG'/><item jid='evil.example'/><item jid='evil.example'/>");
    assert_before(out, "DATA 1 3 bob@example.org\nevil.example\n", "type='result'");
    /* only who asked for the list hears of it */
    assert_seen(out,
            "DELIVER e1 phone volatile <iq from='alice@example.org' to='alice@example.org/phone' type='set' id='push-q'><block xmlns='urn:xmpp:blocking'>");
    assert_not_seen(out, "DELIVER e2");
    assert_seen(ask(STANZA_TYPE_GET, "blocklist", ""),
            "<item jid='bob@example.org'/><item jid='evil.example'/>");
    out = ask(
            STANZA_TYPE_SET, "unblock", "<item jid='bob@example.org'/><item jid='other.example'/>");
    assert_seen(out, "DATA 1 3 evil.example\n");
    out = ask(STANZA_TYPE_SET, "unblock", "");
    assert_seen(out, "DATA 1 3 \n");
    assert_seen(out, "<unblock xmlns='urn:xmpp:blocking'></unblock>");
    assert_seen(ask(STANZA_TYPE_GET, "blocklist", ""),
            "<blocklist xmlns='urn:xmpp:blocking'></blocklist>");
    assert_not_seen(ask(STANZA_TYPE_SET, "unblock", ""), "DATA");
}

static void what_is_wrong_changes_nothing(void **state)
{
    (void)state;
    assert_seen(ask(STANZA_TYPE_SET, "block", ""), "<bad-request");
    assert_seen(ask(STANZA_TYPE_SET, "block", "<item jid='a@b@c'/>"), "<jid-malformed");
    assert_seen(ask(STANZA_TYPE_SET, "block", "<item/>"), "<jid-malformed");
    assert_seen(ask(STANZA_TYPE_SET, "block", "<other jid='a@b'/>"), "<bad-request");
    const char *out = ask(STANZA_TYPE_SET,
            "block",
            "<item jid='1.example'/><item jid='2.example'/><item jid='3.example'/><item jid='4.example'/><item jid='5.example'/><item jid='6.example'/>");
    assert_seen(out, "<resource-constraint");
    assert_not_seen(out, "DATA");
    (void)ask(STANZA_TYPE_SET,
            "block",
            "<item jid='1.example'/><item jid='2.example'/><item jid='3.example'/><item jid='4.example'/><item jid='5.example'/>");
    out = BLOCK_BOB; /* C11 */
    assert_seen(out, "<resource-constraint");
    assert_not_seen(out, "DATA");
    fake.is_store_down = true;
    out = ask(STANZA_TYPE_SET, "unblock", "");
    assert_seen(out, "<internal-server-error");
    fake.is_store_down = false;
    fake_advance(10000); /* what the store has is read again */
    assert_seen(ask(STANZA_TYPE_GET, "blocklist", ""), "<item jid='1.example'/>");
}

static void a_blocked_contact_meets_a_wall(void **state) /* C35 */
{
    (void)state;
    (void)BLOCK_BOB;
    struct stanza message = fake_message(BOB, PHONE, "<body>x</body>");
    const char *out = input("e3", &message);
    assert_seen(out, "DELIVER e3 pc volatile <message from='alice@example.org/phone'");
    assert_seen(out, "<service-unavailable");
    assert_not_seen(out, "ENTRY");
    assert_not_seen(out, "DELIVER e1");
    assert_seen(out, "HANDLED e3");
    message.type = STANZA_TYPE_ERROR;
    message.flags = STANZA_HAS_ERROR;
    assert_not_seen(input("e3", &message), "DELIVER");
    struct stanza presence = fake_presence(BOB, STANZA_TYPE_NONE, 0);
    presence.to = STR(PHONE);
    assert_not_seen(input("e3", &presence), "DELIVER");
    struct stanza iq = fake_iq(BOB, PHONE, STANZA_TYPE_GET, NS_PING, "ping");
    out = input("e3", &iq);
    assert_seen(out, "<service-unavailable");
    assert_not_seen(out, "DELIVER e1");
    iq.type = STANZA_TYPE_RESULT;
    assert_not_seen(input("e3", &iq), "DELIVER");
    (void)ask(STANZA_TYPE_SET, "unblock", "<item jid='bob@example.org'/>");
    message.type = STANZA_TYPE_CHAT;
    message.flags = STANZA_HAS_BODY;
    assert_seen(input("e3", &message), "DELIVER e1 phone kept");
}

static void nothing_goes_to_a_blocked_contact(void **state) /* C35 */
{
    (void)state;
    (void)BLOCK_BOB;
    struct stanza message = fake_message(PHONE, BOB, "<body>x</body>");
    const char *out = input("e1", &message);
    assert_seen(out,
            "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><blocked xmlns='urn:xmpp:blocking:errors'/>");
    assert_not_seen(out, "DELIVER e3");
    struct stanza iq = fake_iq(PHONE, BOB, STANZA_TYPE_RESULT, NS_PING, "ping");
    assert_not_seen(input("e1", &iq), "DELIVER");
}

static void oneself_and_the_own_server_stay_within_reach(void **state)
{
    (void)state;
    (void)ask(STANZA_TYPE_SET, "block", "<item jid='example.org'/>");
    struct stanza iq = fake_iq(PHONE, "example.org", STANZA_TYPE_GET, NS_PING, "ping");
    assert_seen(input("e1", &iq), "type='result'");
    struct stanza message = fake_message(PHONE, DESK, "<body>x</body>");
    assert_seen(input("e1", &message), "DELIVER e2 desk kept");
    message = fake_message(BOB, PHONE, "<body>x</body>");
    assert_seen(input("e3", &message), "<service-unavailable");
}

static void the_next_home_knows_the_list(void **state)
{
    (void)state;
    (void)BLOCK_BOB;
    entity_drop_shard(fake.router.entities, jid_shard(STR("alice@example.org"), FAKE_SHARDS));
    fake_run();
    struct stanza message = fake_message(BOB, "alice@example.org", "<body>x</body>");
    assert_seen(input("e3", &message), "<service-unavailable");
}

static void an_old_home_writes_nothing_and_answers_nothing(void **state)
{
    (void)state;
    fake.is_fenced = true;
    const char *out = BLOCK_BOB;
    assert_seen(out, "FENCED");
    assert_not_seen(out, "type='");
    assert_not_seen(out, "HANDLED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_list_is_kept_and_told, start, fake_stop),
        cmocka_unit_test_setup_teardown(what_is_wrong_changes_nothing, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_blocked_contact_meets_a_wall, start, fake_stop),
        cmocka_unit_test_setup_teardown(nothing_goes_to_a_blocked_contact, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                oneself_and_the_own_server_stay_within_reach, start, fake_stop),
        cmocka_unit_test_setup_teardown(the_next_home_knows_the_list, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                an_old_home_writes_nothing_and_answers_nothing, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

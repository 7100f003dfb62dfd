/* XEP-0030: the answers follow the table of features. */
#include "router/host_info.h"
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

static void disco_tells_what_the_table_of_features_says(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    const char *out = ask(2, "example.org", STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    assert_seen(out, "<identity category='server' type='im' name='Starling' xml:lang='en'/>");
    assert_seen(out, "<feature var='urn:xmpp:ping'/>");
    assert_seen(out, "<feature var='msgoffline'/>");
    assert_seen(out, "<feature var='jabber:iq:register'/>");
    out = ask(3, "alice@example.org", STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    assert_seen(out, "<identity category='account' type='registered'/>");
    assert_seen(out, "urn:xmpp:sid:0");
    assert_not_seen(out, "msgoffline");
    out = ask(4, "example.org", STANZA_TYPE_GET, NS_DISCO_ITEMS, "query");
    assert_seen(out, "disco#items");
    fake.host.registration = false;
    out = ask(5, "example.org", STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    assert_not_seen(out, "jabber:iq:register");
}

static void disco_knows_no_nodes(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    iq.children = STR("<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>");
    fake_clear();
    fake_input("e1", 2, &iq);
    assert_seen(fake_take_out(), "<item-not-found");
}

static const char *ask_node(uint32_t counter, const char *to, const char *node)
{
    static char query[512];
    (void)snprintf(query,
            sizeof(query),
            "<query xmlns='http://jabber.org/protocol/disco#info' node='%s'/>",
            node);
    struct stanza iq = fake_iq(ALICE, to, STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    iq.children = str_from_cstr(query);
    fake_clear();
    fake_input("e1", counter, &iq);
    return fake_take_out();
}

static void the_host_answers_for_what_it_announces(void **state) /* XEP-0115 §6.2, XEP-0390 §5.5 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.router.host_info = host_info_create();
    host_info_refresh(fake.router.host_info, &fake.settings);
    struct host_announcement said;
    assert_true(host_info_get(fake.router.host_info, 0, &said));
    struct buf xml;
    buf_init(&xml, 0);
    caps_write_announced(&xml, &said.hashes);
    buf_append_char(&xml, '\0');
    char node[128];
    const char *ver = strstr(xml.data, "ver='") + 5;
    (void)snprintf(node, sizeof(node), CAPS_NODE "#%.28s", ver);
    const char *out = ask_node(2, "example.org", node);
    assert_seen(out, node);
    assert_seen(out, "name='Starling'");
    assert_seen(out, "<feature var='http://jabber.org/protocol/caps'/>");
    assert_seen(out, "<feature var='urn:xmpp:caps'/>");
    assert_seen(ask_node(3, "alice@example.org", node), "<item-not-found");
    const char *hash = strstr(xml.data, "sha3-256'>") + 10;
    (void)snprintf(node, sizeof(node), NS_CAPS2 "#sha3-256.%.44s", hash);
    assert_seen(ask_node(4, "example.org", node), "name='Starling'");
    node[strlen(node) - 2] = '!';
    assert_seen(ask_node(5, "example.org", node), "<item-not-found");
    buf_fini(&xml);
    host_info_destroy(fake.router.host_info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                disco_tells_what_the_table_of_features_says, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(disco_knows_no_nodes, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                the_host_answers_for_what_it_announces, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

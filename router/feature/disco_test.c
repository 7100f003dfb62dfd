/* XEP-0030: the answers follow the table of features. */
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
    assert_seen(out, "<identity category='server' type='im' name='Starling'/>");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                disco_tells_what_the_table_of_features_says, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(disco_knows_no_nodes, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0455: the form in disco#info. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static const struct contact_addresses *contacts;

const struct contact_addresses *settings_find_contacts(
        const struct settings *settings, struct str domain)
{
    (void)settings;
    assert_true(str_equal(domain, STR("example.org")));
    return contacts;
}

static const char *ask(uint32_t counter, const char *to)
{
    struct stanza iq = fake_iq(ALICE, to, STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    fake_clear();
    fake_input("e1", counter, &iq);
    return fake_take_out();
}

static void the_host_tells_where_to_look(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    assert_not_seen(ask(2, "example.org"), "urn:xmpp:sos:0");
    struct contact_addresses addresses = { .host = STR("example.org") };
    contacts = &addresses;
    assert_not_seen(ask(3, "example.org"), "urn:xmpp:sos:0");
    struct str uris[] = { STR("https://a.example/s.json?a=1&b=2"), STR("https://b.example/") };
    addresses.outage_status = (struct settings_texts){ uris, 2 };
    assert_seen(ask(4, "example.org"),
            "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
            "<value>urn:xmpp:sos:0</value></field>"
            "<field var='external-status-addresses' type='list-multi'>"
            "<value>https://a.example/s.json?a=1&amp;b=2</value>"
            "<value>https://b.example/</value></field></x>");
    assert_not_seen(ask(5, "alice@example.org"), "urn:xmpp:sos:0");
    contacts = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_host_tells_where_to_look, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

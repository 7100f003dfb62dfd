/* XEP-0157: the form in disco#info. */
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

static void the_host_tells_its_addresses(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    assert_not_seen(ask(2, "example.org"), "jabber:x:data");
    struct str abuse[] = { STR("mailto:abuse@example.org"), STR("xmpp:abuse@example.org") };
    struct str status[] = { STR("https://status.example.org/?a=1&b=2") };
    struct contact_addresses addresses = {
        .uris = { [CONTACT_ABUSE] = { abuse, 2 }, [CONTACT_STATUS] = { status, 1 } }
    };
    contacts = &addresses;
    const char *out = ask(3, "example.org");
    assert_seen(out,
            "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
            "<value>http://jabber.org/network/serverinfo</value></field>"
            "<field var='abuse-addresses' type='list-multi'><value>mailto:abuse@example.org</value>"
            "<value>xmpp:abuse@example.org</value></field>"
            "<field var='status-addresses' type='list-multi'>"
            "<value>https://status.example.org/?a=1&amp;b=2</value></field></x></query>");
    assert_not_seen(ask(4, "alice@example.org"), "serverinfo");
    contacts = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_host_tells_its_addresses, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0377: what administrators hear of a block. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static struct str admins[] = { { "bob@example.org", 15 } };
static uint32_t counter;

static int start(void **state)
{
    int result = fake_start(state);
    fake.settings.admins = (struct settings_texts){ admins, 1 };
    fake_login("e1", ALICE, 0);
    fake_login("e2", "bob@example.org/pc", 0);
    counter = 1;
    return result;
}

static const char *ask(const char *name, const char *items)
{
    char xml[8192];
    (void)snprintf(xml, sizeof(xml), "<%s xmlns='" NS_BLOCKING "'>%s</%s>", name, items, name);
    struct stanza iq = fake_iq(ALICE, "", STANZA_TYPE_SET, NS_BLOCKING, name);
    iq.children = str_from_cstr(xml);
    fake_clear();
    fake_input("e1", ++counter, &iq);
    return fake_take_out();
}

#define SPAM(rest) \
    "<report xmlns='" NS_REPORTING "' reason='urn:xmpp:reporting:spam'>" rest "</report>"

static void a_report_reaches_the_administrators(void **state)
{
    (void)state;
    const char *out = ask("block",
            "<item jid='eve@evil.example'>" SPAM(
                    "<text>buy &lt;now&gt;</text>") "</item><item jid='x@y.example'/>");
    assert_seen(out,
            "DELIVER e2 pc kept <message from='example.org' to='bob@example.org' type='normal'><body>alice@example.org has blocked and reported eve@evil.example (urn:xmpp:reporting:spam): buy &lt;now&gt;</body>");
    assert_not_seen(out, "x@y.example (");
    assert_before(out, "DATA", "has blocked");
    assert_not_seen(
            ask("block", "<item jid='eve@evil.example'>" SPAM("") "</item>"), "has blocked");
    assert_not_seen(
            ask("unblock", "<item jid='eve@evil.example'>" SPAM("") "</item>"), "has blocked");
    assert_not_seen(
            ask("block", "<item jid='eve@evil.example'><report xmlns='" NS_REPORTING "'/></item>"),
            "has blocked");
    assert_not_seen(ask("unblock", ""), "has blocked");
}

static void reports_are_cut_and_counted(void **state)
{
    (void)state;
    char item[4096] =
            "<item jid='eve@evil.example'><report xmlns='" NS_REPORTING "' reason='r'><text>";
    size_t len = strlen(item);
    memset(item + len, 'a', 3000);
    memcpy(item + len + 3000, "</text></report></item>", 24);
    const char *out = ask("block", item);
    assert_seen(out, "aaaa</body>");
    const char *body = strstr(out, "<body>");
    assert_true((size_t)(strstr(body, "</body>") - body) < 2200);
    for (int i = 0; i < 9; i++) {
        (void)ask("unblock", "");
        assert_seen(
                ask("block", "<item jid='eve@evil.example'>" SPAM("") "</item>"), "has blocked");
    }
    (void)ask("unblock", "");
    assert_not_seen(
            ask("block", "<item jid='eve@evil.example'>" SPAM("") "</item>"), "has blocked");
    (void)ask("unblock", "");
    fake.time.wall_us += INT64_C(3600000000);
    assert_seen(ask("block", "<item jid='eve@evil.example'>" SPAM("") "</item>"), "has blocked");
}

static void it_is_offered_where_somebody_listens(void **state)
{
    (void)state;
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    fake_clear();
    fake_input("e1", ++counter, &iq);
    assert_seen(fake_take_out(), NS_REPORTING);
    fake.settings.admins.count = 0;
    fake_input("e1", ++counter, &iq);
    assert_not_seen(fake_take_out(), NS_REPORTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_report_reaches_the_administrators, start, fake_stop),
        cmocka_unit_test_setup_teardown(reports_are_cut_and_counted, start, fake_stop),
        cmocka_unit_test_setup_teardown(it_is_offered_where_somebody_listens, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

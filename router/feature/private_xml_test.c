/* XEP-0049. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static uint32_t counter;

static int start(void **state)
{
    int result = fake_start(state);
    fake_login("e1", ALICE, 0);
    counter = 1;
    return result;
}

static const char *ask(enum stanza_type type, const char *children)
{
    struct stanza iq = fake_iq(ALICE, "", type, NS_PRIVATE, "query");
    char xml[4096];
    (void)snprintf(xml, sizeof(xml), "<query xmlns='" NS_PRIVATE "'>%s</query>", children);
    iq.children = str_from_cstr(xml);
    fake_clear();
    fake_input("e1", ++counter, &iq);
    return fake_take_out();
}

#define PREFS "<p xmlns='my:prefs'>a<b/>c<d>&lt;</d></p>"

static void what_is_kept_comes_back_to_the_byte(void **state)
{
    (void)state;
    const char *out = ask(STANZA_TYPE_SET, PREFS "<q xmlns='my:prefs'><n/></q>");
    assert_before(out, "DATA 1 1 " PREFS, "type='result'");
    assert_seen(ask(STANZA_TYPE_GET, "<p xmlns='my:prefs'/>"),
            "<query xmlns='jabber:iq:private'>" PREFS "</query>");
    assert_seen(ask(STANZA_TYPE_GET, "<q xmlns='my:prefs'/>"), "<q xmlns='my:prefs'><n/></q>");
    assert_seen(ask(STANZA_TYPE_GET, "<p xmlns='other'/>"),
            "<query xmlns='jabber:iq:private'><p xmlns='other'/></query>");
    (void)ask(STANZA_TYPE_SET, "<p xmlns='my:prefs'/>");
    assert_seen(ask(STANZA_TYPE_GET, "<p xmlns='my:prefs'/>"),
            "<query xmlns='jabber:iq:private'><p xmlns='my:prefs'/></query>");
    (void)ask(STANZA_TYPE_SET, "<p xmlns='x'>1</p><p xmlns='x'>2</p>");
    assert_seen(ask(STANZA_TYPE_GET, "<p xmlns='x'/>"), "<p xmlns='x'>1</p><p xmlns='x'>2</p>");
}

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    assert_seen(ask(STANZA_TYPE_SET, ""), "<not-acceptable");
    assert_seen(ask(STANZA_TYPE_SET, "<a/>"), "<not-acceptable");
    assert_seen(ask(STANZA_TYPE_SET, "<p xmlns='x'/><a/>"), "<not-acceptable");
    assert_seen(ask(STANZA_TYPE_GET, ""), "<bad-request");
    assert_seen(ask(STANZA_TYPE_GET, "<a xmlns='x'/><b xmlns='x'/>"), "<bad-request");
    assert_seen(ask(STANZA_TYPE_GET, "<a/>"), "<not-acceptable");
    char big[1200] = "<p xmlns='x'>";
    memset(big + strlen(big), 'a', 1100);
    memcpy(big + 1113, "</p>", 5);
    const char *out = ask(STANZA_TYPE_SET, big); /* C27 */
    assert_seen(out, "<resource-constraint");
    assert_not_seen(out, "DATA");
    fake.is_store_down = true;
    assert_seen(ask(STANZA_TYPE_GET, "<p xmlns='x'/>"), "<internal-server-error");
    assert_seen(ask(STANZA_TYPE_SET, "<p xmlns='x'>1</p>"), "<internal-server-error");
    fake.is_store_down = false;
    fake_advance(10000);
    char many[4000] = "";
    for (int i = 0; i < 101; i++) {
        (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "<p xmlns='%d'>1</p>", i);
    }
    assert_seen(ask(STANZA_TYPE_SET, many), "<not-acceptable");
}

static void others_get_nothing(void **state) /* §4 */
{
    (void)state;
    fake_login("e2", "bob@example.org/pc", 0);
    (void)ask(STANZA_TYPE_SET, PREFS);
    struct stanza iq = fake_iq(
            "bob@example.org/pc", "alice@example.org", STANZA_TYPE_GET, NS_PRIVATE, "query");
    iq.children = STR("<query xmlns='jabber:iq:private'><p xmlns='my:prefs'/></query>");
    fake_clear();
    fake_input("e2", 2, &iq);
    const char *out = fake_take_out();
    assert_seen(out, "<service-unavailable");
    assert_not_seen(out, "my:prefs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_kept_comes_back_to_the_byte, start, fake_stop),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_refused, start, fake_stop),
        cmocka_unit_test_setup_teardown(others_get_nothing, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

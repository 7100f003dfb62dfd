/* XEP-0092: what is told and what is not. */
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

static void version_is_kept_back_unless_wanted(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    const char *out = ask(2, "example.org", STANZA_TYPE_GET, NS_VERSION, "query");
    assert_seen(out, "<name>Starling</name>");
    assert_not_seen(out, "<os>");
    assert_not_seen(out, "<version>" STARLING_VERSION);
    fake.settings.show_version = true;
    out = ask(3, "example.org", STANZA_TYPE_GET, NS_VERSION, "query");
    assert_seen(out, "<version>" STARLING_VERSION "</version><os>Linux</os>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(version_is_kept_back_unless_wanted, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

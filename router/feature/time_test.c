/* XEP-0202 with a clock that stands still. */
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

static void time_is_utc_of_the_clock(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    assert_seen(ask(2, "example.org", STANZA_TYPE_GET, NS_TIME, "time"),
            "<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2023-11-14T22:13:20.000Z</utc></time>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(time_is_utc_of_the_clock, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

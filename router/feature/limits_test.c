/* What one account may send (C21), and to how many strangers. */
#include "tests/lib/fake_router.h"

#define ALICE   "alice@example.org/phone"
#define DESK    "alice@example.org/desk"
#define BOB     "bob@example.org/pc"
#define HOUR_MS INT64_C(3600000)
#define BODY    "<body xmlns='jabber:client'>hello</body>"

static uint32_t counters[3];

static int start(void **state)
{
    int result = fake_start(state);
    fake_login("e1", ALICE, 0);
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

static const char *say(const char *edge, const char *from, const char *to)
{
    struct stanza message = fake_message(from, to, BODY);
    return input(edge, &message);
}

static void stanzas_of_all_sessions_count_together(void **state) /* C21 */
{
    (void)state;
    fake.settings.quotas[QUOTA_STANZAS] = quota_limit_rate(1, 4);
    for (int i = 0; i < 2; i++) {
        assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
        assert_not_seen(say("e2", DESK, "bob@example.org"), "<policy-violation");
    }
    assert_seen(say("e2", DESK, "bob@example.org"), "DELIVER e2 desk volatile <message");
    assert_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    assert_not_seen(say("e3", BOB, "alice@example.org"), "<policy-violation"); /* his own */
    struct stanza gone = fake_presence(ALICE, STANZA_TYPE_UNAVAILABLE, 0);
    assert_not_seen(input("e1", &gone), "<policy-violation");
    fake_advance(1000);
    assert_not_seen(say("e2", DESK, "bob@example.org"), "<policy-violation");
    assert_seen(say("e2", DESK, "bob@example.org"), "<policy-violation");
}

static void bytes_are_limited(void **state) /* C21 */
{
    (void)state;
    fake.settings.quotas[QUOTA_BYTES] = quota_limit_rate(50, 100);
    assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    assert_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    fake_advance(1000);
    assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
}

static void a_host_has_a_limit_of_its_own(void **state)
{
    (void)state;
    static const uint8_t secret[QUOTA_SECRET_BYTES];
    fake.router.quota = quota_create(NULL, NULL, secret);
    fake.host.stanzas = quota_limit_rate(1, 2);
    assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    assert_not_seen(say("e3", BOB, "alice@example.org"), "<policy-violation");
    assert_seen(say("e3", BOB, "alice@example.org"), "<policy-violation");
    assert_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    quota_destroy(fake.router.quota);
    fake.router.quota = NULL;
}

static void new_strangers_are_limited_and_talk_is_not(void **state)
{
    (void)state;
    fake.settings.quotas[QUOTA_STRANGERS] = quota_limit_in(2, HOUR_MS);
    for (int i = 0; i < 5; i++) {
        assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
        assert_not_seen(say("e2", DESK, "bob@example.org/pc"), "<policy-violation");
    }
    assert_not_seen(say("e1", ALICE, "x@example.org"), "<policy-violation");
    assert_seen(say("e1", ALICE, "y@example.org"), "<policy-violation");
    assert_not_seen(say("e1", ALICE, "x@example.org"), "<policy-violation");
    assert_not_seen(say("e1", ALICE, "alice@example.org"), "<policy-violation");
    assert_not_seen(say("e1", ALICE, "example.org"), "<policy-violation");
    fake_advance(HOUR_MS / 2);
    fake_clear();
    assert_not_seen(say("e1", ALICE, "y@example.org"), "<policy-violation");
    assert_seen(say("e1", ALICE, "z@example.org"), "<policy-violation");
}

static void answers_are_free(void **state)
{
    (void)state;
    fake.settings.quotas[QUOTA_STRANGERS] = quota_limit_in(1, HOUR_MS);
    assert_not_seen(say("e1", ALICE, "x@example.org"), "<policy-violation");
    assert_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    assert_not_seen(say("e3", BOB, "alice@example.org"), "<policy-violation");
    assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
}

static void contacts_are_no_strangers(void **state)
{
    (void)state;
    fake.settings.quotas[QUOTA_STRANGERS] = quota_limit_in(1, HOUR_MS);
    struct stanza ask = fake_presence(BOB, STANZA_TYPE_SUBSCRIBE, 0);
    ask.to = STR("alice@example.org");
    (void)input("e3", &ask);
    assert_not_seen(say("e1", ALICE, "x@example.org"), "<policy-violation");
    assert_not_seen(say("e1", ALICE, "bob@example.org"), "<policy-violation");
    assert_seen(say("e1", ALICE, "y@example.org"), "<policy-violation");
}

static void an_offline_account_keeps_up_to_its_quota(void **state) /* C34 */
{
    (void)state;
    fake.settings.offline_max_messages = 3;
    fake_close("e3", BOB);
    fake_run();
    for (int i = 0; i < 3; i++) {
        assert_seen(say("e1", ALICE, "bob@example.org"), "ENTRY");
    }
    const char *out = say("e1", ALICE, "bob@example.org");
    assert_not_seen(out, "ENTRY");
    assert_seen(out, "<service-unavailable");
    assert_seen(out, "HANDLED e1 phone"); /* answered, so not repeated */
    fake.settings.offline_max_messages = 0;
    fake.settings.offline_max_bytes = 100;
    assert_seen(say("e1", ALICE, "bob@example.org"), "<service-unavailable");
    fake.settings.offline_max_bytes = 100000;
    assert_seen(say("e1", ALICE, "bob@example.org"), "ENTRY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stanzas_of_all_sessions_count_together, start, fake_stop),
        cmocka_unit_test_setup_teardown(bytes_are_limited, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_host_has_a_limit_of_its_own, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                new_strangers_are_limited_and_talk_is_not, start, fake_stop),
        cmocka_unit_test_setup_teardown(answers_are_free, start, fake_stop),
        cmocka_unit_test_setup_teardown(contacts_are_no_strangers, start, fake_stop),
        cmocka_unit_test_setup_teardown(an_offline_account_keeps_up_to_its_quota, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

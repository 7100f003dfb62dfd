/* Client state: what waits, in which order it comes, with and without numbers. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static void tell_state(bool is_inactive)
{
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__ClientState message = WIRE__CLIENT_STATE__INIT;
    message.session = &session;
    message.bare = wire_bytes(STR("bob@example.org"));
    message.is_inactive = is_inactive;
    entity_on_client_state(fake.router.entities, "e2", &message);
    fake_run();
}

static int start_inactive(void **state)
{
    (void)fake_start(state);
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_login("e3", "bob@example.org/bag", 0);
    tell_state(true);
    fake_clear();
    return 0;
}

static void bag_shows(uint32_t counter, int priority)
{
    struct stanza presence = fake_presence("bob@example.org/bag", STANZA_TYPE_NONE, priority);
    fake_input("e3", counter, &presence);
}

static void say(uint32_t counter, const char *body)
{
    struct stanza message = fake_message(ALICE, BOB, body);
    message.flags = strstr(body, "<body") ? STANZA_HAS_BODY : STANZA_CHAT_STATE_ONLY;
    fake_input("e1", counter, &message);
}

static void states_wait_for_what_matters(void **state)
{
    (void)state;
    bag_shows(2, 1);
    bag_shows(3, 2);
    say(2, "<composing/>");
    assert_not_seen(fake_take_out(), "DELIVER e2");
    say(3, "<body>x</body>");
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2 desk volatile <presence", "DELIVER e2 desk volatile <message");
    assert_before(out, "<composing/>", "DELIVER e2 desk kept");
    bag_shows(4, 3); /* still inactive */
    assert_not_seen(fake_take_out(), "DELIVER e2");
}

static void nothing_waits_where_it_is_switched_off(void **state)
{
    (void)state;
    fake.settings.csi_max_held = 0;
    bag_shows(2, 1);
    assert_seen(fake_take_out(), "DELIVER e2 desk volatile <presence");
    fake.settings.csi_max_held = 1;
    bag_shows(3, 2);
    assert_not_seen(fake_take_out(), "DELIVER e2");
    say(2, "<composing/>"); /* of another sender: both go */
    assert_before(fake_take_out(), "<presence", "<composing/>");
}

static void states_come_when_the_client_is_active(void **state)
{
    (void)state;
    bag_shows(2, 1);
    fake_clear();
    tell_state(false);
    assert_seen(fake_take_out(), "DELIVER e2 desk volatile <presence");
    bag_shows(3, 2);
    assert_seen(fake_take_out(), "DELIVER e2 desk volatile <presence");
}

static void numbers_are_given_when_they_come(void **state)
{
    (void)state;
    fake_enable("e2", BOB, true);
    bag_shows(2, 1);
    fake_clear();
    say(2, "<body>x</body>");
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2 desk #1 volatile <presence", "DELIVER e2 desk #2 kept");
    fake_detach("e2", BOB, 0);
    bag_shows(3, 2);
    fake_post_resume("e4", "bob@example.org", 2);
    fake_run();
    out = fake_take_out();
    assert_seen(out, "RESUMED e4 desk");
    assert_not_seen(out, "DELIVER e4"); /* until the edge says that it is active */
}

/* What must not get lost never waits here, whatever it looks like: not in the log's mode, where it
 * has a log id, and not in the other one, where it looks like a volatile one. */
static void receipts_and_what_is_to_be_stored_do_not_wait(void **state)
{
    (void)state;
    static const uint32_t flags[] = {
        STANZA_HAS_RECEIPT,
        STANZA_HAS_RECEIPT | STANZA_HINT_NO_STORE,
        STANZA_CHAT_STATE_ONLY | STANZA_HINT_STORE,
    };
    fake_enable("e2", BOB, true);
    uint32_t counter = 2;
    for (unsigned i = 0; i < 6; i++) {
        fake.settings.is_routed = i % 2 == 1;
        bag_shows(counter, 1);
        assert_not_seen(fake_take_out(), "DELIVER e2");
        struct stanza message = fake_message(ALICE, BOB, "<x/>");
        message.flags = flags[i / 2];
        fake_input("e1", counter++, &message);
        const char *sent = strstr(fake_take_out(), "DELIVER e2 desk #");
        assert_non_null(sent);
        assert_before(sent, "<presence", "<x/>");
        fake_acked("e2", BOB, 2 * (i + 1));
    }
}

/* messages.durability: routed. It was handed to a client that has never seen it. */
static void receipt_of_a_session_that_ends_goes_on(void **state)
{
    (void)state;
    fake.settings.is_routed = true;
    fake_enable("e2", BOB, true);
    fake_detach("e2", BOB, 0);
    struct stanza message = fake_message(ALICE, BOB, "<received/>");
    message.flags = STANZA_HAS_RECEIPT;
    fake_input("e1", 2, &message);
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
    fake_advance(301000);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e3 bag");
    assert_seen(out, "<received/>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(states_wait_for_what_matters, start_inactive, fake_stop),
        cmocka_unit_test_setup_teardown(
                nothing_waits_where_it_is_switched_off, start_inactive, fake_stop),
        cmocka_unit_test_setup_teardown(
                states_come_when_the_client_is_active, start_inactive, fake_stop),
        cmocka_unit_test_setup_teardown(
                numbers_are_given_when_they_come, start_inactive, fake_stop),
        cmocka_unit_test_setup_teardown(
                receipts_and_what_is_to_be_stored_do_not_wait, start_inactive, fake_stop),
        cmocka_unit_test_setup_teardown(
                receipt_of_a_session_that_ends_goes_on, start_inactive, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* messages.durability: routed. What is delivered at once is not kept; what is not, is. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"
#define TEXT  "<body>hello</body>"

static void say(uint32_t counter, const char *children)
{
    struct stanza message = fake_message(ALICE, "bob@example.org", children);
    fake_input("e1", counter, &message);
}

static void count_answer(void *context, enum err err)
{
    assert_int_equal(err, ERR_OK);
    ++*(unsigned *)context;
}

static int start_routed(void **state)
{
    (void)fake_start(state);
    fake.settings.is_routed = true;
    fake.is_redis_up = true;
    fake_login("e1", ALICE, 0);
    fake_clear();
    return 0;
}

static void online_messages_are_delivered_and_acked_without_the_log(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, TEXT);
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2 desk", "HANDLED e1 phone 2");
    assert_not_seen(out, "ENTRY");
    assert_not_seen(out, "INPUT");
}

static void forged_stamps_are_removed(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_clear();
    say(2, TEXT "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.org' id='1'/>");
    assert_not_seen(fake_take_out(), "by='bob@example.org'");
}

static void offline_messages_are_kept(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(2, TEXT);
    const char *out = fake_take_out();
    assert_seen(out, "ENTRY 2");
    assert_not_seen(out, "HANDLED"); /* it is nowhere else */
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
}

static void messages_behind_the_log_go_through_it(void **state)
{
    (void)state;
    for (uint32_t counter = 2; counter < 7; counter++) {
        say(counter, TEXT);
    }
    fake_login("e2", BOB, 0); /* a page of two comes; the rest waits for its confirmation */
    fake_clear();
    say(7, "<body>newest</body>");
    const char *out = fake_take_out();
    assert_seen(out, "ENTRY 2");
    assert_not_seen(out, "DELIVER");
}

static void unacknowledged_messages_are_kept_when_the_session_ends(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_enable("e2", BOB, true);
    fake_detach("e2", BOB, 0);
    fake_clear();
    say(2, TEXT);
    const char *out = fake_take_out();
    assert_seen(out, "HANDLED e1 phone 2");
    assert_not_seen(out, "SPOOL");
    fake_advance(301000); /* the resume time-out */
    assert_seen(fake_take_out(), "ENTRY 2 <message");
}

/* P3: an older one that comes back does not come behind a newer one. */
static void unacknowledged_messages_stay_in_front_of_newer_ones(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_enable("e2", BOB, true);
    say(2, "<body>first</body>");
    say(3, "<body>second</body>");
    fake_clear();
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Close close = WIRE__CLOSE__INIT;
    close.session = &session;
    close.bare = wire_bytes(STR("bob@example.org"));
    entity_on_close(fake.router.entities, "e2", &close);
    struct stanza newest = fake_message(ALICE, "bob@example.org", "<body>third</body>");
    struct origin origin = { .session = { 1, 2 }, .counter = 9 };
    entity_on_route(fake.router.entities, &origin, &newest, NULL, NULL);
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "<body>first", "<body>second");
    assert_before(out, "<body>second", "<body>third");
}

/* The router's answer to <enable/> got lost, and with it what it had numbered. */
static void edge_that_does_not_know_of_stream_management_gets_what_was_numbered(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_enable("e2", BOB, true);
    say(2, "<body>first</body>");
    say(3, "<body>second</body>");
    fake_clear();
    fake_announce_plain("e2", BOB, 1);
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2 desk volatile", "<body>first");
    assert_before(out, "<body>first", "<body>second");
    assert_not_seen(out, "ENTRY");
}

/* P2: the phone has had it; the desk's end is no reason to send it twice. */
static void what_another_session_got_is_not_sent_again(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_enable("e2", BOB, true);
    fake_login("e3", "bob@example.org/bag", 0);
    fake_enable("e3", "bob@example.org/bag", true);
    say(2, TEXT);
    fake_acked("e3", "bob@example.org/bag", 1);
    fake_detach("e2", BOB, 0);
    fake_clear();
    fake_advance(301000);
    const char *out = fake_take_out();
    assert_not_seen(out, "<body");
    assert_not_seen(out, "ENTRY");
}

static void repeated_routes_have_one_effect(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    struct stanza message = fake_message(ALICE, "bob@example.org", TEXT);
    struct origin origin = { .session = { 1, 2 }, .counter = 5 };
    unsigned answers = 0;
    fake_clear();
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    fake_run();
    assert_seen(fake_take_out(), "DELIVER e2 desk");
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    fake_run();
    assert_not_seen(fake_take_out(), "DELIVER");
    assert_int_equal(answers, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                online_messages_are_delivered_and_acked_without_the_log, start_routed, fake_stop),
        cmocka_unit_test_setup_teardown(forged_stamps_are_removed, start_routed, fake_stop),
        cmocka_unit_test_setup_teardown(offline_messages_are_kept, start_routed, fake_stop),
        cmocka_unit_test_setup_teardown(
                messages_behind_the_log_go_through_it, start_routed, fake_stop),
        cmocka_unit_test_setup_teardown(
                unacknowledged_messages_are_kept_when_the_session_ends, start_routed, fake_stop),
        cmocka_unit_test_setup_teardown(
                unacknowledged_messages_stay_in_front_of_newer_ones, start_routed, fake_stop),
        cmocka_unit_test_setup_teardown(
                edge_that_does_not_know_of_stream_management_gets_what_was_numbered,
                start_routed,
                fake_stop),
        cmocka_unit_test_setup_teardown(
                what_another_session_got_is_not_sent_again, start_routed, fake_stop),
        cmocka_unit_test_setup_teardown(repeated_routes_have_one_effect, start_routed, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A sender's turn: counters, order, and when the edge hears Handled. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static void say(uint32_t counter, const char *to, const char *children)
{
    struct stanza message = fake_message(ALICE, to, children);
    fake_input("e1", counter, &message);
}

static void volatile_input_is_handled_at_once(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    const char *out = fake_take_out();
    assert_seen(out, "HANDLED e1 phone 1");
    assert_not_seen(out, "INPUT");
}

static void handled_of_several_inputs_is_one_word(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_GET, NS_PING, "ping");
    fake_post_input("e1", 2, &iq);
    fake_post_input("e1", 3, &iq);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "HANDLED e1 phone 3");
    assert_not_seen(out, "HANDLED e1 phone 2");
}

/* What follows a message in flight is done, but not told before it. */
static void handled_never_passes_an_undecided_message(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>x</body>");
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_GET, NS_PING, "ping");
    fake_input("e1", 3, &iq);
    const char *out = fake_take_out();
    assert_seen(out, "type='result'");
    assert_not_seen(out, "HANDLED");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 phone 3");
}

/* The recipient lives in another router: its answer first, then the counter's own commit, then
 * Handled. */
static void message_to_another_router_is_handled_after_its_answer_and_commit(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>x</body>");
    const char *out = fake_take_out();
    assert_seen(out, "ROUTE kept 2");
    assert_not_seen(out, "INPUT");
    fake.routes[0].done(fake.routes[0].context, ERR_OK);
    fake.route_count = 0;
    fake_run();
    out = fake_take_out();
    assert_seen(out, "INPUT phone 2");
    assert_not_seen(out, "HANDLED");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
}

/* P1: a reload finds PostgreSQL away; Handled is cumulative, so what is undecided holds it back. */
static void input_in_flight_is_not_handled_by_a_later_one_that_expires(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>x</body>");
    fake.is_store_down = true;
    entity_on_account_changed(fake.router.entities, STR("alice@example.org"));
    fake_run();
    say(3, "bob@example.org", "<body>y</body>");
    for (int i = 0; i < 30; i++) {
        fake_advance(1000);
    }
    assert_not_seen(fake_take_out(), "HANDLED"); /* input_in_flight */
    fake_commit(ERR_OK);
    fake.is_store_down = false;
    fake.is_auto_commit = true;
    for (int i = 0; i < 10; i++) {
        fake_advance(1000);
    }
    assert_seen(fake_take_out(), "HANDLED e1 phone 3");
}

static void route_that_was_never_sent_comes_back_as_an_error(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    say(2, "bob@example.org", "<body>x</body>");
    fake.routes[0].done(fake.routes[0].context, ERR_UNAVAILABLE);
    fake.route_count = 0;
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "internal-server-error", "HANDLED e1 phone 2");
}

/* P1: bob's shard has got another home before the group was written, so it holds neither the
 * message nor a counter that covers it. What alice says meanwhile must not bring that counter
 * either. */
static void counter_waits_for_a_message_that_was_fenced(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>x</body>");
    assert_seen(fake_take_out(), "INPUT phone 2 ahead");
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    assert_int_equal(fake.wait_count, 2);
    fake_commit_from(1, ERR_UNAVAILABLE); /* the input */
    fake_commit(ERR_FENCED);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "ROUTE kept 2");
    assert_not_seen(out, "INPUT");
    say(3, "alice@example.org", "<body>to myself</body>");
    out = fake_take_out();
    assert_seen(out, "ENTRY 1");
    assert_not_seen(out, "INPUT");
    fake_commit(ERR_OK);
    fake_run();
    assert_not_seen(fake_take_out(), "INPUT");

    fake.routes[0].done(fake.routes[0].context, ERR_OK);
    fake.route_count = 0;
    fake_run();
    out = fake_take_out();
    assert_seen(out, "INPUT phone 3\n");
    assert_not_seen(out, "HANDLED");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 phone 3");
}

/* P3: a shard comes home while an older message to it still waits for its former owner's answer. */
static void message_does_not_overtake_an_older_one_that_is_still_routed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    unsigned shard = shard_of(NULL, STR("bob@example.org"));
    fake.is_foreign[shard] = true;
    say(2, "bob@example.org", "<body>two</body>");
    fake.is_foreign[shard] = false;
    say(3, "bob@example.org", "<body>three</body>");
    assert_seen(fake_take_out(), "ROUTE kept 3");
    fake.routes[0].done(fake.routes[0].context, ERR_OK);
    fake.routes[1].done(fake.routes[1].context, ERR_OK);
    fake.route_count = 0;
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 phone 3");
    say(4, "bob@example.org", "<body>four</body>");
    assert_seen(fake_take_out(), "ENTRY 2");
}

static void repeated_input_has_one_effect(void **state) /* F05 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>x</body>");
    say(2, "bob@example.org", "<body>x</body>");
    assert_int_equal(fake.entry_count, 1);
    fake_commit(ERR_OK);
    fake_run();
    fake_clear();
    fake.is_auto_commit = true;
    say(2, "bob@example.org", "<body>x</body>");
    assert_int_equal(fake.entry_count, 1);
    assert_string_equal(fake_take_out(), "HANDLED e1 phone 2\n");
}

static void input_behind_a_gap_waits_for_the_edge_to_repeat(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    say(3, "bob@example.org", "<body>three</body>");
    assert_string_equal(fake_take_out(), "ASK e1\n");
    say(2, "bob@example.org", "<body>two</body>");
    say(3, "bob@example.org", "<body>three</body>");
    assert_before(fake_take_out(), "two", "three");
}

static void edge_of_an_unknown_session_is_asked_once_a_second(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    entity_on_edge_dead(fake.router.entities, "e1");
    fake_run();
    fake_clear();
    say(2, "bob@example.org", "<body>x</body>");
    say(3, "bob@example.org", "<body>x</body>");
    assert_string_equal(fake_take_out(), "ASK e1\n");
    fake_advance(1000);
    say(4, "bob@example.org", "<body>x</body>");
    assert_string_equal(fake_take_out(), "ASK e1\n");
}

static void other_edge_cannot_speak_for_the_session(void **state) /* F04 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    struct stanza message = fake_message(ALICE, "bob@example.org", "<body>x</body>");
    fake_input("e9", 2, &message);
    assert_string_equal(fake_take_out(), "");
    message.from = STR("alice@example.org/other");
    fake_know_session(fake_session("phone"), "other");
    fake_input("e1", 2, &message);
    assert_string_equal(fake_take_out(), "");
}

static void broken_iqs_are_bad_requests(void **state) /* C04 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_GET, NS_PING, "ping");
    iq.child_count = 2;
    fake_input("e1", 2, &iq);
    assert_seen(fake_take_out(), "<bad-request");
    iq.child_count = 0;
    fake_input("e1", 3, &iq);
    assert_seen(fake_take_out(), "<bad-request");
    iq.child_count = 1;
    iq.id = STR_NULL;
    fake_input("e1", 4, &iq);
    assert_seen(fake_take_out(), "<bad-request");
    iq.id = STR("q");
    iq.type = STANZA_TYPE_INVALID;
    fake_input("e1", 5, &iq);
    assert_seen(fake_take_out(), "<bad-request");
}

static void unknown_request_is_unavailable_and_stray_result_is_dropped(void **state) /* C05 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_GET, "urn:example", "what");
    fake_input("e1", 2, &iq);
    assert_seen(fake_take_out(), "<service-unavailable");
    iq.to = STR_NULL;
    fake_input("e1", 3, &iq);
    assert_seen(fake_take_out(), "<service-unavailable");
    iq.type = STANZA_TYPE_RESULT;
    iq.to = STR("example.org");
    fake_input("e1", 4, &iq);
    assert_string_equal(fake_take_out(), "HANDLED e1 phone 4\n");
}

static void errors_are_never_answered(void **state) /* C07 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    struct stanza message = fake_message(ALICE, "nobody@example.org", "<error/>");
    message.type = STANZA_TYPE_ERROR;
    fake_input("e1", 2, &message);
    message.to = STR("elsewhere.example");
    fake_input("e1", 3, &message);
    assert_not_seen(fake_take_out(), "DELIVER");
}

static void other_domains_are_not_found(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    say(2, "bob@elsewhere.example", "<body>x</body>");
    assert_seen(fake_take_out(), "<remote-server-not-found");
}

static void message_without_to_goes_to_the_own_account(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    struct stanza message = fake_message(ALICE, "", "<body>note</body>");
    fake_input("e1", 2, &message);
    const char *out = fake_take_out();
    assert_seen(out,
            "DELIVER e1 phone kept <message from='alice@example.org/phone' to='alice@example.org'");
    assert_seen(out, "HANDLED e1 phone 2");
}

/* P2, P4: the router dies between the commit and Handled; the edge announces and repeats. */
static void take_over_alice(void)
{
    entity_drop(entity_find(fake.router.entities, STR("alice@example.org")));
    fake_clear();
    Wire__Id session = WIRE_ID_INIT(fake_session("phone"));
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(ALICE));
    announce.handled = 1;
    announce.is_available = true;
    entity_on_announce(fake.router.entities, "e1", &announce);
}

/* Its former home may have routed it already, and the recipient's has it. */
static void what_a_former_home_may_have_routed_is_a_repeat(void **state)
{
    (void)state;
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    fake_login("e1", ALICE, 0);
    say(2, "bob@example.org", "<body>x</body>");
    assert_seen(fake_take_out(), "ROUTE kept 2 <message");
    take_over_alice();
    say(2, "bob@example.org", "<body>x</body>");
    assert_seen(fake_take_out(), "ROUTE kept 2 again <message");
    fake_advance(31000);
    say(3, "bob@example.org", "<body>y</body>");
    assert_seen(fake_take_out(), "ROUTE kept 3 <message");
}

static void repeat_after_a_takeover_is_answered_from_the_log(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    say(2, "bob@example.org", "<body>x</body>");
    take_over_alice();
    say(2, "bob@example.org", "<body>x</body>");
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
    assert_int_equal(fake.entry_count, 1);
    say(3, "bob@example.org", "<body>y</body>");
    assert_int_equal(fake.entry_count, 2);
}

/* Of Alice's first session, on e1; whatever `to` says. */
static void answer_herself(const char *edge, uint32_t counter, const char *from, const char *to)
{
    struct stanza error = fake_iq(ALICE, to, STANZA_TYPE_ERROR, NS_PING, "ping");
    Wire__Id id = WIRE_ID_INIT(fake_session("phone"));
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &id;
    input.counter = counter;
    input.bare = wire_bytes(STR("alice@example.org"));
    input.answer_from = wire_bytes(str_from_cstr(from));
    entity_on_input(fake.router.entities, edge, &input, &error);
    fake_run();
}

static void answer_of_the_edge_reaches_its_own_session_alone(void **state) /* F04 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_login("e3", "alice@example.org/laptop", 0);
    fake_clear();
    answer_herself("e1", 2, "carol@example.org", ALICE);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone");
    assert_seen(out, "from='carol@example.org'");
    assert_seen(out, "to='" ALICE "'");
    assert_seen(out, "HANDLED e1 phone 2");
    static const char *const others[] = { BOB, "bob@example.org", "alice@example.org/laptop" };
    for (uint32_t i = 0; i < 3; i++) {
        answer_herself("e1", 3 + i, "carol@example.org", others[i]);
        out = fake_take_out();
        assert_seen(out, "DELIVER e1 phone");
        assert_not_seen(out, "DELIVER e2");
        assert_not_seen(out, "DELIVER e3");
    }
    answer_herself("e2", 6, "carol@example.org", ALICE); /* not its session */
    assert_string_equal(fake_take_out(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                answer_of_the_edge_reaches_its_own_session_alone, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(volatile_input_is_handled_at_once, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                input_in_flight_is_not_handled_by_a_later_one_that_expires, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                handled_of_several_inputs_is_one_word, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                handled_never_passes_an_undecided_message, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                message_to_another_router_is_handled_after_its_answer_and_commit,
                fake_start,
                fake_stop),
        cmocka_unit_test_setup_teardown(
                route_that_was_never_sent_comes_back_as_an_error, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                counter_waits_for_a_message_that_was_fenced, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                message_does_not_overtake_an_older_one_that_is_still_routed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(repeated_input_has_one_effect, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                input_behind_a_gap_waits_for_the_edge_to_repeat, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                edge_of_an_unknown_session_is_asked_once_a_second, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                other_edge_cannot_speak_for_the_session, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(broken_iqs_are_bad_requests, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                unknown_request_is_unavailable_and_stray_result_is_dropped, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(errors_are_never_answered, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(other_domains_are_not_found, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                message_without_to_goes_to_the_own_account, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_a_former_home_may_have_routed_is_a_repeat, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                repeat_after_a_takeover_is_answered_from_the_log, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

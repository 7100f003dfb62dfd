/* Stream management at home: numbers, acks, sessions without a stream, and taking them over. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static void say(uint32_t counter, const char *from, const char *to, const char *body)
{
    struct stanza message = fake_message(from, to, body);
    fake_input(strcmp(from, ALICE) == 0 ? "e1" : "e2", counter, &message);
}

/* Alice talks, Bob's stream is managed. */
static int start_managed(void **state)
{
    (void)fake_start(state);
    fake_login_managed();
    return 0;
}

static void resume(const char *edge, uint32_t h)
{
    fake_post_resume(edge, "bob@example.org", h);
    fake_run();
}

static void enable_counts_from_what_went_before(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_clear();
    fake_enable("e2", BOB, true);
    assert_seen(fake_take_out(), "ENABLED e2 0 1 max=300 resumable");
    fake_enable("e2", BOB, true); /* asked again: the same answer */
    assert_seen(fake_take_out(), "ENABLED e2 0 1 max=300 resumable");
    fake_enable("e9", BOB, true); /* not its session */
    assert_seen(fake_take_out(), "NOT-ENABLED e9");
}

static void a_host_with_a_time_of_its_own_tells_and_keeps_it(void **state)
{
    (void)state;
    fake.host.resume_timeout_ms = 20000;
    fake_login("e2", BOB, 0);
    fake_enable("e2", BOB, true);
    assert_seen(fake_take_out(), "ENABLED e2 0 1 max=20 resumable");
    fake_detach("e2", BOB, 1);
    fake_advance(19000);
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 1);
    fake_advance(1500);
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 0);
}

static void deliveries_are_numbered_and_acks_move_the_watermark(void **state)
{
    (void)state;
    say(2, ALICE, "bob@example.org", "<body>a</body>");
    say(3, ALICE, BOB, "<body>b</body>");
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2 desk #1 kept", "DELIVER e2 desk #2 kept");
    fake_deliver_confirm("e2", BOB, fake.entries[0].id); /* not the edge's to say */
    assert_not_seen(fake_take_out(), "WATERMARK");
    fake_acked("e2", BOB, 2);
    assert_seen(fake_take_out(), "WATERMARK 2");
    assert_int_equal(fake.watermarks[2], fake.entries[1].id);
    fake_acked("e2", BOB, 9); /* never sent */
    assert_string_equal(fake_take_out(), "");
}

static void detached_session_stays_a_target_and_is_resumed_elsewhere(void **state)
{
    (void)state;
    say(2, ALICE, "bob@example.org", "<body>a</body>");
    fake_detach("e2", BOB, 1);
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2 desk #1", "CLOSED e2 desk");
    assert_not_seen(out, "unavailable'"); /* nobody sees it go */
    say(3, ALICE, BOB, "<body>b</body>");
    assert_not_seen(fake_take_out(), "DELIVER");
    resume("e3", 0);
    out = fake_take_out();
    assert_before(out, "RESUMED e3 desk handled=1 acked=0 attach=2", "DELIVER e3 desk #1 kept");
    assert_before(out, "DELIVER e3 desk #1 kept", "DELIVER e3 desk #2 kept");
    say(4, ALICE, BOB, "<body>c</body>");
    assert_seen(fake_take_out(), "DELIVER e3 desk #3 kept");
}

static void resume_delivers_only_what_the_client_has_not(void **state)
{
    (void)state;
    say(2, ALICE, BOB, "<body>a</body>");
    say(3, ALICE, BOB, "<body>b</body>");
    fake_detach("e2", BOB, 1);
    fake_clear();
    resume("e3", 1);
    const char *out = fake_take_out();
    assert_seen(out, "RESUMED e3 desk handled=1 acked=1 attach=2");
    assert_not_seen(out, "#1 kept");
    assert_seen(out, "DELIVER e3 desk #2 kept");
    assert_seen(out, "WATERMARK 2");
    resume("e4", 5); /* more than was sent */
    assert_seen(fake_take_out(), "NOT-RESUMED e4 7 h=0");
    resume("e4", 0); /* less than was acknowledged */
    assert_seen(fake_take_out(), "NOT-RESUMED e4 7 h=0");
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 1);
}

static void detached_session_ends_when_its_time_is_over(void **state)
{
    (void)state;
    say(2, ALICE, BOB, "<body>a</body>");
    struct stanza iq = fake_iq(ALICE, BOB, STANZA_TYPE_GET, NS_PING, "ping");
    fake_detach("e2", BOB, 1);
    fake_input("e1", 3, &iq);
    fake_clear();
    fake_advance(299000);
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 1);
    fake.has_slept = true; /* a router that woke up late asks the shard table first */
    fake_advance(2000);
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 1);
    fake.has_slept = false;
    fake_advance(500);
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 0);
    const char *out = fake_take_out();
    assert_seen(out, "service-unavailable"); /* the ping */
    assert_seen(out, "INPUT desk 1\n");      /* kept for who comes too late */
    resume("e3", 0);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=0");
    fake_login("e2", "bob@example.org/bag", 0);
    assert_seen(fake_take_out(), "DELIVER e2 bag kept"); /* the message waited */
}

static void dead_edge_detaches_what_can_be_resumed(void **state)
{
    (void)state;
    fake_login("e2", "bob@example.org/bag", 0);
    fake_clear();
    entity_on_edge_dead(fake.router.entities, "e2");
    fake_run();
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 1);
    fake_clear();
    resume("e3", 0);
    assert_seen(fake_take_out(), "RESUMED e3 desk");
}

static void resume_takes_a_living_stream_over(void **state)
{
    (void)state;
    resume("e3", 0);
    const char *out = fake_take_out();
    assert_before(out, "MOVED e2 desk 1", "RESUMED e3 desk handled=1 acked=0 attach=2");
    say(2, BOB, "alice@example.org", "<body>late</body>"); /* of the former stream */
    assert_not_seen(fake_take_out(), "ENTRY");
    fake_detach("e2", BOB, 1); /* likewise */
    assert_seen(fake_take_out(), "CLOSED e2 desk");
    say(2, ALICE, BOB, "<body>a</body>");
    assert_seen(fake_take_out(), "DELIVER e3 desk");
}

/* Our h is exact: what is at work is decided first. One of two at the same time wins (C23). */
static void resume_waits_for_inputs_at_work(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(2, BOB, "alice@example.org", "<body>x</body>");
    fake_post_resume("e3", "bob@example.org", 0);
    fake_post_resume_of("e4", "bob@example.org", 0, 10);
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "MOVED e2 desk 1", "NOT-RESUMED e4 9");
    assert_not_seen(out, " RESUMED");
    say(3, BOB, "alice@example.org", "<body>y</body>");
    assert_not_seen(fake_take_out(), "ENTRY");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=2 acked=0 attach=2");
}

static void edge_that_dies_while_it_resumes_leaves_the_session_detached(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(2, BOB, "alice@example.org", "<body>x</body>");
    fake_post_resume("e3", "bob@example.org", 0);
    fake_run();
    entity_on_edge_dead(fake.router.entities, "e3");
    fake_run();
    fake.is_auto_commit = true;
    fake_run();
    assert_not_seen(fake_take_out(), "RESUMED e3");
    resume("e4", 0);
    assert_seen(fake_take_out(), "RESUMED e4 desk handled=2 acked=0 attach=2");
}

static void close_is_answered_when_the_last_input_is_decided(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(2, BOB, "alice@example.org", "<body>x</body>");
    fake_detach("e2", BOB, 1);
    assert_not_seen(fake_take_out(), "CLOSED");
    fake_commit(ERR_OK);
    fake_run();
    assert_before(fake_take_out(), "HANDLED e2 desk 2", "CLOSED e2 desk");
}

/* C20 */
static void client_that_never_acks_is_sent_away(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        say(2 + i, ALICE, "bob@example.org", "<body>x</body>");
    }
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 desk #6");
    assert_seen(out, "HANDLED e1 phone 7"); /* the sender does not notice */
    assert_not_seen(out, "KICK");
    fake_advance(1000);
    assert_seen(fake_take_out(), "KICK e2 desk policy-violation");
    fake_login("e3", "bob@example.org/bag", 0);
    out = fake_take_out();
    assert_seen(out, "READ 2 2");
}

/* A login brings presence of all contacts within one round trip. */
static void burst_that_is_acknowledged_is_fine(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        say(2 + i, ALICE, "bob@example.org", "<body>x</body>");
    }
    fake_advance(900);
    fake_acked("e2", BOB, 4); /* the others are as old, but it goes on */
    fake_advance(900);
    for (uint32_t i = 0; i < 4; i++) {
        say(10 + i, ALICE, "bob@example.org", "<body>x</body>");
    }
    fake_acked("e2", BOB, 8);
    fake_advance(900);
    assert_not_seen(fake_take_out(), "KICK");
}

static void no_burst_is_longer_than_some_times_the_limit(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        say(2 + i, ALICE, "bob@example.org", "<body>x</body>");
    }
    assert_not_seen(fake_take_out(), "KICK");
    say(22, ALICE, "bob@example.org", "<body>x</body>");
    assert_seen(fake_take_out(), "KICK e2 desk policy-violation");
}

static void bytes_have_one_limit(void **state)
{
    (void)state;
    fake.settings.max_unacked_bytes = 300;
    say(2, ALICE, "bob@example.org", "<body>x</body>");
    assert_not_seen(fake_take_out(), "KICK");
    say(3, ALICE, "bob@example.org", "<body>x</body>");
    assert_seen(fake_take_out(), "KICK e2 desk policy-violation");
}

/* Nobody can acknowledge it. */
static void detached_session_has_one_limit(void **state)
{
    (void)state;
    fake_detach("e2", BOB, 1);
    for (uint32_t i = 0; i < 5; i++) {
        say(2 + i, ALICE, "bob@example.org", "<body>x</body>");
    }
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 1);
    say(7, ALICE, "bob@example.org", "<body>x</body>");
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 0);
}

static void ask_bob(uint32_t counter)
{
    struct stanza iq = fake_iq(ALICE, BOB, STANZA_TYPE_GET, NS_PING, "ping");
    fake_input("e1", counter, &iq);
    assert_seen(fake_take_out(), "DELIVER e2 desk #");
}

/* Whatever ends the session, Alice's request has an answer. */
static void unacknowledged_requests_are_answered_when_the_session_ends(void **state)
{
    (void)state;
    ask_bob(2);
    fake_acked("e2", BOB, 1);
    fake_clear();
    ask_bob(3);
    fake_close("e2", BOB);
    const char *out = fake_take_out();
    assert_seen(out, "service-unavailable");
    const char *first = strstr(out, "service-unavailable");
    assert_null(strstr(first + 1, "service-unavailable")); /* not for what it has */
}

static void request_to_who_is_sent_away_is_answered(void **state)
{
    (void)state;
    ask_bob(2);
    fake.settings.max_unacked_bytes = 10;
    say(3, ALICE, BOB, "<body>x</body>");
    assert_before(fake_take_out(), "KICK e2 desk policy-violation", "service-unavailable");
}

static void request_to_who_is_lost_without_resumption_is_answered(void **state)
{
    (void)state;
    fake_login("e2", "bob@example.org/bag", 0);
    fake_enable("e2", "bob@example.org/bag", false);
    fake_clear();
    struct stanza iq = fake_iq(ALICE, "bob@example.org/bag", STANZA_TYPE_GET, NS_PING, "ping");
    fake_input("e1", 2, &iq);
    fake_clear();
    entity_on_edge_dead(fake.router.entities, "e2");
    fake_run();
    assert_seen(fake_take_out(), "service-unavailable");
}

static void request_from_before_management_was_off_is_answered(void **state)
{
    (void)state;
    ask_bob(2);
    fake_announce_plain("e2", BOB, 1);
    assert_seen(fake_take_out(), "service-unavailable");
}

static void foreign_token_resumes_nothing(void **state)
{
    (void)state;
    (void)snprintf(fake.resume_id, sizeof(fake.resume_id), "guessed");
    resume("e3", 0);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9\n");
}

static void detached_session_makes_room_for_a_new_one(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        fake_bind("e3", "bob@example.org", "");
    }
    fake_detach("e2", BOB, 0);
    fake_clear();
    fake_bind("e3", "bob@example.org", "fresh");
    assert_seen(fake_take_out(), "BOUND e3 bob@example.org/fresh");
    fake_bind("e3", "bob@example.org", "more");
    assert_seen(fake_take_out(), "REFUSED e3 6");
}

static void full_link_keeps_numbers_in_order(void **state)
{
    (void)state;
    fake.full_edge = "e2";
    say(2, ALICE, BOB, "<body>a</body>");
    assert_not_seen(fake_take_out(), "DELIVER");
    fake.full_edge = NULL;
    say(3, ALICE, BOB, "<body>b</body>");
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2 desk #1", "DELIVER e2 desk #2");
}

/* What an edge holds for a client that does not read is lost with the stream. */
static void so_much_is_sent_until_the_client_acknowledges(void **state)
{
    (void)state;
    fake.settings.send_window_bytes = 300;
    say(2, ALICE, BOB, "<body>a</body>");
    say(3, ALICE, BOB, "<body>b</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #2 kept");
    say(4, ALICE, BOB, "<body>c</body>");
    struct stanza presence = fake_presence(ALICE, STANZA_TYPE_NONE, 0);
    presence.to = STR(BOB);
    fake_input("e1", 5, &presence);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2");
    assert_seen(out, "HANDLED e1 phone 5"); /* the sender does not notice */
    fake_acked("e2", BOB, 1);
    out = fake_take_out();
    assert_seen(out, "DELIVER e2 desk #3 kept");
    assert_not_seen(out, "DELIVER e2 desk #4");
    fake_acked("e2", BOB, 3);
    assert_seen(fake_take_out(), "DELIVER e2 desk #4 volatile");
}

static void more_than_may_be_on_the_way_goes_one_at_a_time(void **state)
{
    (void)state;
    fake.settings.send_window_bytes = 10;
    say(2, ALICE, BOB, "<body>a</body>");
    say(3, ALICE, BOB, "<body>b</body>");
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 desk #1 kept");
    assert_not_seen(out, "DELIVER e2 desk #2");
    fake_acked("e2", BOB, 1);
    assert_seen(fake_take_out(), "DELIVER e2 desk #2 kept");
}

static void new_stream_gets_as_much_as_the_first(void **state)
{
    (void)state;
    fake.settings.send_window_bytes = 300;
    for (uint32_t i = 0; i < 5; i++) {
        say(2 + i, ALICE, BOB, "<body>a</body>");
    }
    fake_detach("e2", BOB, 1);
    fake_clear();
    resume("e3", 0);
    const char *out = fake_take_out();
    assert_before(out, "RESUMED e3", "DELIVER e3 desk #2 kept");
    assert_not_seen(out, "DELIVER e3 desk #3");
    fake_acked("e3", BOB, 2);
    assert_before(fake_take_out(), "DELIVER e3 desk #3 kept", "DELIVER e3 desk #4 kept");
}

static void announce(const char *edge, uint32_t attach, uint32_t acked, uint32_t written)
{
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(BOB));
    announce.handled = 1;
    announce.is_available = true;
    announce.has_sm = true;
    announce.attach = attach;
    announce.acked = acked;
    announce.written = written;
    entity_on_announce(fake.router.entities, edge, &announce);
    fake_run();
}

/* Redis and the former home are lost: numbers go on behind what was written. */
static void announced_session_goes_on_behind_what_was_written(void **state)
{
    (void)state;
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    announce("e2", 1, 3, 5);
    fake_clear();
    say(2, ALICE, BOB, "<body>a</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #6 kept");
    resume("e3", 3); /* 4 and 5 are not known here */
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=0");
    resume("e3", 5);
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=1 acked=5 attach=2");
    announce("e2", 1, 3, 5);
    assert_seen(fake_take_out(), "MOVED e2 desk 1");
}

/* The link was lost, and with it a part of what was sent. */
static void what_the_edge_has_not_written_is_not_on_the_way(void **state)
{
    (void)state;
    fake.settings.send_window_bytes = 300;
    for (uint32_t i = 0; i < 4; i++) {
        say(2 + i, ALICE, BOB, "<body>a</body>");
    }
    assert_not_seen(fake_take_out(), "DELIVER e2 desk #3");
    announce("e2", 1, 0, 1);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 desk #2 kept");
    assert_not_seen(out, "DELIVER e2 desk #3");
}

/* A client that is told no h, or one that is too small, sends again what has an effect already. */
static void resume_that_fails_waits_for_inputs_at_work(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(2, BOB, "alice@example.org", "<body>x</body>");
    fake_close("e2", BOB);
    fake_clear();
    resume("e3", 0);
    assert_not_seen(fake_take_out(), "RESUMED");
    resume("e4", 0); /* the client has gone on */
    const char *out = fake_take_out();
    assert_seen(out, "NOT-RESUMED e3 9\n");
    assert_not_seen(out, "NOT-RESUMED e4");
    fake.last_request--;
    resume("e4", 0); /* the same question */
    assert_not_seen(fake_take_out(), "NOT-RESUMED");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "NOT-RESUMED e4 9 h=1\n");
}

static void session_with_unknown_numbers_tells_h_when_it_is_exact(void **state)
{
    (void)state;
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    announce("e2", 1, 3, 5);
    fake.is_auto_commit = false;
    say(2, BOB, "alice@example.org", "<body>x</body>");
    fake_detach("e2", BOB, 1);
    fake_clear();
    resume("e3", 3); /* 4 and 5 are not known here */
    assert_not_seen(fake_take_out(), "RESUMED");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=1\n");
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 0);
}

static void home_that_is_lost_while_a_failed_resume_waits_answers_nobody(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(2, BOB, "alice@example.org", "<body>x</body>");
    fake_close("e2", BOB);
    resume("e3", 0);
    fake_clear();
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    assert_not_seen(fake_take_out(), "RESUMED"); /* its edge asks again */
}

/* Neither Redis nor a former home says how long: the host's own time. */
static void announced_session_waits_as_long_as_its_host_says(void **state)
{
    (void)state;
    fake.host.resume_timeout_ms = 20000;
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    announce("e2", 1, 0, 0);
    fake_detach("e2", BOB, 1);
    fake_advance(19000);
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 1);
    fake_advance(1500);
    assert_int_equal(entity_find(fake.router.entities, STR("bob@example.org"))->resource_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(enable_counts_from_what_went_before, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_host_with_a_time_of_its_own_tells_and_keeps_it, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                announced_session_waits_as_long_as_its_host_says, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                deliveries_are_numbered_and_acks_move_the_watermark, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                detached_session_stays_a_target_and_is_resumed_elsewhere, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                resume_delivers_only_what_the_client_has_not, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                detached_session_ends_when_its_time_is_over, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                dead_edge_detaches_what_can_be_resumed, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                resume_takes_a_living_stream_over, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(resume_waits_for_inputs_at_work, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(edge_that_dies_while_it_resumes_leaves_the_session_detached,
                start_managed,
                fake_stop),
        cmocka_unit_test_setup_teardown(
                close_is_answered_when_the_last_input_is_decided, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                client_that_never_acks_is_sent_away, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                so_much_is_sent_until_the_client_acknowledges, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                more_than_may_be_on_the_way_goes_one_at_a_time, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                new_stream_gets_as_much_as_the_first, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_the_edge_has_not_written_is_not_on_the_way, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                burst_that_is_acknowledged_is_fine, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                no_burst_is_longer_than_some_times_the_limit, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(bytes_have_one_limit, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(detached_session_has_one_limit, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(unacknowledged_requests_are_answered_when_the_session_ends,
                start_managed,
                fake_stop),
        cmocka_unit_test_setup_teardown(
                request_to_who_is_sent_away_is_answered, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                request_to_who_is_lost_without_resumption_is_answered, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                request_from_before_management_was_off_is_answered, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                resume_that_fails_waits_for_inputs_at_work, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                session_with_unknown_numbers_tells_h_when_it_is_exact, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                home_that_is_lost_while_a_failed_resume_waits_answers_nobody,
                start_managed,
                fake_stop),
        cmocka_unit_test_setup_teardown(foreign_token_resumes_nothing, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                detached_session_makes_room_for_a_new_one, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(full_link_keeps_numbers_in_order, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                announced_session_goes_on_behind_what_was_written, start_managed, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

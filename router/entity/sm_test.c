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
    assert_seen(fake_take_out(), "NOT-RESUMED e4 7");
    resume("e4", 0); /* less than was acknowledged */
    assert_seen(fake_take_out(), "NOT-RESUMED e4 7");
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
    assert_before(out, "DELIVER e2 desk #5", "KICK e2 desk policy-violation");
    assert_seen(out, "HANDLED e1 phone 7"); /* the sender does not notice */
    fake_login("e3", "bob@example.org/bag", 0);
    out = fake_take_out();
    assert_seen(out, "READ 2 2");
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
        cmocka_unit_test_setup_teardown(foreign_token_resumes_nothing, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                detached_session_makes_room_for_a_new_one, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(full_link_keeps_numbers_in_order, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                announced_session_goes_on_behind_what_was_written, start_managed, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

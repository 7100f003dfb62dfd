/* Who wins when a session is resumed twice, and what a stream that was resumed may still say
 * (XEP-0198 §5; C23, P2). */
#include "router/entity/sessions.h"
#include "router/entity/sm_session.h"
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"
#define OLD   1000 /* ms: a stream that was open before */

/* Alice talks, Bob's stream on e2 is managed. */
static int start_managed(void **state)
{
    (void)fake_start(state);
    fake_login_managed();
    return 0;
}

static void resume_of(const char *edge, uint32_t h, int64_t before_ms)
{
    fake_post_resume_of(edge, "bob@example.org", h, before_ms);
    fake_run();
}

/* On a stream that has just authenticated: whoever held it before, its client has given that up. */
static void resume(const char *edge, uint32_t h)
{
    fake_advance(1);
    resume_of(edge, h, 0);
}

static void alice_says(uint32_t counter, const char *body)
{
    struct stanza message = fake_message(ALICE, BOB, body);
    fake_input("e1", counter, &message);
}

/* As the edge names its attachment; 0: it does not. */
static void bob_says(const char *edge, uint32_t counter, uint32_t attach)
{
    const struct stanza message = fake_message(BOB, "alice@example.org", "<body>x</body>");
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &session;
    input.counter = counter;
    input.bare = wire_bytes(STR("bob@example.org"));
    input.attach = attach;
    entity_on_input(fake.router.entities, edge, &input, &message);
    fake_run();
}

static void announce(const char *edge, uint32_t handled, uint32_t attach, uint32_t acked)
{
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Announce message = WIRE__ANNOUNCE__INIT;
    message.session = &session;
    message.full = wire_bytes(STR(BOB));
    message.handled = handled;
    message.is_available = true;
    message.has_sm = true;
    message.attach = attach;
    message.attach_token = wire_bytes(STR("signed"));
    message.acked = acked;
    message.written = acked;
    entity_on_announce(fake.router.entities, edge, &message);
    fake_run();
}

static struct resource *desk(void)
{
    return entity_find_session(
            entity_find(fake.router.entities, STR("bob@example.org")), fake_session("desk"));
}

/* ---- two at once */

static void of_two_at_once_the_first_keeps_the_session(void **state)
{
    (void)state;
    resume_of("e3", 0, OLD);
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=1 acked=0 attach=2");
    fake_advance(500); /* however slow the other edge is */
    resume_of("e4", 0, OLD);
    const char *out = fake_take_out();
    assert_seen(out, "NOT-RESUMED e4 9\n");
    assert_not_seen(out, "MOVED");
    resume_of("e3", 0, OLD); /* on the winner's edge, likewise */
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9\n");
    alice_says(2, "<body>a</body>");
    assert_seen(fake_take_out(), "DELIVER e3 desk #1");
}

/* Its home took longer than an edge waits for an answer: the edge asks again, under another number.
 */
static void one_stream_that_asks_again_is_not_two(void **state)
{
    (void)state;
    resume_of("e3", 0, OLD);
    fake_advance(5000);
    resume_of("e3", 0, 5000 + OLD);
    const char *out = fake_take_out();
    assert_before(out, "RESUMED e3 desk handled=1 acked=0 attach=2", "acked=0 attach=3");
    assert_not_seen(out, "NOT-RESUMED");
}

static void one_stream_that_asks_again_is_answered_once(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    bob_says("e2", 2, 0);
    resume_of("e3", 0, OLD);
    fake_advance(5000);
    resume_of("e3", 0, 5000 + OLD);
    assert_not_seen(fake_take_out(), "RESUMED");
    fake.is_auto_commit = true;
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "RESUMED e3 desk handled=2 acked=0 attach=2");
    assert_not_seen(out, "attach=3");
}

/* The winner's connection died right behind <resumed/>, and nobody has noticed. */
static void client_that_comes_back_takes_over_at_once(void **state)
{
    (void)state;
    resume("e3", 0);
    fake_clear();
    resume("e4", 0);
    assert_before(fake_take_out(), "MOVED e3 desk 2", "RESUMED e4 desk handled=1 acked=0 attach=3");
    resume("e4", 0); /* and on the same edge */
    assert_seen(fake_take_out(), "RESUMED e4 desk handled=1 acked=0 attach=4");
}

static void stream_from_before_takes_over_what_nobody_holds(void **state)
{
    (void)state;
    resume_of("e3", 0, OLD);
    fake_detach("e3", BOB, 2);
    fake_clear();
    resume_of("e4", 0, OLD);
    assert_seen(fake_take_out(), "RESUMED e4 desk handled=1 acked=0 attach=3");
    resume_of("e3", 0, OLD);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9\n");
    fake_advance(10000); /* that was not at once */
    resume_of("e3", 0, 10000 + OLD);
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=1 acked=0 attach=4");
}

static void clock_that_was_set_back_locks_nobody_out(void **state)
{
    (void)state;
    resume_of("e3", 0, OLD);
    fake.time.wall_us -= INT64_C(3600000000);
    resume_of("e4", 0, 0);
    assert_seen(fake_take_out(), "RESUMED e4 desk handled=1 acked=0 attach=3");
}

static void edge_that_does_not_say_when_takes_over_what_is_finished(void **state)
{
    (void)state;
    int64_t unknown_ms = loop_wall_us(&fake.loop) / 1000;
    resume_of("e3", 0, OLD);
    resume_of("e4", 0, unknown_ms);
    assert_before(fake_take_out(), "MOVED e3 desk 2", "RESUMED e4 desk handled=1 acked=0 attach=3");
}

static void later_one_takes_the_place_of_one_at_work(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    bob_says("e2", 2, 1);
    resume_of("e3", 0, OLD);
    resume_of("e4", 0, OLD);
    assert_seen(fake_take_out(), "NOT-RESUMED e4 9\n");
    resume("e5", 0); /* its client has waited long enough for e3 */
    const char *out = fake_take_out();
    assert_seen(out, "NOT-RESUMED e3 9\n");
    assert_not_seen(out, " RESUMED");
    fake_commit(ERR_OK);
    fake_run();
    out = fake_take_out();
    assert_seen(out, "RESUMED e5 desk handled=2 acked=0 attach=2");
    assert_not_seen(out, "e3");
}

static void repeated_question_has_one_answer(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    bob_says("e2", 2, 1);
    resume_of("e3", 0, OLD);
    fake.last_request--; /* the link was away */
    resume_of("e3", 0, OLD);
    assert_not_seen(fake_take_out(), "RESUMED");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=2");
    fake.last_request--;
    resume_of("e3", 0, OLD);
    assert_not_seen(fake_take_out(), "RESUMED");
}

/* ---- what the former stream still says */

static void input_of_the_former_stream_is_not_counted_on_the_same_edge(void **state)
{
    (void)state;
    resume("e2", 0);
    fake_clear();
    bob_says("e2", 2, 1);
    const char *out = fake_take_out();
    assert_not_seen(out, "ENTRY");
    assert_not_seen(out, "HANDLED");
    bob_says("e2", 2, 2);
    assert_seen(fake_take_out(), "HANDLED e2 desk 2");
    bob_says("e2", 3, 0); /* an edge of the version before */
    assert_seen(fake_take_out(), "HANDLED e2 desk 3");
}

static void ack_and_state_of_the_former_stream_are_nothing(void **state)
{
    (void)state;
    alice_says(2, "<body>a</body>");
    resume("e2", 0);
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Acked acked = WIRE__ACKED__INIT;
    acked.session = &session;
    acked.bare = wire_bytes(STR("bob@example.org"));
    acked.sequence = 1;
    acked.attach = 1;
    entity_on_acked(fake.router.entities, "e2", &acked);
    Wire__ClientState inactive = WIRE__CLIENT_STATE__INIT;
    inactive.session = &session;
    inactive.bare = wire_bytes(STR("bob@example.org"));
    inactive.is_inactive = true;
    inactive.attach = 1;
    entity_on_client_state(fake.router.entities, "e2", &inactive);
    fake_run();
    assert_int_equal(desk()->sm->queue.acked, 0);
    assert_null(desk()->csi);
    acked.attach = 2;
    entity_on_acked(fake.router.entities, "e2", &acked);
    fake_run();
    assert_int_equal(desk()->sm->queue.acked, 1);
}

static void end_of_the_former_stream_ends_nothing(void **state)
{
    (void)state;
    resume("e2", 0);
    fake_clear();
    fake_detach("e2", BOB, 1);
    assert_string_equal(fake_take_out(), "CLOSED e2 desk 1\n");
    assert_false(desk()->sm->is_detached);
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__SessionGone gone = WIRE__SESSION_GONE__INIT;
    gone.session = &session;
    gone.bare = wire_bytes(STR("bob@example.org"));
    gone.attach = 1; /* an answer to what it was sent before */
    entity_on_session_gone(fake.router.entities, "e2", &gone);
    fake_run();
    assert_false(desk()->sm->is_detached);
    fake_detach("e2", BOB, 2);
    assert_seen(fake_take_out(), "CLOSED e2 desk 2\n");
    assert_true(desk()->sm->is_detached);
}

/* The Close of attachment 1 waits for an input; its reply says which one it answers. */
static void owed_reply_names_the_attachment_that_ended(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    bob_says("e2", 2, 1);
    fake_detach("e2", BOB, 1);
    resume("e2", 0);
    fake_commit(ERR_OK);
    fake_run();
    assert_before(fake_take_out(), "CLOSED e2 desk 1\n", "RESUMED e2 desk handled=2");
    fake_detach("e2", BOB, 2);
    assert_seen(fake_take_out(), "CLOSED e2 desk 2\n");
}

/* Two homes, one after the other, resumed it under the same number. */
static void of_two_with_one_number_the_first_to_speak_here_stays(void **state)
{
    (void)state;
    resume("e3", 0);
    fake_clear();
    announce("e4", 1, 2, 0);
    assert_string_equal(fake_take_out(), "MOVED e4 desk 2\n");
    assert_string_equal(desk()->edge, "e3");
    announce("e4", 1, 3, 0); /* a later one is the newest */
    assert_seen(fake_take_out(), "MOVED e3 desk 2\n");
    assert_string_equal(desk()->edge, "e4");
}

/* ---- an edge that once had the session */

static void former_edge_does_not_get_it_back_by_denying_stream_management(void **state)
{
    (void)state;
    resume("e3", 0);
    fake_clear();
    fake_announce_plain("e2", BOB, 1);
    assert_string_equal(fake_take_out(), "MOVED e2 desk 1\n");
    assert_non_null(desk()->sm);
    assert_string_equal(desk()->edge, "e3");
}

/* An edge of the version before, or one that keeps silent about what it cannot prove. */
static void attachment_without_proof_is_believed_when_it_is_what_we_know(void **state)
{
    (void)state;
    resume("e3", 0);
    fake_clear();
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Announce message = WIRE__ANNOUNCE__INIT;
    message.session = &session;
    message.full = wire_bytes(STR(BOB));
    message.handled = 1;
    message.has_sm = true;
    message.attach = 2;
    entity_on_announce(fake.router.entities, "e3", &message);
    fake_run();
    assert_not_seen(fake_take_out(), "MOVED");
    entity_on_announce(fake.router.entities, "e2", &message);
    message.attach = 3;
    entity_on_announce(fake.router.entities, "e2", &message);
    entity_on_announce(fake.router.entities, "e3", &message);
    fake_run();
    assert_string_equal(fake_take_out(), "MOVED e2 desk 2\nMOVED e2 desk 3\nMOVED e3 desk 3\n");
    assert_string_equal(desk()->edge, "e3");
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    entity_on_announce(fake.router.entities, "e2", &message);
    fake_run();
    assert_seen(fake_take_out(), "MOVED e2 desk 3\n");
    assert_null(desk());
}

static void detached_session_has_stream_management(void **state)
{
    (void)state;
    fake_detach("e2", BOB, 1);
    fake_clear();
    fake_announce_plain("e2", BOB, 1);
    assert_string_equal(fake_take_out(), "MOVED e2 desk 1\n");
    assert_true(desk()->sm->is_detached);
}

static void who_denies_stream_management_does_not_disturb_a_resume(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    bob_says("e2", 2, 1);
    resume("e3", 0);
    fake_clear();
    fake_announce_plain("e2", BOB, 1);
    assert_string_equal(fake_take_out(), "MOVED e2 desk 1\n");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=2 acked=0 attach=2");
}

static void edge_that_missed_our_answer_to_enable_asks_again(void **state)
{
    (void)state;
    fake_announce_plain("e2", BOB, 1);
    assert_not_seen(fake_take_out(), "MOVED");
    assert_null(desk()->sm);
    fake_enable("e2", BOB, true);
    assert_seen(fake_take_out(), "ENABLED e2 0 1 max=300 resumable");
}

/* Redis and the former home are lost, and the former edge speaks first. */
static void newest_edge_takes_over_from_one_that_was_faster(void **state)
{
    (void)state;
    for (int has_sm = 0; has_sm < 2; has_sm++) {
        entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
        if (has_sm) {
            announce("e2", 1, 1, 0);
        } else {
            fake_announce_plain("e2", BOB, 1);
        }
        fake_clear();
        announce("e3", 1, 2, 0);
        assert_seen(fake_take_out(), "MOVED e2 desk 1\n");
        assert_string_equal(desk()->edge, "e3");
        assert_int_equal(desk()->sm->attach, 2);
        fake_announce_plain("e2", BOB, 1);
        assert_string_equal(fake_take_out(), "MOVED e2 desk 1\n");
    }
}

/* ---- where counting begins */

static void enable_waits_for_the_inputs_before_it(void **state)
{
    (void)state;
    fake_login("e2", "bob@example.org/bag", 0);
    fake.is_auto_commit = false;
    const struct stanza message =
            fake_message("bob@example.org/bag", "alice@example.org", "<body>x</body>");
    fake_input("e2", 2, &message);
    fake_enable("e2", "bob@example.org/bag", true);
    assert_not_seen(fake_take_out(), "ENABLED");
    fake_commit(ERR_OK);
    fake_run();
    assert_before(fake_take_out(), "HANDLED e2 bag 2", "ENABLED e2 0 2 max=300 resumable");
}

/* What Bob's client got with <enabled/> long ago. */
static void show_id(uint32_t sequence, uint32_t counter)
{
    struct signer_resume ids = { fake_session("desk"), sequence, counter };
    struct buf text;
    buf_init(&text, 0);
    signer_resume_id(NULL, STR("bob@example.org"), &ids, &text);
    (void)snprintf(fake.resume_id, sizeof(fake.resume_id), STR_FMT, STR_ARG(buf_view(&text)));
    buf_fini(&text);
}

/* All counters behind 2^32, from both sides, in <resumed/> and in <failed/>. */
static void counters_wrap(void **state)
{
    (void)state;
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    announce("e2", UINT32_MAX - 1, 1, UINT32_MAX - 1);
    show_id(UINT32_MAX - 9, UINT32_MAX - 5);
    for (uint32_t i = 0; i < 3; i++) {
        bob_says("e2", UINT32_MAX + i, 1);
        alice_says(2 + i, "<body>a</body>");
    }
    const char *out = fake_take_out();
    assert_before(out, "HANDLED e2 desk 4294967295", "HANDLED e2 desk 0");
    assert_before(out, "HANDLED e2 desk 0", "HANDLED e2 desk 1");
    assert_before(out, "DELIVER e2 desk #4294967295", "DELIVER e2 desk kept");
    assert_seen(out, "DELIVER e2 desk #1");
    resume("e3", 10); /* up to number 0 */
    out = fake_take_out();
    assert_seen(out, "RESUMED e3 desk handled=1 acked=0 attach=2");
    assert_seen(out, "DELIVER e3 desk #1");
    assert_not_seen(out, "DELIVER e3 desk kept");
    resume("e4", 12); /* more than was sent */
    assert_seen(fake_take_out(), "NOT-RESUMED e4 7");
    fake_detach("e3", BOB, 2);
    fake_advance(301000);
    fake_clear();
    resume("e4", 11);
    assert_seen(fake_take_out(), "NOT-RESUMED e4 9 h=7\n");
}

/* Router and edge died with what was sent before <enable/>: those stanzas are nobody's, and h does
 * not count them. After 2^31 stanzas the same difference means something else. */
static void h_begins_where_enable_was(void **state)
{
    (void)state;
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    announce("e2", 3, 1, 0);
    show_id(0, 5);
    resume("e3", 0);
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=5 acked=0 attach=2");
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    announce("e2", 2147483660, 1, 0);
    resume("e3", 0);
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=2147483660 acked=0 attach=2");
    assert_int_equal(counter_at_least(UINT32_MAX, 2), 2);
    assert_int_equal(counter_at_least(2, UINT32_MAX), 2);
    assert_int_equal(counter_at_least(7, 7), 7);
}

/* It is numbered, and waits until the client has acknowledged more. */
static void what_was_not_sent_cannot_be_acknowledged(void **state)
{
    (void)state;
    fake.settings.send_window_bytes = 1;
    alice_says(2, "<body>a</body>");
    alice_says(3, "<body>b</body>");
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 desk #1");
    assert_not_seen(out, "DELIVER e2 desk #2");
    resume("e3", 2);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 7");
    assert_int_equal(fake.watermarks[2], 0);
    resume("e3", 1);
    assert_before(fake_take_out(), "\nRESUMED e3 desk", "DELIVER e3 desk #2");
    resume("e4", 2);
    assert_seen(fake_take_out(), "\nRESUMED e4 desk");
}

#define RESUME_TEST(name) cmocka_unit_test_setup_teardown(name, start_managed, fake_stop)

static void take_over_resumed(void)
{
    fake.is_redis_up = true;
    fake_detach("e2", BOB, 1);
    fake_post_resume("e2", "bob@example.org", 0);
    fake_run();
    assert_seen(fake_take_out(), "attach=2");
    fake_take_over_bob();
    fake_clear();
}

/* The edge asked the next home as well, before it had the answer of the former one: that is one
 * resumption, and the stream it was for stays (P8). */
static void a_question_two_homes_were_asked_makes_one_attachment(void **state)
{
    (void)state;
    take_over_resumed();
    fake.last_request--;
    fake_post_resume("e2", "bob@example.org", 0);
    fake_run();
    assert_seen(fake_take_out(), "RESUMED e2 desk handled=1 acked=0 attach=2");
    fake_post_resume("e2", "bob@example.org", 0);
    fake_run();
    assert_seen(fake_take_out(), "attach=3");
}

/* It has had that answer meanwhile, and says so before the second one is ready. */
static void who_was_granted_a_session_may_announce_it_while_it_is_granted_again(void **state)
{
    (void)state;
    take_over_resumed();
    fake.last_request--;
    fake_post_resume("e2", "bob@example.org", 0);
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(BOB));
    announce.handled = 1;
    announce.has_sm = true;
    announce.attach = 2;
    entity_on_announce(fake.router.entities, "e2", &announce);
    fake_run();
    assert_not_seen(fake_take_out(), "MOVED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RESUME_TEST(of_two_at_once_the_first_keeps_the_session),
        RESUME_TEST(one_stream_that_asks_again_is_not_two),
        RESUME_TEST(one_stream_that_asks_again_is_answered_once),
        RESUME_TEST(client_that_comes_back_takes_over_at_once),
        RESUME_TEST(stream_from_before_takes_over_what_nobody_holds),
        RESUME_TEST(edge_that_does_not_say_when_takes_over_what_is_finished),
        RESUME_TEST(later_one_takes_the_place_of_one_at_work),
        RESUME_TEST(repeated_question_has_one_answer),
        RESUME_TEST(input_of_the_former_stream_is_not_counted_on_the_same_edge),
        RESUME_TEST(ack_and_state_of_the_former_stream_are_nothing),
        RESUME_TEST(end_of_the_former_stream_ends_nothing),
        RESUME_TEST(owed_reply_names_the_attachment_that_ended),
        RESUME_TEST(of_two_with_one_number_the_first_to_speak_here_stays),
        RESUME_TEST(former_edge_does_not_get_it_back_by_denying_stream_management),
        RESUME_TEST(attachment_without_proof_is_believed_when_it_is_what_we_know),
        RESUME_TEST(detached_session_has_stream_management),
        RESUME_TEST(who_denies_stream_management_does_not_disturb_a_resume),
        RESUME_TEST(edge_that_missed_our_answer_to_enable_asks_again),
        RESUME_TEST(newest_edge_takes_over_from_one_that_was_faster),
        RESUME_TEST(enable_waits_for_the_inputs_before_it),
        RESUME_TEST(clock_that_was_set_back_locks_nobody_out),
        RESUME_TEST(counters_wrap),
        RESUME_TEST(h_begins_where_enable_was),
        RESUME_TEST(a_question_two_homes_were_asked_makes_one_attachment),
        RESUME_TEST(who_was_granted_a_session_may_announce_it_while_it_is_granted_again),
        RESUME_TEST(what_was_not_sent_cannot_be_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

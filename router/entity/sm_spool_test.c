/* The next home of sessions with stream management: what Redis kept, what the log has, and what the
 * edge says. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static void say(uint32_t counter, const char *to, const char *body)
{
    struct stanza message = fake_message(ALICE, to, body);
    fake_input("e1", counter, &message);
}

static int start_managed(void **state)
{
    (void)fake_start(state);
    fake.is_redis_up = true;
    fake_login_managed();
    return 0;
}

static void announce(uint32_t handled, uint32_t acked, uint32_t written)
{
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(BOB));
    announce.handled = handled;
    announce.is_available = true;
    announce.has_sm = true;
    announce.acked = acked;
    announce.written = written;
    entity_on_announce(fake.router.entities, "e2", &announce);
    fake_run();
}

static void resume(uint32_t h)
{
    fake_post_resume("e3", "bob@example.org", h);
    fake_run();
}

static struct entity *bob(void)
{
    return entity_find(fake.router.entities, STR("bob@example.org"));
}

static void spool_is_written_before_it_is_sent_and_trimmed_behind_acks(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<state/>");
    const char *out = fake_take_out();
    assert_before(out, "SPOOL desk #1 kept", "DELIVER e2 desk #1");
    assert_before(out, "SPOOL desk #2 volatile", "DELIVER e2 desk #2");
    fake_acked("e2", BOB, 2);
    assert_not_seen(fake_take_out(), "TRIM"); /* the log has not been told yet */
    fake_advance(1000);
    assert_not_seen(fake_take_out(), "TRIM");
    fake_advance(1000);
    assert_before(fake_take_out(), "RECORD", "TRIM desk #2");
    assert_int_equal(fake.written.sm.acked, 2);
}

/* PostgreSQL is away for longer than it takes to trim: the queue is what a next home has to know
 * that the client acknowledged. */
static void spool_is_kept_until_the_log_has_been_told(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    fake_acked("e2", BOB, 1);
    fake_advance(1000);
    fake_clear();
    fake.is_auto_commit = false;
    fake_advance(1000);
    fake_advance(5000);
    assert_not_seen(fake_take_out(), "TRIM");
    fake.is_auto_commit = true;
    fake_run();
    assert_seen(fake_take_out(), "TRIM desk #1");
}

/* Acknowledged while the watermark was on its way: the record has to know before the element goes.
 */
static void record_is_never_behind_what_was_trimmed(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<state/>");
    fake_acked("e2", BOB, 1);
    fake_advance(1000);
    fake.is_auto_commit = false;
    fake_advance(1000);
    fake_acked("e2", BOB, 2);
    fake_clear();
    fake.is_auto_commit = true;
    fake_run();
    assert_before(fake_take_out(), "RECORD", "TRIM desk #2");
    assert_int_equal(fake.written.sm.acked, 2);
}

static void detached_session_is_resumed_at_the_next_home(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<state/>");
    fake_detach("e2", BOB, 0);
    say(4, BOB, "<body>b</body>");
    fake_take_over_bob();
    assert_non_null(bob()); /* nobody has asked for it */
    assert_int_equal(bob()->resource_count, 1);
    fake_clear();
    resume(0);
    const char *out = fake_take_out();
    assert_before(out, "RESUMED e3 desk handled=1 acked=0 attach=2", "DELIVER e3 desk #1 kept");
    assert_before(out, "DELIVER e3 desk #1 kept", "DELIVER e3 desk #2 volatile");
    assert_before(out, "#2 volatile", "DELIVER e3 desk #3 kept");
    say(5, BOB, "<body>c</body>");
    assert_seen(fake_take_out(), "DELIVER e3 desk #4 kept");
    fake_acked("e3", BOB, 4);
    assert_int_equal(fake.watermarks[2], fake.entries[2].id);
}

/* Acknowledged at the former home, and the log does not know it: nobody gets it twice. */
static void acknowledged_messages_do_not_come_again(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<body>b</body>");
    fake_acked("e2", BOB, 2);
    fake.watermarks[2] = 0; /* was not committed */
    fake_take_over_bob();
    announce(1, 2, 2);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2 desk");
    assert_seen(out, "WATERMARK 2");
    say(4, BOB, "<body>c</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #3 kept");
}

static void living_edge_gets_what_was_on_the_way(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<body>b</body>");
    fake_take_over_bob();
    say(4, BOB, "<body>c</body>"); /* before the edge has said where its stream is */
    assert_not_seen(fake_take_out(), "DELIVER e2");
    announce(1, 0, 1);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2 desk #1");
    assert_before(out, "DELIVER e2 desk #2 kept", "DELIVER e2 desk #3 kept");
}

/* Six are owed where five may be: its client has had no time yet to acknowledge anything here. */
static void restored_burst_has_time_from_its_announcement_on(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        say(2 + i, BOB, "<body>a</body>");
    }
    fake_advance(900);
    fake_take_over_bob();
    fake_advance(5000);
    say(8, BOB, "<state/>"); /* the limit is looked at, and nobody has announced it */
    announce(1, 0, 6);
    assert_seen(fake_take_out(), "DELIVER e2 desk #7 volatile");
    fake_advance(900);
    say(9, BOB, "<state/>");
    assert_not_seen(fake_take_out(), "KICK");
    fake_advance(200);
    assert_seen(fake_take_out(), "KICK e2 desk policy-violation");
}

static void time_of_a_detached_session_goes_on(void **state)
{
    (void)state;
    fake_detach("e2", BOB, 0);
    fake_advance(200000);
    fake_take_over_bob();
    fake_advance(99000);
    assert_int_equal(bob()->resource_count, 1);
    fake_advance(2000);
    assert_true(!bob() || bob()->resource_count == 0);
    assert_seen(fake_take_out(), "NOT-LIVE bob@example.org");
}

static void edge_that_never_announces_has_lost_the_stream(void **state)
{
    (void)state;
    fake_take_over_bob();
    fake_advance(16000);
    say(2, BOB, "<body>a</body>");
    assert_not_seen(fake_take_out(), "DELIVER");
    resume(0);
    assert_before(fake_take_out(), "RESUMED e3 desk", "DELIVER e3 desk #1 kept");
}

/* The counter in the log may be ahead of what the recipients have: the living edge repeats. */
static void announced_counter_wins_over_the_stored_one(void **state)
{
    (void)state;
    struct stanza message = fake_message(BOB, "alice@example.org", "<body>x</body>");
    fake_input("e2", 2, &message);
    fake_take_over_bob();
    announce(1, 0, 0);
    fake_clear();
    fake_input("e2", 2, &message);
    assert_seen(fake_take_out(), "HANDLED e2 desk 2");
    assert_int_equal(fake.entry_count, 1); /* its origin is known */
}

static void resume_without_the_former_edge_uses_the_stored_one(void **state)
{
    (void)state;
    struct stanza message = fake_message(BOB, "alice@example.org", "<body>x</body>");
    fake_input("e2", 2, &message);
    fake_take_over_bob();
    fake_clear();
    resume(0);
    assert_seen(fake_take_out(), "RESUMED e3 desk handled=2");
}

static void lost_queue_answers_with_h(void **state)
{
    (void)state;
    fake.is_redis_up = false; /* and what it had is gone */
    say(2, BOB, "<body>a</body>");
    struct stanza message = fake_message(BOB, "alice@example.org", "<body>x</body>");
    fake_input("e2", 2, &message);
    fake_detach("e2", BOB, 0);
    entity_drop(bob());
    fake_clear();
    resume(0);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=1\n");
    fake_login("e3", "bob@example.org/bag", 0);
    assert_seen(fake_take_out(), "DELIVER e3 bag kept");
}

/* What Redis knows of the counter is older than what the log knows. */
static void h_of_a_lost_queue_is_the_newest_that_is_known(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    struct stanza message = fake_message(BOB, "alice@example.org", "<body>x</body>");
    fake_input("e2", 2, &message);
    fake_detach("e2", BOB, 0);
    fake.written.handled = 1;
    fake.spool[0].element.position++;
    fake_take_over_bob();
    resume(0);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=1\n");
}

/* FLUSHALL: what comes after it is not trimmed in the place of what is gone. */
static void emptied_redis_costs_nothing_that_comes_later(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    fake.spool_trimmed = fake.spool_count;
    say(3, BOB, "<body>b</body>");
    fake_acked("e2", BOB, 1);
    fake_advance(1000);
    fake_advance(1000);
    assert_seen(fake_take_out(), "TRIM desk #1");
    fake_detach("e2", BOB, 0);
    fake_take_over_bob();
    resume(1);
    assert_seen(fake_take_out(), "DELIVER e3 desk #2 kept");
}

static void volatile_ones_need_no_durable_one_to_go(void **state)
{
    (void)state;
    say(2, BOB, "<state/>");
    say(3, BOB, "<state/>");
    fake_acked("e2", BOB, 1);
    fake_advance(1000);
    assert_before(fake_take_out(), "RECORD", "TRIM desk #1");
    fake_acked("e2", BOB, 2);
    fake_advance(1000);
    assert_before(fake_take_out(), "RECORD", "TRIM desk #2");
}

/* An element is missing: what the client counts cannot be known. */
static void spool_with_a_gap_is_no_queue(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<state/>");
    say(4, BOB, "<body>b</body>");
    fake_detach("e2", BOB, 0);
    fake.spool[1].element.position++;
    fake.spool[2].element.position++;
    fake_take_over_bob();
    fake_clear();
    resume(1);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=");
    assert_int_equal(bob()->resource_count, 0); /* nobody will come for it */
}

/* Its edge died with the former home, so nothing here says that it is detached. */
static void session_that_cannot_be_resumed_is_no_target(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<body>b</body>");
    fake.spool[0].element.position++;
    fake_take_over_bob();
    assert_int_equal(bob()->resource_count, 1);
    resume(1);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=");
    fake_login("e3", "bob@example.org/bag", 0);
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e3 bag kept", "<body>b</body>");
    assert_int_equal(bob()->resource_count, 1);
}

/* The log would offer again what the client has. */
static void client_that_is_past_a_gap_cannot_resume(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    fake.spool_trimmed = fake.spool_count;
    say(3, BOB, "<body>b</body>");
    fake_detach("e2", BOB, 0);
    fake_take_over_bob();
    fake_clear();
    resume(2);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=");
}

/* Volatile, too, though nobody knew where the stream was when it was numbered. */
static void what_waits_for_a_detached_session_survives_two_homes(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    fake_detach("e2", BOB, 0);
    fake_take_over_bob();
    say(3, BOB, "<state/>");
    say(4, BOB, "<body>b</body>");
    assert_before(fake_take_out(),
            "SPOOL desk #2 volatile provisional",
            "SPOOL desk #3 kept provisional");
    fake_take_over_bob();
    say(5, BOB, "<later/>");
    fake_clear();
    resume(1);
    const char *out = fake_take_out();
    assert_seen(out, "\nRESUMED e3 desk");
    assert_before(out, "SPOOL desk #3 kept\n", "SPOOL desk #4 volatile\n");
    assert_before(out, "DELIVER e3 desk #2 volatile", "DELIVER e3 desk #3 kept");
    assert_before(out, "DELIVER e3 desk #3 kept", "<later/>");
    fake_acked("e3", BOB, 4);
    assert_int_equal(fake.watermarks[2], fake.entries[1].id);
}

/* The client has #2 of a home whose Redis lost it, then edge and home die. The next home gives that
 * number to something else, and dies, too. */
static void what_another_home_could_not_send_is_not_acknowledged(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<state/>");
    buf_fini(&fake.spool[--fake.spool_count].packed);
    fake_take_over_bob();
    say(4, BOB, "<body>b</body>");
    entity_on_edge_dead(fake.router.entities, "e2");
    fake_run();
    fake_take_over_bob();
    fake_clear();
    resume(2);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=");
    assert_int_not_equal(fake.watermarks[2], fake.entries[1].id);
}

/* The former home's word came late; what the one after it had numbered comes behind. */
static void what_was_sent_keeps_its_number(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<state/>");
    fake.spool_count--;
    fake_take_over_bob();
    struct spool_element late = fake.spool[1].element;
    struct buf packed = fake.spool[1].packed;
    say(4, BOB, "<body>b</body>");
    fake.spool[2].element = late;
    fake.spool[2].packed = packed;
    fake.spool[2].session = fake.spool[1].session;
    fake.spool_count = 3;
    entity_on_edge_dead(fake.router.entities, "e2");
    fake_run();
    fake_take_over_bob();
    fake_clear();
    resume(2);
    const char *out = fake_take_out();
    assert_seen(out, "\nRESUMED e3 desk");
    assert_seen(out, "DELIVER e3 desk #3 kept");
    assert_int_not_equal(fake.watermarks[2], fake.entries[1].id);
    fake_acked("e3", BOB, 3);
    assert_int_equal(fake.watermarks[2], fake.entries[1].id);
}

/* Redis was away; nobody has said yet what the client has beyond what it kept. */
static void rewritten_queue_is_still_of_the_former_home(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    say(3, BOB, "<state/>");
    buf_fini(&fake.spool[--fake.spool_count].packed);
    fake_take_over_bob();
    say(4, BOB, "<body>b</body>"); /* a number the client knows something else by */
    fake_clear();
    entity_on_redis_up(fake.router.entities);
    assert_before(fake_take_out(), "SPOOL desk #1 kept\n", "SPOOL desk #2 kept provisional\n");
    entity_on_edge_dead(fake.router.entities, "e2");
    fake_run();
    fake_take_over_bob();
    fake_clear();
    resume(2);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9 h=");
}

/* The client comes back under the same name, then the edge of its dead stream announces that. */
static void session_that_cannot_be_resumed_does_not_come_back(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    fake.spool[0].element.position++;
    struct id128 former = fake_session("desk");
    fake_take_over_bob();
    resume(1);
    fake_login("e3", BOB, 0);
    fake_clear();
    Wire__Id session = WIRE_ID_INIT(former);
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(BOB));
    announce.is_available = true;
    announce.has_sm = true;
    announce.written = 1;
    entity_on_announce(fake.router.entities, "e2", &announce);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "KICK e2");
    assert_not_seen(out, "KICK e3");
    say(3, BOB, "<body>b</body>");
    assert_seen(fake_take_out(), "DELIVER e3");
}

static void lose_redis_with_the_home(void)
{
    say(2, BOB, "<body>a</body>");
    fake_detach("e2", BOB, 0);
    fake.is_redis_up = false;
    fake.redis_lost_ms = loop_now_ms(NULL);
    fake_take_over_bob();
    resume(0);
    fake_advance(1000);
    assert_not_seen(fake_take_out(), "RESUMED");
}

static void redis_that_was_just_lost_is_waited_for(void **state)
{
    (void)state;
    lose_redis_with_the_home();
    fake.is_redis_up = true;
    fake_advance(100);
    assert_seen(fake_take_out(), "\nRESUMED e3");
}

static void redis_that_stays_away_is_not(void **state)
{
    (void)state;
    lose_redis_with_the_home();
    fake_advance(600);
    assert_seen(fake_take_out(), "NOT-RESUMED e3 9");
}

static void redis_that_comes_back_is_told_the_queue(void **state)
{
    (void)state;
    say(2, BOB, "<body>a</body>");
    fake_clear();
    entity_on_redis_up(fake.router.entities);
    const char *out = fake_take_out();
    assert_before(out, "UNSPOOL desk", "SPOOL desk #1 kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                record_is_never_behind_what_was_trimmed, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                spool_is_kept_until_the_log_has_been_told, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(spool_is_written_before_it_is_sent_and_trimmed_behind_acks,
                start_managed,
                fake_stop),
        cmocka_unit_test_setup_teardown(
                detached_session_is_resumed_at_the_next_home, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                acknowledged_messages_do_not_come_again, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                living_edge_gets_what_was_on_the_way, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                restored_burst_has_time_from_its_announcement_on, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                time_of_a_detached_session_goes_on, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                edge_that_never_announces_has_lost_the_stream, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                announced_counter_wins_over_the_stored_one, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                resume_without_the_former_edge_uses_the_stored_one, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(spool_with_a_gap_is_no_queue, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                emptied_redis_costs_nothing_that_comes_later, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                volatile_ones_need_no_durable_one_to_go, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(lost_queue_answers_with_h, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                h_of_a_lost_queue_is_the_newest_that_is_known, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                session_that_cannot_be_resumed_is_no_target, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                client_that_is_past_a_gap_cannot_resume, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_waits_for_a_detached_session_survives_two_homes, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_another_home_could_not_send_is_not_acknowledged, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(what_was_sent_keeps_its_number, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                rewritten_queue_is_still_of_the_former_home, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                session_that_cannot_be_resumed_does_not_come_back, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                redis_that_was_just_lost_is_waited_for, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(redis_that_stays_away_is_not, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                redis_that_comes_back_is_told_the_queue, start_managed, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

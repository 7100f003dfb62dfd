/* A former home said more to the client than it could leave in Redis: its lease had run out, and it
 * had not heard of the next home. The edge knows, and tells. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static void say(uint32_t counter, const char *body)
{
    struct stanza message = fake_message(ALICE, BOB, body);
    fake_input("e1", counter, &message);
}

static int start_managed(void **state)
{
    (void)fake_start(state);
    fake.is_redis_up = true;
    fake_login_managed();
    return 0;
}

/* Bob's next home finds the first `spooled` elements of his queue. */
static void take_over(size_t spooled)
{
    while (fake.spool_count > spooled) {
        buf_fini(&fake.spool[--fake.spool_count].packed);
    }
    fake_take_over_bob();
    fake_clear();
}

struct said {
    uint32_t acked;
    uint32_t written;
    uint32_t sequences[4];
    int64_t log_ids[4];
    size_t count;
};

static void announce(struct said *said)
{
    Wire__Id session = WIRE_ID_INIT(fake_session("desk"));
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(BOB));
    announce.handled = 1;
    announce.is_available = true;
    announce.has_sm = true;
    announce.acked = said->acked;
    announce.written = said->written;
    announce.sequences = said->sequences;
    announce.n_sequences = said->count;
    announce.log_ids = said->log_ids;
    announce.n_log_ids = said->count;
    entity_on_announce(fake.router.entities, "e2", &announce);
    fake_run();
}

static struct said said_all(uint32_t acked, uint32_t written, size_t count)
{
    struct said said = { .acked = acked, .written = written, .count = count };
    for (size_t i = 0; i < count; i++) {
        said.sequences[i] = (uint32_t)i + 1;
        said.log_ids[i] = fake.entries[i].id;
    }
    return said;
}

static void what_the_former_home_said_last_does_not_come_again(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    take_over(1);
    struct said said = said_all(0, 2, 2);
    announce(&said);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2 desk");
    assert_before(
            out, "SPOOL desk #1 kept", "SPOOL desk #2 kept"); /* for one that comes after us */
    say(4, "<body>c</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #3 kept");
    fake_acked("e2", BOB, 3);
    assert_int_equal(fake.watermarks[2], fake.entries[2].id);
}

static void what_its_client_has_acknowledged_does_not_come_again(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    take_over(1);
    struct said said = said_all(2, 2, 2);
    announce(&said);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2 desk");
    assert_seen(out, "WATERMARK 2");
}

/* Numbers of both homes for different stanzas: those that were written count. */
static void what_was_numbered_here_meanwhile_comes_behind(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    take_over(1);
    say(4, "<body>c</body>");
    say(5, "<state/>");
    struct said said = said_all(1, 2, 2);
    announce(&said);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2 desk #2");
    assert_before(out, "DELIVER e2 desk #3 kept", "DELIVER e2 desk #4 volatile");
    assert_not_seen(out, "DELIVER e2 desk #5");
    fake_acked("e2", BOB, 4);
    assert_int_equal(fake.watermarks[2], fake.entries[2].id);
}

static void what_was_volatile_is_a_number(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<state/>");
    say(4, "<body>b</body>");
    take_over(1);
    struct said said = { .acked = 1, .written = 3, .count = 1 };
    said.sequences[0] = 3;
    said.log_ids[0] = fake.entries[1].id;
    announce(&said);
    assert_not_seen(fake_take_out(), "DELIVER e2 desk");
    say(5, "<body>c</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #4 kept");
}

/* Redis had lost what it was sent first. */
static void what_redis_has_lost_does_not_come_again(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    say(4, "<body>c</body>");
    fake.spool_trimmed = 1;
    fake_take_over_bob();
    fake_clear();
    struct said said = said_all(0, 3, 3);
    announce(&said);
    fake_advance(10);
    assert_not_seen(fake_take_out(), "DELIVER e2 desk");
    fake_acked("e2", BOB, 3);
    assert_int_equal(fake.watermarks[2], fake.entries[2].id);
}

static void what_is_volatile_behind_a_gap_does_not_come_again(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    fake.spool_trimmed = 1;
    say(3, "<state/>");
    say(4, "<body>b</body>");
    fake_take_over_bob();
    fake_clear();
    struct said said = said_all(0, 3, 2);
    said.sequences[1] = 3;
    announce(&said);
    fake_advance(10);
    assert_not_seen(fake_take_out(), "DELIVER e2 desk");
}

/* Numbered by the next home, and told to nobody yet. */
static void what_is_volatile_and_new_comes_all_the_same(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    fake.spool_trimmed = 1;
    say(3, "<state/>");
    say(4, "<body>b</body>");
    size_t spooled = fake.spool_count;
    say(5, "<state/>");
    take_over(spooled);
    say(6, "<new/>");
    struct said said = said_all(0, 4, 2);
    said.sequences[1] = 3;
    announce(&said);
    fake_advance(10);
    assert_seen(fake_take_out(), "<new/>");
}

static void a_gap_the_edge_has_filled_is_none(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    fake.spool_trimmed = 1;
    fake_take_over_bob();
    struct said said = said_all(0, 2, 2);
    announce(&said);
    fake_advance(10);
    fake_detach("e2", BOB, 1);
    fake_clear();
    fake_post_resume("e3", "bob@example.org", 0);
    fake_run();
    fake_advance(10);
    assert_before(fake_take_out(), "DELIVER e3 desk #1 kept", "DELIVER e3 desk #2 kept");
}

/* And its client had acknowledged it, which the log has not heard of. */
static void what_was_acknowledged_and_lost_does_not_come_again(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    fake.spool_trimmed = 1;
    fake.written.sm.acked = 1;
    fake_take_over_bob();
    fake_clear();
    struct said said = said_all(1, 2, 2);
    announce(&said);
    fake_advance(10);
    assert_not_seen(fake_take_out(), "DELIVER e2 desk");
    assert_int_equal(fake.watermarks[2], fake.entries[0].id);
    fake_acked("e2", BOB, 2);
    assert_int_equal(fake.watermarks[2], fake.entries[1].id);
}

/* Redis and the router were lost at once: the edge is all that is left. */
static void an_edge_alone_knows_what_was_written(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    fake_clear();
    struct said said = said_all(1, 2, 2);
    announce(&said);
    fake_advance(10);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2 desk #1");
    assert_not_seen(out, "DELIVER e2 desk #2");
    fake_post_resume(
            "e3", "bob@example.org", 1); /* and what it had not acknowledged is in the log */
    fake_run();
    fake_advance(10);
    assert_seen(fake_take_out(), "DELIVER e3 desk #2 kept");
}

static void what_cannot_be_is_not_believed(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    take_over(1);
    struct said said = said_all(0, 2, 1);
    said.sequences[1] = 2;
    said.log_ids[1] = fake.entries[0].id + 1000000; /* no log has it */
    said.count = 2;
    announce(&said);
    fake_clear();
    say(3, "<body>b</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #3 kept");
}

/* One home gave a number, left it in Redis and died before it could send; the one before it had
 * given the same number to something else, and sent that. */
static void what_another_home_never_sent_comes_behind(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    say(4, "<body>c</body>");
    take_over(2);
    struct said said = said_all(0, 2, 2);
    said.log_ids[1] = fake.entries[2].id;
    announce(&said);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 desk #3 kept <message");
    assert_seen(out, "<body>b</body>");
    assert_not_seen(out, "<body>c</body>");
    assert_not_seen(out, "DELIVER e2 desk #4");
    fake_acked("e2", BOB, 3);
    assert_int_equal(fake.watermarks[2], fake.entries[2].id);
}

/* The edge has forgotten what was acknowledged long ago, and Redis does not know that it was. */
static void what_the_edge_has_forgotten_is_agreed(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    say(4, "<body>c</body>");
    take_over(3);
    struct said said = { .acked = 2, .written = 3, .count = 1 };
    said.sequences[0] = 3;
    said.log_ids[0] = fake.entries[2].id;
    announce(&said);
    assert_not_seen(fake_take_out(), "DELIVER e2 desk");
    say(5, "<body>d</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #4 kept");
}

/* Whatever an edge says: one number for an entry, and each is filled or given up. */
static void one_entry_has_one_number(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    take_over(1);
    struct said said = said_all(0, 3, 2);
    said.sequences[2] = 3;
    said.log_ids[2] = fake.entries[1].id;
    said.count = 3;
    announce(&said);
    said = said_all(0, 0, 0); /* takes it all back: sent once more */
    announce(&said);
    fake_advance(10);
    fake_clear();
    say(4, "<body>c</body>");
    fake_advance(10);
    assert_seen(fake_take_out(), "DELIVER e2 desk #4 kept");
}

/* The edge and the former home died together: what the client has beyond the queue is nothing that
 * was numbered here since. */
static void a_client_that_has_more_than_the_queue_cannot_resume(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    take_over(1);
    say(3, "<body>b</body>");
    fake_clear();
    fake_post_resume("e3", "bob@example.org", 2);
    fake_run();
    assert_seen(fake_take_out(), "NOT-RESUMED e3");
    assert_int_not_equal(fake.watermarks[2], fake.entries[1].id);
}

/* The edge had something of the former home on the way when it said how far it was, and could not
 * be sent that again before it went, too. */
static void what_was_on_its_way_at_the_takeover_can_be_resumed(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    say(3, "<body>b</body>");
    take_over(2);
    fake.dead_edge = "e2";
    struct said said = said_all(0, 1, 1);
    announce(&said);
    fake.dead_edge = NULL;
    fake_post_resume("e3", "bob@example.org", 2);
    fake_run();
    assert_seen(fake_take_out(), "\nRESUMED e3");
    assert_int_equal(fake.watermarks[2], fake.entries[1].id);
}

/* Sent once, asked for again, and the link had no room: the numbers are still ours. */
static void what_could_not_be_sent_again_is_not_another_homes(void **state)
{
    (void)state;
    say(2, "<body>a</body>");
    take_over(1);
    struct said said = said_all(0, 1, 1);
    announce(&said);
    say(3, "<state/>");
    assert_seen(fake_take_out(), "DELIVER e2 desk #2 volatile");
    fake.full_edge = "e2";
    announce(&said);
    fake.full_edge = NULL;
    said.written = 2; /* it was only late */
    announce(&said);
    fake_advance(10);
    assert_not_seen(fake_take_out(), "DELIVER e2 desk");
    fake_detach("e2", BOB, 1);
    fake_post_resume("e3", "bob@example.org", 1);
    fake_run();
    assert_before(fake_take_out(), "\nRESUMED e3", "DELIVER e3 desk #2 volatile");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                what_the_former_home_said_last_does_not_come_again, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_its_client_has_acknowledged_does_not_come_again, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_was_numbered_here_meanwhile_comes_behind, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(what_was_volatile_is_a_number, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                an_edge_alone_knows_what_was_written, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_redis_has_lost_does_not_come_again, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_is_volatile_behind_a_gap_does_not_come_again, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_is_volatile_and_new_comes_all_the_same, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_gap_the_edge_has_filled_is_none, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_was_acknowledged_and_lost_does_not_come_again, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_not_believed, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_another_home_never_sent_comes_behind, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_the_edge_has_forgotten_is_agreed, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(one_entry_has_one_number, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_client_that_has_more_than_the_queue_cannot_resume, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_was_on_its_way_at_the_takeover_can_be_resumed, start_managed, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_could_not_be_sent_again_is_not_another_homes, start_managed, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

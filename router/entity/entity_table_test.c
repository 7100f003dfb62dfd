/* The table: idle entities are forgotten, shards are dropped, stores that fail are asked again. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static struct entity *find(const char *bare)
{
    return entity_find(fake.router.entities, str_from_cstr(bare));
}

static void count_answer(void *context, enum err err)
{
    enum err *last = context;
    *last = err;
}

static void route_origin(const char *bare, const struct origin *origin, enum err *answer)
{
    struct stanza message = fake_message("x@example.org/r", bare, "<body>x</body>");
    *answer = ERR_AGAIN;
    entity_on_route(fake.router.entities, origin, &message, count_answer, answer);
}

static void route_to(const char *bare, enum err *answer)
{
    static struct origin origin = { .session = { 1, 2 } };
    origin.counter++;
    route_origin(bare, &origin, answer);
}

/* C08: a stranger could tell by the time. */
static void nobody_is_read_and_remembered_as_somebody_is(void **state)
{
    (void)state;
    enum err answer;
    size_t calls[2];
    const char *names[] = { "nobody@example.org", "bob@example.org" };
    for (size_t i = 0; i < 2; i++) {
        size_t before = fake.call_count;
        route_to(names[i], &answer);
        fake_run();
        calls[i] = fake.call_count - before;
        assert_int_equal(answer, ERR_OK);
    }
    assert_int_equal(calls[0], calls[1]);
    assert_int_equal(find("nobody@example.org")->state, ENTITY_UNKNOWN);
    fake_advance(59000);
    assert_non_null(find("nobody@example.org"));
    assert_non_null(find("bob@example.org"));
    fake_advance(2000);
    fake_advance(1000);
    assert_null(find("nobody@example.org"));
    assert_null(find("bob@example.org"));
}

static void nobody_may_become_somebody(void **state)
{
    (void)state;
    enum err answer;
    route_to("bobby@example.org", &answer);
    fake_run();
    assert_int_equal(find("bobby@example.org")->state, ENTITY_UNKNOWN);
    fake_find_account(STR("bob@example.org"))->bare = "bobby@example.org";
    entity_on_account_changed(fake.router.entities, STR("bobby@example.org"));
    fake_run();
    assert_int_equal(find("bobby@example.org")->state, ENTITY_ACTIVE);
    assert_true(find("bobby@example.org")->roster.is_loaded);
}

static void idle_entity_is_forgotten_but_not_one_with_a_session(void **state)
{
    (void)state;
    enum err answer;
    fake_login("e1", ALICE, 0);
    route_to("bob@example.org", &answer);
    fake_run();
    fake_advance(30000);
    assert_non_null(find("bob@example.org"));
    fake_advance(31000);
    fake_advance(1000);
    assert_null(find("bob@example.org"));
    assert_non_null(find("alice@example.org"));
}

static void number_of_entities_is_bounded(void **state)
{
    (void)state;
    fake.settings.max_entities = 3;
    enum err answer;
    char bare[32];
    for (int i = 0; i < 10; i++) {
        (void)snprintf(bare, sizeof(bare), "n%d@example.org", i);
        route_to(bare, &answer);
        fake_run();
    }
    assert_null(find("n0@example.org"));
    assert_non_null(find("n9@example.org"));
}

static void lost_shard_tells_waiting_routes_at_once(void **state)
{
    (void)state;
    enum err waiting;
    enum err flying;
    fake.is_auto_commit = false;
    route_to("bob@example.org", &flying);
    fake_run();
    route_to("bob@example.org", &waiting);
    fake_clear();
    entity_drop_shard(fake.router.entities, find("bob@example.org")->shard);
    assert_int_equal(flying, ERR_FENCED);
    assert_int_equal(waiting, ERR_FENCED);
    assert_string_equal(fake_take_out(), "");
    fake_commit(ERR_FENCED); /* the reply finds nobody */
    fake_run();
}

static void log_that_is_away_holds_messages_then_answers_them(void **state) /* G01 */
{
    (void)state;
    enum err answer;
    fake.is_log_down = true;
    route_to("bob@example.org", &answer);
    fake_run();
    fake_advance(1000);
    assert_int_equal(answer, ERR_AGAIN);
    fake.is_log_down = false;
    for (int i = 0; i < 10; i++) {
        fake_advance(1000);
    }
    assert_int_equal(answer, ERR_OK);
    assert_int_equal(fake.entry_count, 1);
    fake.is_log_down = true;
    entity_drop(find("bob@example.org"));
    route_to("bob@example.org", &answer);
    for (int i = 0; i < 30; i++) {
        fake_advance(1000);
    }
    assert_int_equal(answer, ERR_DENIED); /* the home of its sender answers */
    assert_int_equal(fake.entry_count, 1);
}

/* Nobody can say that it was not kept before the log was read: delivered and an error would be two
 * fates of one message (P5). */
static void what_may_be_in_the_log_waits_until_it_is_read(void **state)
{
    (void)state;
    enum err first;
    enum err again;
    const struct origin origin = { .session = { 1, 2 }, .counter = 1000 };
    struct origin repeat = origin;
    repeat.is_repeat = 1;
    route_origin("bob@example.org", &origin, &first);
    fake_run();
    assert_int_equal(first, ERR_OK);
    fake.is_log_down = true;
    entity_drop(find("bob@example.org"));
    route_origin("bob@example.org", &repeat, &again);
    for (int i = 0; i < 60; i++) {
        fake_advance(1000);
    }
    assert_int_equal(again, ERR_AGAIN);
    fake.is_log_down = false;
    for (int i = 0; i < 10; i++) {
        fake_advance(1000);
    }
    assert_int_equal(again, ERR_OK);
    assert_int_equal(fake.entry_count, 1);
}

static void what_may_be_in_the_log_has_room(void **state)
{
    (void)state;
    enum err answers[5];
    fake.settings.max_mailbox = 2;
    struct origin repeat = { .session = { 1, 2 }, .counter = 1000, .is_repeat = 1 };
    route_to("bob@example.org", &answers[0]);
    route_to("bob@example.org", &answers[1]);
    route_to("bob@example.org", &answers[2]);
    assert_int_equal(answers[2], ERR_DENIED);
    for (size_t i = 2; i < 5; i++) {
        repeat.counter++;
        route_origin("bob@example.org", &repeat, &answers[i]);
    }
    fake_run();
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(answers[i], ERR_OK);
    }
}

/* The first copy has had its answer. */
static void a_copy_hears_what_the_first_one_heard(void **state)
{
    (void)state;
    enum err first;
    enum err again;
    struct origin origin = { .session = { 1, 2 }, .counter = 1000 };
    fake.is_log_down = true;
    route_origin("bob@example.org", &origin, &first);
    origin.is_repeat = 1;
    route_origin("bob@example.org", &origin, &again);
    for (int i = 0; i < 30; i++) {
        fake_advance(1000);
    }
    assert_int_equal(first, ERR_DENIED);
    assert_int_equal(again, ERR_AGAIN);
    fake.is_log_down = false;
    for (int i = 0; i < 10; i++) {
        fake_advance(1000);
    }
    assert_int_equal(again, ERR_DENIED);
    assert_int_equal(fake.entry_count, 0);
}

/* Without stream management, announced while nothing could be read: Handled is cumulative, so none
 * is answered while an older one waits. */
static void inputs_behind_one_that_may_be_a_repeat_wait_with_it(void **state)
{
    (void)state;
    fake_login("e1", "alice@example.org/phone", 0);
    fake.is_log_down = true;
    entity_drop(find("alice@example.org"));
    fake_announce_plain("e1", "alice@example.org/phone", 1);
    struct stanza message =
            fake_message("alice@example.org/phone", "bob@example.org", "<body>x</body>");
    fake_input("e1", 2, &message);
    fake_advance(31000);
    fake_input("e1", 3, &message);
    fake_clear();
    for (int i = 0; i < 20; i++) {
        fake_advance(1000);
    }
    assert_not_seen(fake_take_out(), "HANDLED e1 phone");
    fake.is_log_down = false;
    for (int i = 0; i < 10; i++) {
        fake_advance(1000);
    }
    assert_seen(fake_take_out(), "HANDLED e1 phone 3");
    assert_int_equal(fake.entry_count, 2);
}

/* The store is away for long: a route comes back, an input behind it is answered, and an input
 * whose stream has ended behind it waits, since nobody would hear an error. */
static void what_is_too_old_is_answered_and_the_rest_waits(void **state) /* G01 */
{
    (void)state;
    enum err answer;
    fake_login("e2", "bob@example.org/desk", 0);
    fake.is_log_down = true;
    entity_drop(find("bob@example.org"));
    fake_clear();
    route_to("bob@example.org", &answer);
    struct stanza gone =
            fake_message("bob@example.org/away", "carol@example.org", "<body>1</body>");
    struct stanza here =
            fake_message("bob@example.org/desk", "carol@example.org", "<body>2</body>");
    fake_post_input("e1", 1, &gone);
    fake_post_input("e2", 2, &here);
    fake_close("e1", "bob@example.org/away");
    for (int i = 0; i < 30; i++) {
        fake_advance(1000);
    }
    assert_int_equal(answer, ERR_DENIED);
    const char *out = fake_take_out();
    assert_seen(out, "HANDLED e2 desk 2");
    assert_not_seen(out, "HANDLED e1");
}

/* Its watermark is still on its way to the log. */
static void evicted_account_does_not_repeat_what_was_delivered(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    struct stanza message = fake_message(ALICE, "bob@example.org", "<body>once</body>");
    fake_input("e1", 2, &message);
    fake.is_watermark_slow = true;
    fake_deliver_confirm("e2", BOB, fake.entries[0].id);
    fake_close("e2", BOB);
    entity_drop(find("bob@example.org"));
    fake_clear();
    fake_login("e2", BOB, 0);
    assert_not_seen(fake_take_out(), "<body>once");
}

static void busy_mailbox_shares_the_loop(void **state)
{
    (void)state;
    fake.settings.max_mailbox = 10000;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    struct stanza ping = fake_message("x@example.org/r", BOB, "<x/>");
    struct origin origin = { .session = { 1, 2 }, .counter = 1 };
    for (int i = 0; i < 2000; i++) {
        entity_on_route(fake.router.entities, &origin, &ping, NULL, NULL);
    }
    struct loop_task *task = fake.loop.tasks;
    fake.loop.tasks = task->next;
    task->queued = false;
    task->run(task->context);
    assert_true(find("bob@example.org")->mailbox.count > 1000); /* the rest after the sockets */
    fake_run();
    assert_int_equal(find("bob@example.org")->mailbox.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                nobody_is_read_and_remembered_as_somebody_is, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(nobody_may_become_somebody, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                idle_entity_is_forgotten_but_not_one_with_a_session, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(number_of_entities_is_bounded, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                lost_shard_tells_waiting_routes_at_once, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                log_that_is_away_holds_messages_then_answers_them, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_may_be_in_the_log_waits_until_it_is_read, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(what_may_be_in_the_log_has_room, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_copy_hears_what_the_first_one_heard, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                inputs_behind_one_that_may_be_a_repeat_wait_with_it, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_is_too_old_is_answered_and_the_rest_waits, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                evicted_account_does_not_repeat_what_was_delivered, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(busy_mailbox_shares_the_loop, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

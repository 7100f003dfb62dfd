/* A shard is handed over when nothing of it is at work and Redis has all of it, or is away. */
#include "router/entity/handover.h"

#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static unsigned leaving;
static unsigned settled;

static int start(void **state)
{
    settled = 0;
    return fake_start(state);
}

/* Bob's stream is managed, Redis is up and answers when it is told to. */
static int start_managed(void **state)
{
    if (start(state) != 0) {
        return -1;
    }
    fake.is_redis_up = true;
    fake_login_managed();
    fake.is_redis_mute = true;
    return 0;
}

static struct entity *bob(void)
{
    return entity_find(fake.router.entities, STR("bob@example.org"));
}

static void on_settled(void *context, unsigned shard)
{
    (void)context;
    assert_int_equal(shard, leaving);
    assert_null(bob());
    settled++;
}

static void release(void)
{
    leaving = bob()->shard;
    entity_quiesce_shard(fake.router.entities, leaving, on_settled, NULL);
    fake_advance(100);
}

static void answer(enum err err)
{
    fake_answer_redis(err);
    fake_advance(30);
}

static void say(uint32_t counter, const char *body)
{
    struct stanza message = fake_message(ALICE, BOB, body);
    fake_input("e1", counter, &message);
}

/* ---- work */

static void on_routed(void *context, enum err err)
{
    *(enum err *)context = err;
}

static void route_to_bob(enum err *answer_out)
{
    struct stanza message = fake_message("x@example.org/r", "bob@example.org", "<body>x</body>");
    struct origin origin = { { 1, 2 }, 1, 0, false };
    *answer_out = ERR_AGAIN;
    fake.is_auto_commit = false;
    entity_on_route(fake.router.entities, &origin, &message, on_routed, answer_out);
    fake_run();
}

static void it_waits_until_commits_are_decided(void **state)
{
    (void)state;
    enum err routed;
    route_to_bob(&routed);
    release();
    assert_int_equal(settled, 0);
    fake_commit(ERR_OK);
    fake_run();
    fake_advance(100);
    assert_int_equal(settled, 1);
    assert_int_equal(routed, ERR_OK);
}

static void stuck_work_is_left_after_the_time_limit(void **state)
{
    (void)state;
    enum err routed;
    route_to_bob(&routed);
    release();
    fake_advance(fake.settings.commit_timeout_ms);
    assert_int_equal(settled, 1);
    assert_int_equal(routed, ERR_FENCED);
}

static void what_is_lost_is_not_handed_over(void **state)
{
    (void)state;
    release();
    assert_int_equal(settled, 0);
    entity_drop_shard(fake.router.entities, leaving);
    entity_get(fake.router.entities, STR("bob@example.org")); /* it came back */
    answer(ERR_OK);
    assert_int_equal(settled, 0);
    assert_non_null(bob());
}

/* ---- Redis */

static void without_redis_nobody_is_asked(void **state)
{
    (void)state;
    fake.router.redis = NULL;
    release();
    assert_int_equal(settled, 1);
}

static void redis_answers_first(void **state)
{
    (void)state;
    say(2, "<state/>");
    fake_clear();
    release();
    assert_string_equal(fake_take_out(), "REDIS PING\n"); /* once */
    assert_int_equal(settled, 0);
    assert_non_null(bob());
    answer(ERR_OK);
    assert_int_equal(settled, 1);
}

static void what_is_written_meanwhile_is_asked_for_anew(void **state)
{
    (void)state;
    release();
    say(2, "<state/>");
    fake_clear();
    answer(ERR_OK);
    assert_int_equal(settled, 0);
    assert_string_equal(fake_take_out(), "REDIS PING\n");
    fake_acked("e2", BOB, 1);
    fake_advance(1000);
    assert_seen(fake_take_out(), "TRIM desk #1");
    answer(ERR_OK);
    assert_int_equal(settled, 0);
    answer(ERR_OK);
    assert_int_equal(settled, 1);
}

/* A lease that is late: what was numbered in that time is in memory only. */
static void what_redis_was_not_told_is_written_first(void **state)
{
    (void)state;
    fake.router.is_redis_behind = true;
    release();
    fake_advance(5000);
    assert_int_equal(settled, 0);
    assert_int_equal(fake.question_count, 0);
    fake.router.is_redis_behind = false;
    entity_on_redis_up(fake.router.entities);
    fake_advance(30);
    answer(ERR_OK);
    assert_int_equal(settled, 1);
}

/* Between question and answer, and again before anybody looked. */
static void what_was_written_again_is_asked_for_anew(void **state)
{
    (void)state;
    release();
    entity_on_redis_up(fake.router.entities);
    answer(ERR_OK);
    assert_int_equal(settled, 0);
    answer(ERR_OK);
    assert_int_equal(settled, 1);
}

static void a_sweep_comes_to_its_end_first(void **state)
{
    (void)state;
    fake.is_redis_slow = true;
    entity_on_redis_up(fake.router.entities);
    assert_true(entity_is_writing_redis(fake.router.entities));
    release();
    assert_int_equal(fake.question_count, 0);
    assert_int_equal(settled, 0);
    fake.is_redis_slow = false;
    fake_advance(100);
    answer(ERR_OK);
    assert_int_equal(settled, 1);
}

static void a_lost_connection_is_waited_for(void **state)
{
    (void)state;
    release();
    fake.is_redis_up = false;
    fake.redis_lost_ms = loop_now_ms(NULL);
    answer(ERR_UNAVAILABLE);
    fake_advance(1000);
    assert_int_equal(settled, 0);
    fake.is_redis_up = true;
    entity_on_redis_up(fake.router.entities);
    fake_advance(30);
    answer(ERR_OK);
    assert_int_equal(settled, 1);
}

static void a_question_in_vain_is_asked_again(void **state)
{
    (void)state;
    release();
    answer(ERR_UNAVAILABLE);
    assert_int_equal(settled, 0);
    answer(ERR_OK);
    assert_int_equal(settled, 1);
}

static void redis_that_is_away_is_not_waited_for(void **state)
{
    (void)state;
    release();
    fake.is_redis_up = false;
    fake.redis_lost_ms = loop_now_ms(NULL);
    answer(ERR_UNAVAILABLE);
    fake_advance(1400);
    assert_int_equal(settled, 0);
    fake_advance(100);
    assert_int_equal(settled, 1);
}

static void redis_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    release();
    fake_advance(fake.settings.commit_timeout_ms - 200);
    assert_int_equal(settled, 0);
    fake_advance(200);
    assert_int_equal(settled, 1);
    answer(ERR_OK); /* nobody asks any more */
    assert_int_equal(settled, 1);
}

#define MANAGED_TEST(name) cmocka_unit_test_setup_teardown(name, start_managed, fake_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_waits_until_commits_are_decided, start, fake_stop),
        cmocka_unit_test_setup_teardown(stuck_work_is_left_after_the_time_limit, start, fake_stop),
        MANAGED_TEST(what_is_lost_is_not_handed_over),
        MANAGED_TEST(without_redis_nobody_is_asked),
        MANAGED_TEST(redis_answers_first),
        MANAGED_TEST(what_is_written_meanwhile_is_asked_for_anew),
        MANAGED_TEST(what_redis_was_not_told_is_written_first),
        MANAGED_TEST(what_was_written_again_is_asked_for_anew),
        MANAGED_TEST(a_sweep_comes_to_its_end_first),
        MANAGED_TEST(a_lost_connection_is_waited_for),
        MANAGED_TEST(a_question_in_vain_is_asked_again),
        MANAGED_TEST(redis_that_is_away_is_not_waited_for),
        MANAGED_TEST(redis_is_not_waited_for_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

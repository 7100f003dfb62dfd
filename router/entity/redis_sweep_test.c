/* Redis is told again in steps, while entities come and go. */
#include "router/entity/redis_sweep.h"

#include "tests/lib/fake_router.h"

static struct entity *find(const char *bare)
{
    return entity_find(fake.router.entities, str_from_cstr(bare));
}

/* Alice, Bob and Carol, in this order, and a Redis that takes one of them at a time. */
static int start(void **state)
{
    if (fake_start(state) != 0) {
        return -1;
    }
    fake_add_account("carol@example.org");
    fake.is_redis_up = true;
    fake_login("e1", "alice@example.org/phone", 0);
    fake_login("e1", "bob@example.org/desk", 0);
    fake_login("e1", "carol@example.org/phone", 0);
    fake.is_redis_slow = true;
    fake.redis_room = 1;
    fake_clear();
    return 0;
}

static void next_step(int room)
{
    fake_clear();
    fake.redis_room = room;
    fake_advance(20);
}

static void no_more_is_written_than_there_is_room_for(void **state)
{
    (void)state;
    entity_on_redis_up(fake.router.entities);
    const char *out = fake_take_out();
    assert_seen(out, "RECORD alice@example.org/phone");
    assert_not_seen(out, "RECORD bob");
    assert_true(entity_is_writing_redis(fake.router.entities));
    next_step(0);
    assert_string_equal(fake_take_out(), "");
    next_step(10);
    out = fake_take_out();
    assert_not_seen(out, "RECORD alice");
    assert_before(out, "RECORD bob@example.org/desk", "RECORD carol@example.org/phone");
    assert_false(entity_is_writing_redis(fake.router.entities));
    next_step(10);
    assert_string_equal(fake_take_out(), "");
}

static void entities_come_and_go_between_two_steps(void **state)
{
    (void)state;
    entity_on_redis_up(fake.router.entities);
    fake_add_account("dave@example.org");
    fake_login("e1", "dave@example.org/phone", 0);
    entity_drop(find("bob@example.org")); /* whose turn it was */
    next_step(1);
    assert_seen(fake_take_out(), "RECORD carol@example.org/phone");
    next_step(1);
    assert_seen(fake_take_out(), "RECORD dave@example.org/phone");
    fake.redis_room = 1;
    entity_on_redis_up(fake.router.entities);
    entity_drop(find("carol@example.org"));
    entity_drop(find("dave@example.org"));
    next_step(10);
    assert_string_equal(fake_take_out(), "");
    assert_false(entity_is_writing_redis(fake.router.entities));
}

/* Emptied once more: who was told already is told again. */
static void it_begins_anew_when_redis_was_emptied_meanwhile(void **state)
{
    (void)state;
    entity_on_redis_up(fake.router.entities);
    next_step(1);
    assert_seen(fake_take_out(), "RECORD bob");
    fake.redis_room = 0;
    entity_on_redis_up(fake.router.entities);
    next_step(10);
    const char *out = fake_take_out();
    assert_seen(out, "RECORD alice");
    assert_seen(out, "RECORD carol");
}

/* Its last session ended while Redis was away, which still names it among those to be woken. */
static void who_has_no_session_any_more_is_named_no_more(void **state)
{
    (void)state;
    fake_close("e1", "bob@example.org/desk");
    next_step(10);
    assert_non_null(find("bob@example.org"));
    entity_on_redis_up(fake.router.entities);
    const char *out = fake_take_out();
    assert_seen(out, "NOT-LIVE bob@example.org");
    assert_not_seen(out, "NOT-LIVE alice");
    assert_not_seen(out, "RECORD bob");
}

/* Redis was away when its home read it: what stands there may be more than it knows. */
static void who_has_not_been_read_is_not_judged(void **state)
{
    (void)state;
    fake.is_redis_slow = false;
    fake.is_redis_up = false;
    fake_add_account("dave@example.org");
    entity_get(fake.router.entities, STR("dave@example.org"));
    fake_run();
    fake.is_redis_up = true;
    assert_int_equal(find("dave@example.org")->state, ENTITY_ACTIVE);
    fake_clear();
    entity_on_redis_up(fake.router.entities);
    assert_not_seen(fake_take_out(), "dave");
}

/* One that loads may have sessions Redis is just being asked for. */
static void who_is_loading_is_not_judged(void **state)
{
    (void)state;
    fake.is_redis_slow = false;
    fake.is_store_down = true;
    entity_get(fake.router.entities, STR("dave@example.org"));
    entity_on_redis_up(fake.router.entities);
    assert_not_seen(fake_take_out(), "dave");
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        n++;
    }
    return n;
}

/* Keys in Redis end after two days of quiet, sessions do not. */
static void quiet_sessions_are_kept_alive(void **state)
{
    (void)state;
    const int hours = 48;
    fake.is_redis_slow = false;
    entity_get(fake.router.entities, STR("dave@example.org")); /* has no session */
    fake_run();
    fake_clear();
    int64_t last_ms = loop_now_ms(NULL);
    int renewed = 0;
    for (int minute = 0; minute < hours * 60; minute++) {
        for (int i = 0; i < 6; i++) {
            fake_advance(10000);
            const char *out = fake_take_out();
            assert_in_range(count(out, "RENEW"), 0, 1); /* no burst */
            assert_not_seen(out, "RENEW dave");
            if (strstr(out, "RENEW alice@example.org\n")) {
                renewed++;
                last_ms = loop_now_ms(NULL);
            }
        }
        assert_in_range(loop_now_ms(NULL) - last_ms, 0, 12 * 3600 * 1000);
    }
    assert_in_range(renewed, hours / 12, hours / 2);
}

static void who_goes_is_not_kept_alive(void **state)
{
    (void)state;
    fake.is_redis_slow = false;
    for (int i = 0; i < 6 * 60 * 5; i++) {
        fake_advance(10000);
        if (strstr(fake_take_out(), "RENEW alice")) {
            entity_drop(find("bob@example.org")); /* whose turn it is */
            fake_advance(10000);
            assert_seen(fake_take_out(), "RENEW carol");
            return;
        }
    }
    fail_msg("nobody was kept alive");
}

static void a_lost_connection_ends_it(void **state)
{
    (void)state;
    entity_on_redis_up(fake.router.entities);
    fake.is_redis_up = false;
    next_step(0);
    assert_false(entity_is_writing_redis(fake.router.entities));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                no_more_is_written_than_there_is_room_for, start, fake_stop),
        cmocka_unit_test_setup_teardown(entities_come_and_go_between_two_steps, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                it_begins_anew_when_redis_was_emptied_meanwhile, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                who_has_no_session_any_more_is_named_no_more, start, fake_stop),
        cmocka_unit_test_setup_teardown(who_has_not_been_read_is_not_judged, start, fake_stop),
        cmocka_unit_test_setup_teardown(who_is_loading_is_not_judged, start, fake_stop),
        cmocka_unit_test_setup_teardown(quiet_sessions_are_kept_alive, start, fake_stop),
        cmocka_unit_test_setup_teardown(who_goes_is_not_kept_alive, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_lost_connection_ends_it, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

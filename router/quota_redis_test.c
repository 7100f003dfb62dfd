/* Two routers and a real Redis (tests/lib/scratch-redis): what they let through together. */
#include "router/quota_redis.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "chassis/redis.h"
#include "tests/lib/scratch_servers.h"

enum {
    ROUTERS = 2,
    WAIT_MS = 10000,
    LIMIT = 200,
    LOT = LIMIT / 4,
    PERIOD_MS = 4000, /* so that the test sees the rate, too */
};

struct side {
    struct redis *redis;
    struct quota_redis *store;
    struct quota *quota;
};

static struct fixture {
    char dir[128];
    char address[160];
    struct loop *loop;
    struct side sides[ROUTERS];
} fixture;

static void open_side(struct side *side)
{
    static const uint8_t secret[QUOTA_SECRET_BYTES] = "the same everywhere";
    static char none[] = "";
    const struct redis_config config = {
        .address = fixture.address,
        .user = none,
        .password_file = none,
        .sentinel_master = none,
        .connect_timeout_ms = 1000,
        .command_timeout_ms = 300,
        .reconnect_min_ms = 10,
        .reconnect_max_ms = 50,
        .max_pending = 1000,
    };
    assert_int_equal(redis_open(fixture.loop, &config, &side->redis), ERR_OK);
    side->store = quota_redis_create(fixture.loop, side->redis);
    side->quota = quota_create(&quota_redis_store, side->store, secret);
}

static bool are_up(void *context)
{
    (void)context;
    return redis_is_up(fixture.sides[0].redis) && redis_is_up(fixture.sides[1].redis);
}

static bool are_down(void *context)
{
    (void)context;
    return !redis_is_up(fixture.sides[0].redis) && !redis_is_up(fixture.sides[1].redis);
}

static int start(void **state)
{
    (void)state;
    scratch_start("scratch-redis", fixture.dir);
    (void)snprintf(fixture.address, sizeof(fixture.address), "unix:%s/redis.sock", fixture.dir);
    fixture.loop = loop_create(&clock_system);
    for (int i = 0; i < ROUTERS; i++) {
        open_side(&fixture.sides[i]);
    }
    return scratch_run_until(fixture.loop, are_up, NULL, WAIT_MS) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < ROUTERS; i++) {
        redis_close(fixture.sides[i].redis);
        quota_destroy(fixture.sides[i].quota);
        quota_redis_destroy(fixture.sides[i].store);
    }
    loop_destroy(fixture.loop);
    scratch_do("scratch-redis", "stop", fixture.dir);
    return 0;
}

static bool is_time(void *context)
{
    return loop_now_ms(fixture.loop) >= *(const int64_t *)context;
}

static void wait_ms(int64_t ms)
{
    int64_t due_ms = loop_now_ms(fixture.loop) + ms;
    (void)scratch_run_until(fixture.loop, is_time, &due_ms, ms + WAIT_MS);
}

static struct quota_spend spend_of(const char *who)
{
    return (struct quota_spend){
        .kind = QUOTA_ADDRESS_FAILURES,
        .limit = quota_limit_in(LIMIT, PERIOD_MS),
        .identity = str_from_cstr(who),
        .tokens = 1,
        .now_ns = loop_wall_us(fixture.loop) * 1000,
    };
}

/* Everybody asks for more than there is, with breaks in which answers come. */
static int hammer(const char *who, int64_t for_ms, int64_t *took_ms_out)
{
    int64_t began_ms = loop_now_ms(fixture.loop);
    int total = 0;
    while (loop_now_ms(fixture.loop) - began_ms < for_ms) {
        for (int i = 0; i < ROUTERS; i++) {
            struct quota_spend spend = spend_of(who);
            for (int n = 0; n < 20; n++) {
                total += quota_take_shared(fixture.sides[i].quota, &spend);
            }
        }
        wait_ms(5);
    }
    *took_ms_out = loop_now_ms(fixture.loop) - began_ms;
    return total;
}

static void two_routers_keep_to_one_limit(void **state)
{
    (void)state;
    int64_t took_ms;
    int total = hammer("198.51.100.1", 3 * PERIOD_MS / 2, &took_ms);
    int64_t fair = LIMIT + LIMIT * took_ms / PERIOD_MS;
    print_message("%d of %ld, at most %ld\n", total, (long)fair, (long)fair + ROUTERS * LOT);
    assert_in_range(total, fair - LOT, fair + ROUTERS * LOT);
}

static void redis_away_leaves_each_its_own_limit(void **state)
{
    (void)state;
    scratch_do("scratch-redis", "crash", fixture.dir);
    assert_true(scratch_run_until(fixture.loop, are_down, NULL, WAIT_MS));
    int64_t took_ms;
    int total = hammer("198.51.100.2", 1000, &took_ms);
    int64_t fair = LIMIT + LIMIT * took_ms / PERIOD_MS;
    assert_in_range(total, fair, ROUTERS * (fair + 1));
    char start_again[200];
    (void)snprintf(start_again, sizeof(start_again), "scratch-redis start %s", fixture.dir);
    scratch_run(start_again);
    assert_true(scratch_run_until(fixture.loop, are_up, NULL, WAIT_MS));
    int after = hammer("198.51.100.2", 1000, &took_ms); /* both are known to be empty */
    assert_in_range(after, 1, LIMIT * took_ms / PERIOD_MS + ROUTERS * LOT);
}

struct keys {
    bool is_done;
    size_t count;
    char first[64];
};

static void on_keys(void *context, enum err err, const struct redis_value *reply)
{
    struct keys *keys = context;
    assert_int_equal(err, ERR_OK);
    struct redis_value first = redis_value_at(reply, 0);
    keys->is_done = true;
    keys->count = reply->count;
    (void)snprintf(keys->first, sizeof(keys->first), STR_FMT, STR_ARG(first.text));
}

static struct keys look(void)
{
    struct keys keys = { .is_done = false };
    struct str args[] = { STR("KEYS"), STR("*") };
    redis_command(fixture.sides[0].redis, args, 2, on_keys, &keys);
    assert_true(scratch_run_until(fixture.loop, scratch_is_true, &keys.is_done, WAIT_MS));
    return keys;
}

static void keys_say_nothing_and_end(void **state)
{
    (void)state;
    wait_ms(PERIOD_MS + 1500); /* that of the test before is over */
    assert_int_equal(look().count, 0);
    struct quota_spend spend = spend_of("198.51.100.3");
    for (int i = 0; i < LIMIT / 4; i++) {
        (void)quota_take_shared(fixture.sides[0].quota, &spend);
    }
    wait_ms(50);
    struct keys keys = look();
    assert_int_equal(keys.count, 1);
    assert_null(strstr(keys.first, "198"));
    assert_int_equal(strlen(keys.first), 2 + 2 * QUOTA_KEY_BYTES);
    wait_ms(PERIOD_MS / 4 + 1500);
    assert_int_equal(look().count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_routers_keep_to_one_limit),
        cmocka_unit_test(keys_say_nothing_and_end),
        cmocka_unit_test(redis_away_leaves_each_its_own_limit),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

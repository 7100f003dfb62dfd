/* The token bucket: bursts pass, floods are seen as such (A36, C21). */
#include "edge/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct rate_limit limit = { .bytes_per_second = 1000, .burst_bytes = 4000 };

static void burst_passes_at_once(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limit, 1000);
    assert_int_equal(rate_allowance(&rate, &limit, 4000, 1000), 4000);
    rate_charge(&rate, 4000);
    assert_int_equal(rate_flood_ms(&rate, 1000), 0);
    assert_int_equal(rate_allowance(&rate, &limit, 100, 1000), 0);
}

static void tokens_come_back_with_time(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limit, 1000);
    rate_charge(&rate, 4000);
    assert_int_equal(rate_allowance(&rate, &limit, 4000, 2000), 1000);
    rate_charge(&rate, 1000);
    int64_t wait = rate_wait_ms(&rate, &limit);
    assert_in_range(wait, 512, 514);
    assert_true(rate_allowance(&rate, &limit, 4000, 2000 + wait) >= 512);
}

static void fractions_are_not_lost_when_asked_often(void **state)
{
    (void)state;
    const struct rate_limit slow = { .bytes_per_second = 100, .burst_bytes = 1000 };
    struct rate rate;
    rate_init(&rate, &slow, 1000);
    rate_charge(&rate, 1000);
    size_t allowed = 0;
    for (int64_t now = 1000; now <= 2000; now++) {
        allowed = rate_allowance(&rate, &slow, 1000, now);
    }
    assert_int_equal(allowed, 100);
}

static void lasting_flood_is_timed_and_forgiven_after_a_break(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limit, 1000);
    for (int64_t now = 1000; now <= 31000; now += 100) {
        rate_charge(&rate, rate_allowance(&rate, &limit, 100000, now));
    }
    assert_int_equal(rate_flood_ms(&rate, 31000), 30000);
    assert_int_equal(rate_allowance(&rate, &limit, 100, 34500), 100);
    assert_int_equal(rate_flood_ms(&rate, 34500), 0);
}

static void long_silence_does_not_overflow(void **state)
{
    (void)state;
    const struct rate_limit fast = { .bytes_per_second = 1 << 30, .burst_bytes = 1 << 30 };
    struct rate rate;
    rate_init(&rate, &fast, 0);
    rate_charge(&rate, 1 << 30);
    assert_int_equal(rate_allowance(&rate, &fast, 1 << 30, INT64_MAX / 2), 1 << 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_passes_at_once),
        cmocka_unit_test(tokens_come_back_with_time),
        cmocka_unit_test(fractions_are_not_lost_when_asked_often),
        cmocka_unit_test(lasting_flood_is_timed_and_forgiven_after_a_break),
        cmocka_unit_test(long_silence_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The clocks. */
#include "chassis/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void system_clocks_go_forward(void **state)
{
    (void)state;
    int64_t before = clock_system.monotonic_ms(clock_system.context);
    int64_t wall = clock_system.wall_us(clock_system.context);
    assert_true(before > 0);
    assert_true(wall > INT64_C(1600000000000000)); /* microseconds since 1970 */
    assert_true(clock_system.monotonic_ms(clock_system.context) >= before);
}

static void fake_clock_stands_until_moved(void **state)
{
    (void)state;
    struct fake_clock fake = { .monotonic_ms = 5, .wall_us = 7 };
    struct clock clock = fake_clock_clock(&fake);
    assert_int_equal(clock.monotonic_ms(clock.context), 5);
    fake.wall_us = -3600; /* H05: the wall clock may step back alone */
    assert_int_equal(clock.wall_us(clock.context), -3600);
    assert_int_equal(clock.monotonic_ms(clock.context), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_clocks_go_forward),
        cmocka_unit_test(fake_clock_stands_until_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

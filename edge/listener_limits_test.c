/* Limits per address, on a clock that stands still. */
#include "edge/listener_limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/loop.h"

static struct fake_clock fake;
static struct clock fake_as_clock;
static struct loop *loop;
static struct listener_limits *limits;

static struct peer_address make(uint32_t ipv4)
{
    struct peer_address address;
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(1) };
    memset(&address, 0, sizeof(address));
    in.sin_addr.s_addr = htonl(ipv4);
    memcpy(&address.storage, &in, sizeof(in));
    return address;
}

static enum admission admit(uint32_t ipv4)
{
    struct peer_address address = make(ipv4);
    return listener_limits_admit(limits, &address);
}

static void release(uint32_t ipv4)
{
    struct peer_address address = make(ipv4);
    listener_limits_release(limits, &address);
}

static int open_limits(void **state)
{
    (void)state;
    const struct listener_limit_options options = {
        .max_connections = 10, .max_connections_per_address = 3, .max_attempts_per_minute = 6
    };
    fake = (struct fake_clock){ .monotonic_ms = 1000 };
    fake_as_clock = fake_clock_clock(&fake);
    loop = loop_create(&fake_as_clock);
    limits = listener_limits_create(loop, &options);
    return 0;
}

static int close_limits(void **state)
{
    (void)state;
    listener_limits_destroy(limits);
    loop_destroy(loop);
    listener_limits_destroy(NULL);
    return 0;
}

static void an_address_has_so_many_connections_at_once(void **state)
{
    (void)state;
    /* A29 */
    assert_int_equal(admit(1), ADMISSION_GRANTED);
    assert_int_equal(admit(1), ADMISSION_GRANTED);
    assert_int_equal(admit(1), ADMISSION_GRANTED);
    assert_int_equal(admit(1), ADMISSION_TOO_MANY);
    assert_int_equal(admit(2), ADMISSION_GRANTED); /* others are unaffected */
    release(1);
    assert_int_equal(admit(1), ADMISSION_GRANTED);
}

static void an_address_has_so_many_attempts_a_minute(void **state)
{
    (void)state;
    /* A29 */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(admit(1), ADMISSION_GRANTED);
        release(1);
    }
    assert_int_equal(admit(1), ADMISSION_TOO_FAST);
    assert_int_equal(admit(2), ADMISSION_GRANTED);
    fake.monotonic_ms += 9999;
    assert_int_equal(admit(1), ADMISSION_TOO_FAST);
    fake.monotonic_ms += 1;
    assert_int_equal(admit(1), ADMISSION_GRANTED);
    release(1);
    assert_int_equal(admit(1), ADMISSION_TOO_FAST);
}

static void the_process_has_so_many_connections(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(admit(i), ADMISSION_GRANTED);
    }
    assert_int_equal(admit(99), ADMISSION_FULL);
    release(3);
    assert_int_equal(admit(99), ADMISSION_GRANTED);
}

static void a_reload_changes_the_limits(void **state)
{
    (void)state;
    const struct listener_limit_options options = {
        .max_connections = 10, .max_connections_per_address = 1, .max_attempts_per_minute = 600
    };
    listener_limits_set(limits, &options);
    assert_int_equal(admit(1), ADMISSION_GRANTED);
    assert_int_equal(admit(1), ADMISSION_TOO_MANY);
}

static void idle_addresses_are_forgotten(void **state)
{
    (void)state;
    /* A30: no memory per address that once came by */
    assert_int_equal(admit(500), ADMISSION_GRANTED);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(admit(i), ADMISSION_GRANTED);
        release(i);
    }
    assert_int_equal(listener_limits_entries(limits), 201);
    fake.monotonic_ms += 61000;
    timer_wheel_run(loop_timers(loop));
    assert_int_equal(listener_limits_entries(limits), 1);
    release(500);
    fake.monotonic_ms += 61000;
    timer_wheel_run(loop_timers(loop));
    assert_int_equal(listener_limits_entries(limits), 0);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(admit(0xffffffff), ADMISSION_GRANTED);
    for (uint32_t i = 0; i < 140000; i++) {
        assert_int_equal(admit(i), ADMISSION_GRANTED);
        release(i);
    }
    assert_int_equal(listener_limits_entries(limits), 1 << 17);
    release(0xffffffff); /* open connections are never forgotten */
}

int main(void)
{
#define LIMITS_TEST(f) cmocka_unit_test_setup_teardown(f, open_limits, close_limits)
    const struct CMUnitTest tests[] = {
        LIMITS_TEST(an_address_has_so_many_connections_at_once),
        LIMITS_TEST(an_address_has_so_many_attempts_a_minute),
        LIMITS_TEST(the_process_has_so_many_connections),
        LIMITS_TEST(a_reload_changes_the_limits),
        LIMITS_TEST(idle_addresses_are_forgotten),
        LIMITS_TEST(the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

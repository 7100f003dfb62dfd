/* Delays grow with the failures of an address and are forgotten (B17). */
#include "edge/auth_throttle.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct peer_address address_of(const char *text)
{
    struct peer_address address = { 0 };
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&address.storage, &in, sizeof(in));
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&address.storage, &in6, sizeof(in6));
    }
    return address;
}

static int64_t fail_often(struct auth_throttle *throttle,
        const struct peer_address *address,
        int times,
        int64_t now_ms)
{
    int64_t delay_ms = 0;
    for (int i = 0; i < times; i++) {
        delay_ms = auth_throttle_failed(throttle, address, 100, now_ms);
    }
    return delay_ms;
}

static void first_failures_wait_the_base_delay(void **state)
{
    (void)state;
    struct auth_throttle *throttle = auth_throttle_create();
    struct peer_address address = address_of("192.0.2.1");
    assert_int_equal(fail_often(throttle, &address, 10, 1000), 100);
    auth_throttle_destroy(throttle);
}

static void delay_doubles_and_has_a_ceiling(void **state)
{
    (void)state;
    struct auth_throttle *throttle = auth_throttle_create();
    struct peer_address address = address_of("192.0.2.1");
    assert_int_equal(fail_often(throttle, &address, 11, 1000), 200);
    assert_int_equal(fail_often(throttle, &address, 10, 1000), 400);
    assert_int_equal(fail_often(throttle, &address, 1000, 1000), 3200);
    auth_throttle_destroy(throttle);
}

static void failures_are_forgotten_with_time(void **state)
{
    (void)state;
    struct auth_throttle *throttle = auth_throttle_create();
    struct peer_address address = address_of("192.0.2.1");
    (void)fail_often(throttle, &address, 1000, 1000);
    assert_int_equal(fail_often(throttle, &address, 1, 1000 + 15 * 60000), 100);
    auth_throttle_destroy(throttle);
}

static void one_ipv6_network_shares_its_failures(void **state)
{
    (void)state;
    struct auth_throttle *throttle = auth_throttle_create();
    struct peer_address one = address_of("2001:db8:1:2::1");
    struct peer_address other = address_of("2001:db8:1:2:ffff::9");
    (void)fail_often(throttle, &one, 40, 1000);
    assert_int_equal(fail_often(throttle, &other, 1, 1000), 1600);
    auth_throttle_destroy(throttle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_failures_wait_the_base_delay),
        cmocka_unit_test(delay_doubles_and_has_a_ceiling),
        cmocka_unit_test(failures_are_forgotten_with_time),
        cmocka_unit_test(one_ipv6_network_shares_its_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

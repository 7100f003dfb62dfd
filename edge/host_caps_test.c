/* What routers tell of hosts. */
#include "edge/host_caps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct host_caps *caps;

static void told(const char *domain, uint8_t first, size_t sha256_len)
{
    uint8_t bytes[32] = { first };
    Wire__HostHashes host = WIRE__HOST_HASHES__INIT;
    host.domain = wire_bytes(str_from_cstr(domain));
    host.sha1 = wire_bytes(str_from(bytes, 20));
    host.sha256 = wire_bytes(str_from(bytes, sha256_len));
    host.sha3_256 = wire_bytes(str_from(bytes, 32));
    Wire__HostHashes *hosts[] = { &host };
    Wire__HostCaps message = WIRE__HOST_CAPS__INIT;
    message.hosts = hosts;
    message.n_hosts = 1;
    host_caps_take(caps, &message);
}

static int first_of(const char *domain)
{
    const struct caps_hashes *hashes = host_caps_find(caps, str_from_cstr(domain));
    return hashes ? hashes->sha1[0] + hashes->sha256[0] + hashes->sha3_256[0] : -1;
}

static void the_newest_counts_for_each_host(void **state)
{
    (void)state;
    caps = host_caps_create();
    assert_int_equal(first_of("a.example"), -1);
    told("a.example", 1, 32);
    told("b.example", 2, 32);
    told("a.example", 5, 32);
    assert_int_equal(first_of("a.example"), 15);
    assert_int_equal(first_of("b.example"), 6);
    told("a.example", 7, 31);
    told("", 7, 32);
    told("c.example", 7, 0);
    assert_int_equal(first_of("a.example"), 15);
    assert_int_equal(first_of("c.example"), -1);
    assert_int_equal(first_of(""), -1);
    host_caps_destroy(caps);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_newest_counts_for_each_host) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

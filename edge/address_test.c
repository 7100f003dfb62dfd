/* Socket addresses: text, prefixes, networks. */
#include "edge/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct sockaddr_storage make(const char *text, uint16_t port)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&address, &in, sizeof(in));
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&address, &in6, sizeof(in6));
    }
    return address;
}

static void assert_text(struct sockaddr_storage address, const char *expected)
{
    char text[64];
    address_normalise(&address);
    address_format(&address, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void addresses_have_one_text(void **state)
{
    (void)state;
    assert_text(make("192.0.2.1", 5000), "192.0.2.1:5000");
    assert_text(make("2001:DB8:0::1", 1), "[2001:db8::1]:1");
    assert_text(make("::ffff:192.0.2.1", 80), "192.0.2.1:80");
    assert_text((struct sockaddr_storage){ .ss_family = AF_UNIX }, "local");
}

static bool same_key(const char *a, const char *b)
{
    struct sockaddr_storage first = make(a, 1);
    struct sockaddr_storage second = make(b, 2);
    struct address_key one = address_limit_key(&first);
    struct address_key two = address_limit_key(&second);
    return memcmp(&one, &two, sizeof(one)) == 0;
}

static void limits_count_by_ipv4_address_and_ipv6_64(void **state)
{
    (void)state;
    assert_true(same_key("192.0.2.1", "192.0.2.1"));
    assert_false(same_key("192.0.2.1", "192.0.2.2"));
    assert_true(same_key("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
    assert_false(same_key("2001:db8:1:2::1", "2001:db8:1:3::1"));
}

static void routers_are_told_the_same_prefix(void **state)
{
    (void)state;
    uint8_t bytes[8];
    struct sockaddr_storage address = make("192.0.2.1", 1);
    assert_true(str_equal(address_limit_bytes(&address, bytes), STR("\300\0\2\1")));
    address = make("2001:db8:1:2::1", 1);
    assert_true(str_equal(address_limit_bytes(&address, bytes), STR("\x20\x01\x0d\xb8\0\1\0\2")));
    address = (struct sockaddr_storage){ .ss_family = AF_UNIX };
    assert_int_equal(address_limit_bytes(&address, bytes).len, 0);
}

static bool contains(const char *network_text, const char *address_text)
{
    struct address_network network;
    struct sockaddr_storage address = make(address_text, 1);
    assert_int_equal(address_network_parse(str_from_cstr(network_text), &network), ERR_OK);
    return address_network_contains(&network, &address);
}

static void networks_contain_their_addresses(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.0.1"));
    assert_false(contains("10.0.0.0/8", "11.0.0.1"));
    assert_true(contains("192.0.2.128/25", "192.0.2.200"));
    assert_false(contains("192.0.2.128/25", "192.0.2.100"));
    assert_true(contains("192.0.2.1", "192.0.2.1"));
    assert_false(contains("192.0.2.1", "192.0.2.0"));
    assert_true(contains("0.0.0.0/0", "203.0.113.7"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(contains("::1", "::1"));
    assert_true(contains("::/0", "2001:db8::1"));
}

static void malformed_networks_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0/8",
        "10.0.0.0/8/8",
        "10.0.0.0/-1",
        "::/129",
        "example.org",
        "10.0.0.0 /8",
        "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/1" };
    struct address_network network;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (address_network_parse(str_from_cstr(texts[i]), &network) != ERR_INVALID) {
            fail_msg("accepted: %s", texts[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_have_one_text),
        cmocka_unit_test(limits_count_by_ipv4_address_and_ipv6_64),
        cmocka_unit_test(routers_are_told_the_same_prefix),
        cmocka_unit_test(networks_contain_their_addresses),
        cmocka_unit_test(malformed_networks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

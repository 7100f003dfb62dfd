/* Addresses, static peers and names of the bus. */
#include "chassis/link_address.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void addresses_are_taken_apart(void **state)
{
    struct link_address address;
    (void)state;
    assert_int_equal(link_address_parse(STR("tcp://127.0.0.1:7001"), &address), ERR_OK);
    assert_false(address.is_tls);
    assert_true(address.is_loopback);
    assert_int_equal(address.port, 7001);
    assert_int_equal(link_address_parse(STR("tls+tcp://router-1.inner:0"), &address), ERR_OK);
    assert_true(address.is_tls);
    assert_false(address.is_loopback);
    assert_true(str_equal(address.host, STR("router-1.inner")));
    assert_int_equal(link_address_parse(STR("tcp://[::1]:65535"), &address), ERR_OK);
    assert_true(address.is_loopback);
    assert_true(str_equal(address.host, STR("::1")));
}

static void only_loopback_is_loopback(void **state)
{
    static const char *const inner[] = {
        "tcp://127.9.8.7:1", "tcp://LocalHost:1", "tcp://[::1]:1"
    };
    static const char *const outer[] = {
        "tcp://0.0.0.0:1",
        "tcp://127.0.0.1.example.org:1",
        "tcp://[::]:1",
        "tcp://10.0.0.1:1",
        "tcp://localhost.example.org:1",
    };
    struct link_address address;
    (void)state;
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        assert_int_equal(link_address_parse(str_from_cstr(inner[i]), &address), ERR_OK);
        assert_true(address.is_loopback);
    }
    for (size_t i = 0; i < sizeof(outer) / sizeof(outer[0]); i++) {
        assert_int_equal(link_address_parse(str_from_cstr(outer[i]), &address), ERR_OK);
        assert_false(address.is_loopback);
    }
}

static void anything_else_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "tcp://",
        "tcp://:1",
        "tcp://host",
        "tcp://host:",
        "tcp://host:65536",
        "tcp://host:-1",
        "tcp://host:1x",
        "ipc:///tmp/x",
        "tcp://[::1]",
        "tcp://[::1]7001",
        "tcp://[::1",
        "host:1",
    };
    struct link_address address;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(link_address_parse(str_from_cstr(bad[i]), &address), ERR_INVALID);
    }
}

static void static_peers_have_role_name_and_address(void **state)
{
    struct link_static_peer peer;
    (void)state;
    assert_int_equal(
            link_static_peer_parse(STR("router:router-1@tcp://127.0.0.1:7001"), &peer), ERR_OK);
    assert_int_equal(peer.role, LINK_ROLE_ROUTER);
    assert_true(str_equal(peer.node, STR("router-1")));
    assert_true(str_equal(peer.address, STR("tcp://127.0.0.1:7001")));
    assert_int_equal(link_static_peer_parse(STR("router-1@tcp://127.0.0.1:1"), &peer), ERR_INVALID);
    assert_int_equal(link_static_peer_parse(STR("king:r@tcp://127.0.0.1:1"), &peer), ERR_INVALID);
    assert_int_equal(link_static_peer_parse(STR("router:@tcp://127.0.0.1:1"), &peer), ERR_INVALID);
    assert_int_equal(link_static_peer_parse(STR("router:r@tcp://127.0.0.1:0"), &peer), ERR_INVALID);
    assert_int_equal(link_static_peer_parse(STR("router:a b@tcp://h:1"), &peer), ERR_INVALID);
}

static void roles_have_names_both_ways(void **state)
{
    (void)state;
    for (int role = LINK_ROLE_EDGE; role <= LINK_ROLE_PUSH; role++) {
        enum link_role back;
        const char *name = link_role_name((enum link_role)role);
        assert_int_equal(link_role_parse(str_from_cstr(name), &back), ERR_OK);
        assert_int_equal(back, role);
    }
    assert_string_equal(link_role_name((enum link_role)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(only_loopback_is_loopback),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(static_peers_have_role_name_and_address),
        cmocka_unit_test(roles_have_names_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

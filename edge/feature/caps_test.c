/* XEP-0115 §6.3 and XEP-0390 §5.2: once a router has told, behind authentication. */
#include "edge/host_caps.h"
#include "edge/stream_fixture.h"

static void tell(const char *domain)
{
    uint8_t bytes[32] = { 1 };
    Wire__HostHashes host = WIRE__HOST_HASHES__INIT;
    host.domain = wire_bytes(str_from_cstr(domain));
    host.sha1 = wire_bytes(str_from(bytes, 20));
    host.sha256 = wire_bytes(str_from(bytes, 32));
    host.sha3_256 = wire_bytes(str_from(bytes, 32));
    Wire__HostHashes *hosts[] = { &host };
    Wire__HostCaps message = WIRE__HOST_CAPS__INIT;
    message.hosts = hosts;
    message.n_hosts = 1;
    host_caps_take(fixture.edge.host_caps, &message);
}

static const char *features(void)
{
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    assert_null(strstr(server_said(), "caps"));
    client_sends(HEADER_TO("example.org"));
    return server_said();
}

static int start(void **state)
{
    int result = fixture_setup(state);
    fixture.edge.host_caps = host_caps_create();
    return result;
}

static int stop(void **state)
{
    int result = fixture_teardown(state);
    host_caps_destroy(fixture.edge.host_caps);
    return result;
}

static void what_the_router_told_is_announced(void **state)
{
    (void)state;
    tell("example.org");
    const char *said = features();
    expect_part(said,
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='" CAPS_NODE
            "' ver='AQAAAAAAAAAAAAAAAAAAAAAAAAA='/>");
    expect_part(said,
            "<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>"
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</hash>");
}

static void nothing_is_made_up(void **state)
{
    (void)state;
    tell("plain.example");
    assert_null(strstr(features(), "caps"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_router_told_is_announced, start, stop),
        cmocka_unit_test_setup_teardown(nothing_is_made_up, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0478: what is announced is what is enforced, before authentication and after. */
#include "edge/stream_fixture.h"

#define LIMITS(bytes) \
    "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>" bytes "</max-bytes></limits>"

static void narrow_limit_before_authentication(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    expect(LIMITS("10000"));
    become_secure();
    client_sends(HEADER_TO("example.org"));
    expect(LIMITS("10000"));
}

static void wide_limit_once_authenticated(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    (void)server_said();
    client_sends(HEADER_TO("example.org"));
    const char *features = server_said();
    expect_part(features, LIMITS("262144"));
    assert_null(strstr(features, "idle-seconds"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                narrow_limit_before_authentication, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(
                wide_limit_once_authenticated, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* RFC 6121 §2.6.1 and §3.4.1: offered once somebody has a roster. */
#include "edge/stream_fixture.h"

static void only_behind_authentication(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    assert_null(strstr(server_said(), "rosterver"));
    client_sends(HEADER_TO("example.org"));
    const char *features = server_said();
    expect_part(features, "<ver xmlns='urn:xmpp:features:rosterver'/>");
    expect_part(features, "<sub xmlns='urn:xmpp:features:pre-approval'/>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                only_behind_authentication, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0215: what is told, to whom it was made, and that a TURN server can check it. */
#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"
#include "tests/lib/fake_router.h"

#define ALICE  "alice@example.org/phone"
#define BOB    "bob@example.org/pc"
#define SECRET "a secret of some length"

static struct external_service services[3];

static int start(void **state)
{
    int result = fake_start(state);
    services[0] = (struct external_service){ .type = STR("stun"),
        .host = STR("stun.example.org"),
        .port = STR("3478"),
        .transport = STR("udp") };
    services[1] = (struct external_service){ .type = STR("turn"),
        .host = STR("turn.example.org"),
        .port = STR("3478"),
        .transport = STR("udp"),
        .secret = STR(SECRET),
        .ttl_ms = 3600000 };
    services[2] = (struct external_service){ .type = STR("ftp"),
        .host = STR("ftp.example.org"),
        .name = STR("F & G"),
        .username = STR("guest"),
        .password = STR("pw") };
    fake.settings.external_services = services;
    fake.settings.external_service_count = 3;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    return result;
}

static const char *ask(const char *edge, const char *from, uint32_t counter, const char *children)
{
    const char *name = strncmp(children, "<services", 9) == 0 ? "services" : "credentials";
    struct stanza iq = fake_iq(from, "example.org", STANZA_TYPE_GET, NS_EXTDISCO, name);
    iq.children = str_from_cstr(children);
    fake_clear();
    fake_input(edge, counter, &iq);
    return fake_take_out();
}

#define SERVICES(rest)    "<services xmlns='urn:xmpp:extdisco:2'" rest "/>"
#define CREDENTIALS(rest) "<credentials xmlns='urn:xmpp:extdisco:2'>" rest "</credentials>"

static void all_and_some_are_told(void **state)
{
    (void)state;
    const char *out = ask("e1", ALICE, 2, SERVICES(""));
    assert_seen(out, "<service type='stun' host='stun.example.org' port='3478' transport='udp'/>");
    assert_seen(out,
            "<service type='ftp' host='ftp.example.org' name='F &amp; G' restricted='true' username='guest' password='pw'/>");
    assert_seen(out,
            "<service type='turn' host='turn.example.org' port='3478' transport='udp' restricted='true' username='1700003600:");
    assert_seen(out, " expires='2023-11-14T23:13:20");
    assert_not_seen(out, "secret");
    assert_not_seen(out, "'1700003600:alice");
    out = ask("e1", ALICE, 3, SERVICES(" type='stun'"));
    assert_seen(out, "<services xmlns='urn:xmpp:extdisco:2' type='stun'><service type='stun'");
    assert_not_seen(out, "turn");
    assert_seen(ask("e1", ALICE, 4, SERVICES(" type='none'")), "type='none'></services>");
}

static void copy_attribute(const char *out, const char *name, char value[64])
{
    const char *at = strstr(out, name);
    assert_non_null(at);
    at += strlen(name);
    size_t len = strcspn(at, "'");
    assert_true(len > 0 && len < 64);
    memcpy(value, at, len);
    value[len] = '\0';
}

static void a_turn_server_can_check_the_password(void **state)
{
    (void)state;
    char username[64];
    char password[64];
    const char *out = ask("e1", ALICE, 2, SERVICES(" type='turn'"));
    copy_attribute(out, " username='", username);
    copy_attribute(out, " password='", password);
    uint8_t mac[DIGEST_MAX_BYTES];
    digest_hmac(DIGEST_SHA1, STR(SECRET), str_from_cstr(username), mac);
    struct buf expected;
    buf_init(&expected, 0);
    base64_encode(&expected, str_from(mac, 20));
    assert_true(str_equal(buf_view(&expected), str_from_cstr(password)));
    buf_fini(&expected);
    char other[64];
    copy_attribute(ask("e2", BOB, 2, SERVICES(" type='turn'")), " username='", other);
    assert_string_not_equal(username, other);
    copy_attribute(ask("e1", ALICE, 3, SERVICES(" type='turn'")), " username='", other);
    assert_string_equal(username, other);
}

static void credentials_are_asked_for_one_service(void **state)
{
    (void)state;
    const char *out =
            ask("e1", ALICE, 2, CREDENTIALS("<service type='turn' host='turn.example.org'/>"));
    assert_seen(out, "<credentials xmlns='urn:xmpp:extdisco:2'><service type='turn'");
    assert_not_seen(out, "stun");
    assert_seen(ask("e1", ALICE, 3, CREDENTIALS("<service type='turn' host='other.example.org'/>")),
            "<item-not-found");
    assert_seen(ask("e1", ALICE, 4, CREDENTIALS("<service type='stun' host='stun.example.org'/>")),
            "<item-not-found");
    assert_seen(ask("e1",
                        ALICE,
                        5,
                        CREDENTIALS("<service type='turn' host='turn.example.org' port='1'/>")),
            "<item-not-found");
    assert_seen(ask("e1", ALICE, 6, CREDENTIALS("<service type='turn'/>")), "<bad-request");
    assert_seen(ask("e1", ALICE, 7, CREDENTIALS("")), "<bad-request");
    fake.settings.external_service_count = 0;
    assert_seen(ask("e1", ALICE, 8, SERVICES("")), "<service-unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_and_some_are_told, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_turn_server_can_check_the_password, start, fake_stop),
        cmocka_unit_test_setup_teardown(credentials_are_asked_for_one_service, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

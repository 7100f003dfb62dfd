/* Which names are given away in-band, and what the edge is told. */
#include "router/registrar.h"

#include "router/egress.h"
#include "router/quota.h"
#include "tests/lib/fake_router.h"

static struct registrar *registrar;
static struct peer edge;

void egress_envelope(struct egress *egress, struct link_peer *peer, const Wire__Envelope *envelope)
{
    (void)egress;
    (void)peer;
    assert_int_equal(envelope->verb_case, WIRE__ENVELOPE__VERB_REGISTER_REPLY);
    assert_int_equal(envelope->register_reply->request, 7);
    buf_printf(&fake.out, "STATUS %d\n", (int)envelope->register_reply->status);
}

static int start(void **state)
{
    static struct account_policy policy;
    static const uint8_t secret[QUOTA_SECRET_BYTES] = "registrations";
    int result = fake_start(state);
    fake.settings.policies = &policy;
    fake.settings.policy_count = 1;
    registrar = registrar_create(&fake.router);
    edge = (struct peer){ .boot_epoch = 1 };
    fake.router.quota = quota_create(NULL, NULL, secret);
    return result;
}

static int stop(void **state)
{
    registrar_destroy(registrar);
    quota_destroy(fake.router.quota);
    return fake_stop(state);
}

/* Returns the status, and what the store was asked for in `fake.out` before it. */
static int try_name(const char *bare)
{
    char password[] = "secret";
    Wire__Register message = WIRE__REGISTER__INIT;
    buf_clear(&fake.out);
    message.request = 7;
    message.bare = (ProtobufCBinaryData){ strlen(bare), (uint8_t *)(uintptr_t)bare };
    message.password = (ProtobufCBinaryData){ strlen(password), (uint8_t *)password };
    registrar_on_register(registrar, &edge, &message);
    fake_run();
    char text[512];
    (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(buf_view(&fake.out)));
    const char *status = strstr(text, "STATUS ");
    assert_non_null(status);
    assert_null(strstr(status + 1, "STATUS "));
    return (int)strtol(status + strlen("STATUS "), NULL, 10);
}

static bool has_asked_store(void)
{
    char text[512];
    (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(buf_view(&fake.out)));
    return strstr(text, "REGISTER ") != NULL;
}

static void a_free_name_is_registered(void **state)
{
    (void)state;
    assert_int_equal(try_name("carol@example.org"), WIRE__STATUS__STATUS_OK);
    assert_true(has_asked_store());
}

static void a_taken_name_is_a_conflict(void **state)
{
    (void)state;
    assert_int_equal(try_name("alice@example.org"), WIRE__STATUS__STATUS_CONFLICT);
    assert_false(has_asked_store()); /* nothing was derived for it */
}

/* C33 */
static void a_name_that_looks_like_a_taken_one_is_a_conflict(void **state)
{
    (void)state;
    assert_int_equal(try_name("a1ice@example.org"), WIRE__STATUS__STATUS_CONFLICT);
    assert_int_equal(try_name("b0b@example.org"), WIRE__STATUS__STATUS_CONFLICT);
    assert_true(has_asked_store()); /* which decides */
    assert_int_equal(try_name("allice@example.org"), WIRE__STATUS__STATUS_OK);
}

static void a_name_of_tricks_is_invalid(void **state)
{
    (void)state;
    assert_int_equal(try_name("p\u0430ypal@example.org"), WIRE__STATUS__STATUS_INVALID);
    assert_int_equal(try_name("Carol@example.org"), WIRE__STATUS__STATUS_INVALID);
    assert_false(has_asked_store());
}

static void others_are_refused(void **state)
{
    (void)state;
    assert_int_equal(try_name("carol@elsewhere.example"), WIRE__STATUS__STATUS_NOT_AUTHORIZED);
    fake.is_store_down = true;
    assert_int_equal(try_name("carol@example.org"), WIRE__STATUS__STATUS_TEMPORARY);
    fake.host.registrations = quota_limit_in(2, 3600000);
    assert_int_equal(try_name("carol@example.org"), WIRE__STATUS__STATUS_TEMPORARY);
    fake.is_store_down = false;
    assert_int_equal(try_name("a1ice@example.org"), WIRE__STATUS__STATUS_CONFLICT);
    assert_int_equal(try_name("carol@example.org"), WIRE__STATUS__STATUS_LIMIT); /* tries count */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_free_name_is_registered, start, stop),
        cmocka_unit_test_setup_teardown(a_taken_name_is_a_conflict, start, stop),
        cmocka_unit_test_setup_teardown(
                a_name_that_looks_like_a_taken_one_is_a_conflict, start, stop),
        cmocka_unit_test_setup_teardown(a_name_of_tricks_is_invalid, start, stop),
        cmocka_unit_test_setup_teardown(others_are_refused, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

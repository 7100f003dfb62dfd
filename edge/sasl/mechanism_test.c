/* The list of mechanisms, PLAIN, and who the user is. */
#include "edge/sasl/mechanism.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct buf out;

static struct sasl_exchange *start(const char *mechanism)
{
    const struct sasl_environment environment = { .host = STR("example.org") };
    buf_clear(&out);
    return sasl_exchange_create(sasl_mechanism_find(str_from_cstr(mechanism)), &environment);
}

/* One PLAIN message; `bytes` may contain NULs. */
static enum sasl_condition try_plain(struct str bytes)
{
    struct sasl_exchange *exchange = start("PLAIN");
    enum sasl_next next = sasl_exchange_step(exchange, bytes, true, &out);
    enum sasl_condition condition = sasl_failure(exchange);
    assert_int_equal(next, condition == SASL_OK ? SASL_NEXT_PLAIN : SASL_NEXT_FAILURE);
    sasl_exchange_destroy(exchange);
    return condition;
}

static void assert_str(struct str got, const char *expected)
{
    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.ptr, expected, got.len);
}

static void mechanisms_are_found_by_exact_name_strongest_first(void **state)
{
    (void)state;
    assert_string_equal(sasl_mechanisms[0].name, "SCRAM-SHA-512-PLUS");
    assert_non_null(sasl_mechanism_find(STR("PLAIN")));
    assert_true(sasl_mechanism_find(STR("SCRAM-SHA-1-PLUS"))->is_plus);
    /* B11 */
    assert_null(sasl_mechanism_find(STR("plain")));
    assert_null(sasl_mechanism_find(STR("ANONYMOUS")));
    assert_null(sasl_mechanism_find(STR("EXTERNAL")));
    assert_null(sasl_mechanism_find(STR("")));
    assert_null(sasl_mechanism_find(STR("SCRAM-SHA-256-PLUS2")));
}

static void plain_gives_user_and_password(void **state)
{
    (void)state;
    struct sasl_exchange *exchange = start("PLAIN");
    struct str message = STR("\0Alice\0s3cret");
    assert_int_equal(sasl_exchange_step(exchange, message, true, &out), SASL_NEXT_PLAIN);
    assert_str(sasl_bare(exchange), "alice@example.org");
    assert_str(sasl_password(exchange), "s3cret");
    assert_int_equal(sasl_exchange_verified(exchange, SASL_OK, STR_NULL, &out), SASL_NEXT_SUCCESS);
    assert_int_equal(out.len, 0);
    sasl_exchange_destroy(exchange);
}

static void plain_asks_with_an_empty_challenge_when_nothing_was_sent(void **state)
{
    (void)state;
    struct sasl_exchange *exchange = start("PLAIN");
    assert_int_equal(sasl_exchange_step(exchange, STR_NULL, false, &out), SASL_NEXT_CHALLENGE);
    assert_int_equal(out.len, 0);
    assert_int_equal(sasl_exchange_step(exchange, STR("\0alice\0pw"), true, &out), SASL_NEXT_PLAIN);
    sasl_exchange_destroy(exchange);
}

static void malformed_plain_is_refused(void **state)
{
    (void)state;
    /* B12 */
    assert_int_equal(try_plain(STR("")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("alice")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\0alice")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\0alice\0")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\0\0password")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\0alice\0pass\0word")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\0alice\0pw\0")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\0al\xff"
                                   "ice\0pw")),
            SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\0alice\0\xc3\x28")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_plain(STR("\xff\0alice\0pw")), SASL_MALFORMED_REQUEST);
    static char large[10240];
    memset(large, 'a', sizeof(large));
    large[0] = '\0';
    large[5000] = '\0';
    assert_int_equal(try_plain(str_from(large, sizeof(large))), SASL_MALFORMED_REQUEST);
}

static void authzid_must_be_the_user_after_preparation(void **state)
{
    (void)state;
    /* B14 */
    assert_int_equal(try_plain(STR("alice@example.org\0alice\0pw")), SASL_OK);
    assert_int_equal(try_plain(STR("ALICE@Example.ORG\0alice\0pw")), SASL_OK);
    assert_int_equal(try_plain(STR("alice@example.org\0ALICE\0pw")), SASL_OK);
    /* U+FF41 is a full-width "a". */
    assert_int_equal(try_plain(STR("\xef\xbd\x81lice@example.org\0alice\0pw")), SASL_OK);
    assert_int_equal(try_plain(STR("bob@example.org\0alice\0pw")), SASL_INVALID_AUTHZID);
    assert_int_equal(try_plain(STR("alice@example.com\0alice\0pw")), SASL_INVALID_AUTHZID);
    assert_int_equal(try_plain(STR("alice@example.org/r\0alice\0pw")), SASL_INVALID_AUTHZID);
    assert_int_equal(try_plain(STR("alice\0alice\0pw")), SASL_INVALID_AUTHZID);
    assert_int_equal(try_plain(STR("example.org\0alice\0pw")), SASL_INVALID_AUTHZID);
    assert_int_equal(try_plain(STR("@example.org\0alice\0pw")), SASL_INVALID_AUTHZID);
}

static void user_names_with_the_streams_host_are_taken(void **state)
{
    (void)state;
    assert_int_equal(try_plain(STR("\0alice@example.org\0pw")), SASL_OK);
    assert_int_equal(try_plain(STR("\0alice@EXAMPLE.org\0pw")), SASL_OK);
    assert_int_equal(try_plain(STR("\0alice@example.com\0pw")), SASL_NOT_AUTHORIZED);
    assert_int_equal(try_plain(STR("\0alice@\0pw")), SASL_NOT_AUTHORIZED);
    assert_int_equal(try_plain(STR("\0@example.org\0pw")), SASL_NOT_AUTHORIZED);
    assert_int_equal(try_plain(STR("\0alice@example.org@x\0pw")), SASL_NOT_AUTHORIZED);
    assert_int_equal(try_plain(STR("\0alice@example.org/r\0pw")), SASL_NOT_AUTHORIZED);
}

static void names_that_cannot_exist_look_like_unknown_users(void **state)
{
    (void)state;
    /* B13 */
    assert_int_equal(try_plain(STR("\0a b\0pw")), SASL_NOT_AUTHORIZED);
    assert_int_equal(try_plain(STR("\0a<b\0pw")), SASL_NOT_AUTHORIZED);
    assert_int_equal(try_plain(STR("\0a/b\0pw")), SASL_NOT_AUTHORIZED);
}

static void failures_of_the_router_are_passed_on(void **state)
{
    (void)state;
    static const enum sasl_condition conditions[] = { SASL_NOT_AUTHORIZED,
        SASL_ACCOUNT_DISABLED,
        SASL_CREDENTIALS_EXPIRED,
        SASL_TEMPORARY_AUTH_FAILURE };
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        struct sasl_exchange *exchange = start("PLAIN");
        (void)sasl_exchange_step(exchange, STR("\0alice\0pw"), true, &out);
        assert_int_equal(
                sasl_exchange_verified(exchange, conditions[i], STR_NULL, &out), SASL_NEXT_FAILURE);
        assert_int_equal(sasl_failure(exchange), conditions[i]);
        sasl_exchange_destroy(exchange);
    }
}

static void a_message_out_of_turn_ends_the_exchange(void **state)
{
    (void)state;
    struct sasl_exchange *exchange = start("PLAIN");
    (void)sasl_exchange_step(exchange, STR("\0alice\0pw"), true, &out);
    assert_int_equal(
            sasl_exchange_step(exchange, STR("\0alice\0pw"), true, &out), SASL_NEXT_FAILURE);
    assert_int_equal(sasl_failure(exchange), SASL_MALFORMED_REQUEST);
    sasl_exchange_destroy(exchange);
    sasl_exchange_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mechanisms_are_found_by_exact_name_strongest_first),
        cmocka_unit_test(plain_gives_user_and_password),
        cmocka_unit_test(plain_asks_with_an_empty_challenge_when_nothing_was_sent),
        cmocka_unit_test(malformed_plain_is_refused),
        cmocka_unit_test(authzid_must_be_the_user_after_preparation),
        cmocka_unit_test(user_names_with_the_streams_host_are_taken),
        cmocka_unit_test(names_that_cannot_exist_look_like_unknown_users),
        cmocka_unit_test(failures_of_the_router_are_passed_on),
        cmocka_unit_test(a_message_out_of_turn_ends_the_exchange),
    };
    buf_init(&out, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&out);
    return failed;
}

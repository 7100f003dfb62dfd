/* The one message of a token's proof (XEP-0484), and messages that are none. */
#include "proto/xmpp/ht.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge/sasl/mechanism.h"

#define PROOF "\0three NULs, and all 32\0 bytes\0."

_Static_assert(sizeof(PROOF) - 1 == HT_PROOF_BYTES, "a proof");

static const struct sasl_binding bindings[] = {
    { .name = "tls-exporter", .bytes = { 1, 2, 0, 4 }, .len = 4 },
};

static struct sasl_exchange *start(const char *mechanism, size_t binding_count)
{
    const struct sasl_environment environment = {
        .host = STR("example.org"), .bindings = bindings, .binding_count = binding_count
    };
    return sasl_exchange_create(sasl_mechanism_find(str_from_cstr(mechanism)), &environment);
}

static void a_proof_may_hold_nul_bytes(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    struct sasl_exchange *exchange = start("HT-SHA-256-EXPR", 1);
    assert_int_equal(
            sasl_exchange_step(exchange, STR("Alice\0" PROOF), true, &out), SASL_NEXT_TOKEN);
    assert_true(str_equal(sasl_bare(exchange), STR("alice@example.org")));
    assert_true(str_equal(sasl_proof(exchange), STR(PROOF)));
    assert_true(str_equal(sasl_binding_data(exchange), STR("\1\2\0\4")));
    assert_int_equal(
            sasl_exchange_verified(exchange, SASL_OK, STR("answer"), &out), SASL_NEXT_SUCCESS);
    assert_true(str_equal(buf_view(&out), STR("answer")));
    sasl_exchange_destroy(exchange);
    buf_fini(&out);
}

static void without_a_binding_nothing_is_bound(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    struct sasl_exchange *exchange = start("HT-SHA-256-NONE", 1);
    assert_int_equal(
            sasl_exchange_step(exchange, STR("alice\0" PROOF), true, &out), SASL_NEXT_TOKEN);
    assert_int_equal(sasl_binding_data(exchange).len, 0);
    sasl_exchange_destroy(exchange);
    buf_fini(&out);
}

static void refused(struct str message)
{
    struct buf out;
    buf_init(&out, 0);
    struct sasl_exchange *exchange = start("HT-SHA-256-EXPR", 1);
    assert_int_equal(sasl_exchange_step(exchange, message, true, &out), SASL_NEXT_FAILURE);
    assert_int_equal(sasl_failure(exchange), SASL_MALFORMED_REQUEST);
    sasl_exchange_destroy(exchange);
    buf_fini(&out);
}

static void anything_else_is_malformed(void **state)
{
    (void)state;
    refused(STR(""));
    refused(STR("alice"));
    refused(STR("\0" PROOF));
    refused(STR("alice\0" PROOF "."));
    refused(STR("alice\0short"));
    refused(STR("\xff\0" PROOF));
    char message[1024 + sizeof(PROOF)] = { 0 };
    memset(message, 'a', 1024); /* a name too long by one */
    memcpy(message + 1025, PROOF, HT_PROOF_BYTES);
    refused(str_from(message, 1025 + HT_PROOF_BYTES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proof_may_hold_nul_bytes),
        cmocka_unit_test(without_a_binding_nothing_is_bound),
        cmocka_unit_test(anything_else_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

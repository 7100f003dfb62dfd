/* SCRAM's messages: the examples of the RFCs, and a client that misbehaves. */
#include "proto/xmpp/scram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/encoding.h"
#include "edge/sasl/mechanism.h"

static const struct sasl_binding bindings[] = {
    { .name = "tls-exporter", .bytes = { 1, 2, 3, 0, 5 }, .len = 5 },
    { .name = "tls-server-end-point", .bytes = { 9, 8, 7 }, .len = 3 },
};

struct fixture {
    struct sasl_exchange *exchange;
    struct buf out;
    struct buf scratch;
};

static void begin(struct fixture *f, const char *mechanism, bool with_bindings)
{
    const struct sasl_environment environment = {
        .host = STR("example.org"),
        .bindings = with_bindings ? bindings : NULL,
        .binding_count = with_bindings ? 2 : 0,
        .plus_was_offered = with_bindings,
    };
    f->exchange = sasl_exchange_create(sasl_mechanism_find(str_from_cstr(mechanism)), &environment);
    buf_init(&f->out, 0);
    buf_init(&f->scratch, 0);
}

static void end(struct fixture *f)
{
    sasl_exchange_destroy(f->exchange);
    buf_fini(&f->out);
    buf_fini(&f->scratch);
}

static struct str undo_base64(struct fixture *f, const char *text)
{
    buf_clear(&f->scratch);
    assert_int_equal(base64_decode(&f->scratch, str_from_cstr(text)), ERR_OK);
    return buf_view(&f->scratch);
}

static void assert_str(struct str got, const char *expected)
{
    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.ptr, expected, got.len);
}

static enum sasl_next say(struct fixture *f, const char *message)
{
    buf_clear(&f->out);
    return sasl_exchange_step(f->exchange, str_from_cstr(message), true, &f->out);
}

/* ---- the examples of the specifications */

struct example {
    const char *mechanism, *first, *client_nonce, *server_nonce, *salt, *challenge, *final;
    const char *auth_message, *signature, *success;
};

#define NONCE_1   "fyko+d2lbbFgONRv9qkxdawL"
#define NONCE_256 "rOprNGfwEbeRWgbNEkqO"
static const struct example examples[] = {
    /* RFC 5802 §5 */
    { .mechanism = "SCRAM-SHA-1",
            .first = "n,,n=user,r=" NONCE_1,
            .client_nonce = NONCE_1,
            .server_nonce = "3rfcNHYJY1ZVvWVs7j",
            .salt = "QSXCR+Q6sek8bf92",
            .challenge = "r=" NONCE_1 "3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            .final = "c=biws,r=" NONCE_1 "3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            .auth_message = "n=user,r=" NONCE_1 ",r=" NONCE_1
                            "3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=" NONCE_1
                            "3rfcNHYJY1ZVvWVs7j",
            .signature = "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            .success = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
    /* RFC 7677 §3 */
    { .mechanism = "SCRAM-SHA-256",
            .first = "n,,n=user,r=" NONCE_256,
            .client_nonce = NONCE_256,
            .server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            .salt = "W22ZaJ0SNY7soEsUEjb6gQ==",
            .challenge = "r=" NONCE_256
                         "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            .final = "c=biws,r=" NONCE_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            .auth_message = "n=user,r=" NONCE_256 ",r=" NONCE_256
                            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                            "c=biws,r=" NONCE_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            .signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            .success = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static void run_example(const struct example *e)
{
    struct fixture f;
    begin(&f, e->mechanism, false);
    assert_int_equal(say(&f, e->first), SASL_NEXT_LOOKUP);
    assert_str(sasl_bare(f.exchange), "user@example.org");
    assert_str(sasl_client_nonce(f.exchange), e->client_nonce);
    assert_int_equal(sasl_exchange_lookup(f.exchange,
                             undo_base64(&f, e->salt),
                             4096,
                             str_from_cstr(e->server_nonce),
                             &f.out),
            SASL_NEXT_CHALLENGE);
    assert_str(buf_view(&f.out), e->challenge);
    assert_int_equal(say(&f, e->final), SASL_NEXT_VERIFY);
    assert_str(sasl_auth_message(f.exchange), e->auth_message);
    assert_str(sasl_server_nonce(f.exchange), e->server_nonce);

    uint8_t stored[DIGEST_MAX_BYTES];
    uint8_t server[DIGEST_MAX_BYTES];
    enum digest digest = sasl_mechanism_find(str_from_cstr(e->mechanism))->digest;
    scram_derive(digest, STR("pencil"), undo_base64(&f, e->salt), 4096, stored, server);
    assert_true(scram_proof_is_valid(
            digest, stored, sasl_auth_message(f.exchange), sasl_proof(f.exchange)));
    assert_int_equal(
            sasl_exchange_verified(f.exchange, SASL_OK, undo_base64(&f, e->signature), &f.out),
            SASL_NEXT_SUCCESS);
    assert_str(buf_view(&f.out), e->success);
    assert_string_equal(sasl_binding_used(f.exchange), "");
    end(&f);
}

static void the_examples_of_the_rfcs_pass(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        run_example(&examples[i]);
    }
}

/* ---- a client of our own */

/* Up to the challenge; its text is "r=abcdSERVER,s=c2FsdA==,i=10". */
static void reach_challenge(
        struct fixture *f, const char *mechanism, bool with_bindings, const char *gs2)
{
    char first[128];
    begin(f, mechanism, with_bindings);
    (void)snprintf(first, sizeof(first), "%sn=user,r=abcd", gs2);
    assert_int_equal(say(f, first), SASL_NEXT_LOOKUP);
    assert_int_equal(sasl_exchange_lookup(f->exchange, STR("salt"), 10, STR("SERVER"), &f->out),
            SASL_NEXT_CHALLENGE);
    assert_str(buf_view(&f->out), "r=abcdSERVER,s=c2FsdA==,i=10");
}

/* The final message with a right proof over `binding` (raw) and `nonce`. */
static enum sasl_next say_final(
        struct fixture *f, enum digest digest, struct str binding, const char *nonce)
{
    struct buf final;
    struct buf auth;
    uint8_t proof[DIGEST_MAX_BYTES];
    uint8_t signature[DIGEST_MAX_BYTES];
    buf_init(&final, 0);
    buf_init(&auth, 0);
    buf_append_literal(&final, "c=");
    base64_encode(&final, binding);
    buf_printf(&final, ",r=%s", nonce);
    buf_printf(&auth, "n=user,r=abcd,r=abcdSERVER,s=c2FsdA==,i=10,");
    buf_append_str(&auth, buf_view(&final));
    scram_client_proof(digest, STR("pencil"), STR("salt"), 10, buf_view(&auth), proof, signature);
    buf_append_literal(&final, ",p=");
    base64_encode(&final, str_from(proof, digest_size(digest)));
    enum sasl_next next = sasl_exchange_step(f->exchange, buf_view(&final), true, &f->out);
    if (next == SASL_NEXT_VERIFY) {
        assert_true(str_equal(sasl_auth_message(f->exchange), buf_view(&auth)));
        assert_true(str_equal(sasl_proof(f->exchange), str_from(proof, digest_size(digest))));
    }
    buf_fini(&final);
    buf_fini(&auth);
    return next;
}

static void plus_accepts_each_offered_binding(void **state)
{
    (void)state;
    struct fixture f;
    reach_challenge(&f, "SCRAM-SHA-512-PLUS", true, "p=tls-exporter,,");
    assert_int_equal(
            say_final(&f, DIGEST_SHA512, STR("p=tls-exporter,,\x01\x02\x03\x00\x05"), "abcdSERVER"),
            SASL_NEXT_VERIFY);
    assert_string_equal(sasl_binding_used(f.exchange), "tls-exporter");
    assert_false(sasl_was_binding_mismatch(f.exchange));
    end(&f);

    reach_challenge(&f, "SCRAM-SHA-256-PLUS", true, "p=tls-server-end-point,a=user@example.org,");
    assert_int_equal(say_final(&f,
                             DIGEST_SHA256,
                             STR("p=tls-server-end-point,a=user@example.org,\x09\x08\x07"),
                             "abcdSERVER"),
            SASL_NEXT_VERIFY);
    end(&f);
}

static void wrong_binding_data_is_refused_and_counted(void **state)
{
    (void)state;
    /* B15 */
    static const struct str wrong[] = {
        { "p=tls-exporter,,\x01\x02\x03\x00\x06", 21 },
        { "p=tls-exporter,,\x01\x02\x03\x00", 20 },
        { "p=tls-exporter,,", 16 },
        { "n,,", 3 },
        { "p=tls-server-end-point,,\x09\x08\x07", 27 },
        { "", 0 },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct fixture f;
        reach_challenge(&f, "SCRAM-SHA-1-PLUS", true, "p=tls-exporter,,");
        assert_int_equal(say_final(&f, DIGEST_SHA1, wrong[i], "abcdSERVER"), SASL_NEXT_FAILURE);
        assert_int_equal(sasl_failure(f.exchange), SASL_NOT_AUTHORIZED);
        assert_true(sasl_was_binding_mismatch(f.exchange));
        end(&f);
    }
}

static void binding_types_not_offered_are_refused(void **state)
{
    (void)state;
    /* B15 */
    struct fixture f;
    begin(&f, "SCRAM-SHA-256-PLUS", true);
    assert_int_equal(say(&f, "p=tls-unique,,n=user,r=abcd"), SASL_NEXT_FAILURE);
    assert_int_equal(sasl_failure(f.exchange), SASL_NOT_AUTHORIZED);
    end(&f);
}

static void downgrade_from_plus_is_seen(void **state)
{
    (void)state;
    /* B16 */
    struct fixture f;
    begin(&f, "SCRAM-SHA-256", true);
    assert_int_equal(say(&f, "y,,n=user,r=abcd"), SASL_NEXT_FAILURE);
    assert_int_equal(sasl_failure(f.exchange), SASL_NOT_AUTHORIZED);
    assert_true(sasl_was_binding_mismatch(f.exchange));
    end(&f);

    /* Without an offer of ours "y" is right. */
    reach_challenge(&f, "SCRAM-SHA-256", false, "y,,");
    assert_int_equal(say_final(&f, DIGEST_SHA256, STR("y,,"), "abcdSERVER"), SASL_NEXT_VERIFY);
    end(&f);

    /* Changed on the way: the client said "y", we saw "n". */
    reach_challenge(&f, "SCRAM-SHA-256", true, "n,,");
    assert_int_equal(say_final(&f, DIGEST_SHA256, STR("y,,"), "abcdSERVER"), SASL_NEXT_FAILURE);
    assert_true(sasl_was_binding_mismatch(f.exchange));
    end(&f);
}

static enum sasl_condition try_first(const char *mechanism, struct str message)
{
    struct fixture f;
    begin(&f, mechanism, false);
    enum sasl_next next = sasl_exchange_step(f.exchange, message, true, &f.out);
    enum sasl_condition condition = sasl_failure(f.exchange);
    assert_int_equal(next, condition == SASL_OK ? SASL_NEXT_LOOKUP : SASL_NEXT_FAILURE);
    end(&f);
    return condition;
}

static void malformed_first_messages_are_refused(void **state)
{
    (void)state;
    /* B12 */
    static const char *const messages[] = { "",
        ",",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,r=abcd",
        "n,,n=user,r=",
        "n,,n=,r=abcd",
        "x,,n=user,r=abcd",
        "n,n=user,r=abcd",
        "n,a=,n=user,r=abcd",
        "n,b=x,n=user,r=abcd",
        "n,,r=abcd,n=user",
        "n,,n=user,r=ab cd",
        "n,,n=user,r=ab\x7f",
        "n,,n=us=er,r=abcd",
        "n,,n=us=2c,r=abcd",
        "n,,n=us=,r=abcd",
        "n,,n=user,r=abcd,",
        "n,,n=user,r=abcd,,",
        "n,,n=user,r=abcd,x",
        "n,,n=user,r=abcd,x=",
        "n,,n=user,r=abcd,1=x",
        "n,,m=ext,n=user,r=abcd",
        "n,,n=user,r=abcd,m=ext",
        "n,a=x=2,n=user,r=abcd",
        "nn,,n=user,r=abcd",
        "p=,,n=user,r=abcd",
        "p=tls-exporter,,n=user,r=abcd",
        "n,,n=\xff,r=abcd",
        "n,,n=user,r=abcd,x=\xff" };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        if (try_first("SCRAM-SHA-1", str_from_cstr(messages[i])) != SASL_MALFORMED_REQUEST) {
            fail_msg("accepted: %s", messages[i]);
        }
    }
    assert_int_equal(try_first("SCRAM-SHA-1", STR("n,,n=us\0er,r=abcd")), SASL_MALFORMED_REQUEST);
    assert_int_equal(try_first("SCRAM-SHA-1", STR("n,,n=user,r=ab\0cd")), SASL_MALFORMED_REQUEST);
    /* -PLUS without a binding */
    assert_int_equal(
            try_first("SCRAM-SHA-1-PLUS", STR("n,,n=user,r=abcd")), SASL_MALFORMED_REQUEST);
    assert_int_equal(
            try_first("SCRAM-SHA-1-PLUS", STR("y,,n=user,r=abcd")), SASL_MALFORMED_REQUEST);
}

static void nonces_and_names_have_a_limit(void **state)
{
    (void)state;
    char message[2048];
    char filler[1200];
    memset(filler, 'x', sizeof(filler));
    (void)snprintf(message, sizeof(message), "n,,n=user,r=%.256s", filler);
    assert_int_equal(try_first("SCRAM-SHA-1", str_from_cstr(message)), SASL_OK);
    (void)snprintf(message, sizeof(message), "n,,n=user,r=%.257s", filler);
    assert_int_equal(try_first("SCRAM-SHA-1", str_from_cstr(message)), SASL_MALFORMED_REQUEST);
    (void)snprintf(message, sizeof(message), "n,,n=%.1024s,r=abcd", filler);
    assert_int_equal(try_first("SCRAM-SHA-1", str_from_cstr(message)), SASL_MALFORMED_REQUEST);
}

static void names_are_decoded_and_prepared(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "SCRAM-SHA-256", false);
    assert_int_equal(say(&f, "n,a=U=3D=2C@example.org,n=u=3D=2C,r=abcd"), SASL_NEXT_LOOKUP);
    assert_str(sasl_bare(f.exchange), "u=,@example.org");
    end(&f);
    assert_int_equal(try_first("SCRAM-SHA-256", STR("n,,n=user@example.org,r=abcd")), SASL_OK);
    assert_int_equal(
            try_first("SCRAM-SHA-256", STR("n,,n=user@example.com,r=abcd")), SASL_NOT_AUTHORIZED);
    assert_int_equal(try_first("SCRAM-SHA-256", STR("n,a=bob@example.org,n=user,r=abcd")),
            SASL_INVALID_AUTHZID); /* B14 */
    assert_int_equal(try_first("SCRAM-SHA-256", STR("n,,n=user,r=abcd,x=y,z=1")), SASL_OK);
}

static void malformed_final_messages_are_refused(void **state)
{
    (void)state;
    /* B12 */
    static const char *const messages[] = { "",
        "c=biws",
        "c=biws,r=abcdSERVER",
        "c=biws,r=abcdSERVER,p=",
        "c=biws,r=abcdSERVER,p=AAAA",
        "c=biws,r=abcdSERVER,p=*",
        "c=*,r=abcdSERVER,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "r=abcdSERVER,c=biws,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=abcdSERVER,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=,x=y",
        "c=biws,r=abcdSERVER,,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "c=biws,r=abcdSERVER,m=x,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "," };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct fixture f;
        reach_challenge(&f, "SCRAM-SHA-1", false, "n,,");
        assert_int_equal(say(&f, messages[i]), SASL_NEXT_FAILURE);
        if (sasl_failure(f.exchange) != SASL_MALFORMED_REQUEST) {
            fail_msg("not malformed: %s", messages[i]);
        }
        end(&f);
    }
}

static void another_nonce_is_refused(void **state)
{
    (void)state;
    static const char *const nonces[] = { "abcd", "abcdSERVEr", "abcdSERVERx", "" };
    for (size_t i = 0; i < sizeof(nonces) / sizeof(nonces[0]); i++) {
        struct fixture f;
        reach_challenge(&f, "SCRAM-SHA-1", false, "n,,");
        assert_int_equal(say_final(&f, DIGEST_SHA1, STR("n,,"), nonces[i]), SASL_NEXT_FAILURE);
        assert_int_equal(sasl_failure(f.exchange), SASL_NOT_AUTHORIZED);
        end(&f);
    }
}

static void the_router_may_fail_instead_of_a_lookup(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, "SCRAM-SHA-256", false);
    assert_int_equal(say(&f, "n,,n=user,r=abcd"), SASL_NEXT_LOOKUP);
    /* B22 */
    assert_int_equal(
            sasl_exchange_verified(f.exchange, SASL_TEMPORARY_AUTH_FAILURE, STR_NULL, &f.out),
            SASL_NEXT_FAILURE);
    assert_int_equal(sasl_failure(f.exchange), SASL_TEMPORARY_AUTH_FAILURE);
    /* over is over */
    assert_int_equal(say(&f, "n,,n=user,r=abcd"), SASL_NEXT_FAILURE);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfcs_pass),
        cmocka_unit_test(plus_accepts_each_offered_binding),
        cmocka_unit_test(wrong_binding_data_is_refused_and_counted),
        cmocka_unit_test(binding_types_not_offered_are_refused),
        cmocka_unit_test(downgrade_from_plus_is_seen),
        cmocka_unit_test(malformed_first_messages_are_refused),
        cmocka_unit_test(nonces_and_names_have_a_limit),
        cmocka_unit_test(names_are_decoded_and_prepared),
        cmocka_unit_test(malformed_final_messages_are_refused),
        cmocka_unit_test(another_nonce_is_refused),
        cmocka_unit_test(the_router_may_fail_instead_of_a_lookup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

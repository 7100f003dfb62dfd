/* The arithmetic of SCRAM against the examples of RFC 5802 and RFC 7677. */
#include "proto/xmpp/scram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/encoding.h"

struct vector {
    enum digest digest;
    const char *salt;
    uint32_t iterations;
    const char *auth_message;
    const char *proof;
    const char *signature;
};

/* User "user", password "pencil". */
static const struct vector vectors[] = {
    /* RFC 5802 §5 */
    { DIGEST_SHA1,
            "QSXCR+Q6sek8bf92",
            4096,
            "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
    /* RFC 7677 §3 */
    { DIGEST_SHA256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            4096,
            "n=user,r=rOprNGfwEbeRWgbNEkqO,"
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static struct str decode(struct buf *buf, const char *base64)
{
    buf_init(buf, 0);
    assert_int_equal(base64_decode(buf, str_from_cstr(base64)), ERR_OK);
    return buf_view(buf);
}

static void client_proof_matches_the_rfc_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        struct buf salt;
        struct buf proof;
        struct buf signature;
        uint8_t got_proof[DIGEST_MAX_BYTES];
        uint8_t got_signature[DIGEST_MAX_BYTES];
        scram_client_proof(v->digest,
                STR("pencil"),
                decode(&salt, v->salt),
                v->iterations,
                str_from_cstr(v->auth_message),
                got_proof,
                got_signature);
        assert_memory_equal(got_proof, decode(&proof, v->proof).ptr, digest_size(v->digest));
        assert_memory_equal(
                got_signature, decode(&signature, v->signature).ptr, digest_size(v->digest));
        buf_fini(&salt);
        buf_fini(&proof);
        buf_fini(&signature);
    }
}

static void server_accepts_the_rfc_proofs_and_signs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        struct buf salt;
        struct buf proof;
        struct buf signature;
        uint8_t stored[DIGEST_MAX_BYTES];
        uint8_t server[DIGEST_MAX_BYTES];
        uint8_t signed_bytes[DIGEST_MAX_BYTES];
        struct str message = str_from_cstr(v->auth_message);
        scram_derive(
                v->digest, STR("pencil"), decode(&salt, v->salt), v->iterations, stored, server);
        assert_true(scram_proof_is_valid(v->digest, stored, message, decode(&proof, v->proof)));
        scram_server_signature(v->digest, server, message, signed_bytes);
        assert_memory_equal(
                signed_bytes, decode(&signature, v->signature).ptr, digest_size(v->digest));
        buf_fini(&salt);
        buf_fini(&proof);
        buf_fini(&signature);
    }
}

static void sha512_client_and_server_agree(void **state)
{
    (void)state;
    uint8_t stored[DIGEST_MAX_BYTES];
    uint8_t server[DIGEST_MAX_BYTES];
    uint8_t proof[DIGEST_MAX_BYTES];
    uint8_t expected[DIGEST_MAX_BYTES];
    uint8_t signature[DIGEST_MAX_BYTES];
    scram_derive(DIGEST_SHA512, STR("secret"), STR("salt"), 10, stored, server);
    scram_client_proof(
            DIGEST_SHA512, STR("secret"), STR("salt"), 10, STR("message"), proof, expected);
    assert_true(scram_proof_is_valid(DIGEST_SHA512, stored, STR("message"), str_from(proof, 64)));
    scram_server_signature(DIGEST_SHA512, server, STR("message"), signature);
    assert_memory_equal(signature, expected, 64);
}

static void wrong_proofs_are_refused(void **state)
{
    (void)state;
    uint8_t stored[DIGEST_MAX_BYTES];
    uint8_t server[DIGEST_MAX_BYTES];
    uint8_t proof[DIGEST_MAX_BYTES];
    uint8_t signature[DIGEST_MAX_BYTES];
    scram_derive(DIGEST_SHA256, STR("right"), STR("salt"), 10, stored, server);
    scram_client_proof(
            DIGEST_SHA256, STR("wrong"), STR("salt"), 10, STR("message"), proof, signature);
    assert_false(scram_proof_is_valid(DIGEST_SHA256, stored, STR("message"), str_from(proof, 32)));

    scram_client_proof(
            DIGEST_SHA256, STR("right"), STR("salt"), 10, STR("message"), proof, signature);
    struct str right = str_from(proof, 32);
    assert_true(scram_proof_is_valid(DIGEST_SHA256, stored, STR("message"), right));
    assert_false(scram_proof_is_valid(DIGEST_SHA256, stored, STR("another"), right));
    assert_false(scram_proof_is_valid(DIGEST_SHA256, stored, STR("message"), str_from(proof, 31)));
    assert_false(scram_proof_is_valid(DIGEST_SHA256, stored, STR("message"), STR("")));
    assert_false(scram_proof_is_valid(DIGEST_SHA1, stored, STR("message"), right));
    proof[31] ^= 1;
    assert_false(scram_proof_is_valid(DIGEST_SHA256, stored, STR("message"), right));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_proof_matches_the_rfc_examples),
        cmocka_unit_test(server_accepts_the_rfc_proofs_and_signs),
        cmocka_unit_test(sha512_client_and_server_agree),
        cmocka_unit_test(wrong_proofs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

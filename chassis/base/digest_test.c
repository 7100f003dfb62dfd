/* Digests against the vectors of their RFCs. */
#include "chassis/base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "chassis/base/encoding.h"

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected)
{
    struct buf hex;
    buf_init(&hex, 0);
    hex_encode(&hex, str_from(bytes, len));
    buf_append_char(&hex, '\0');
    assert_string_equal(hex.data, expected);
    buf_fini(&hex);
}

static void hashes_of_abc_and_nothing(void **state)
{
    (void)state;
    uint8_t out[DIGEST_MAX_BYTES];
    digest_hash(DIGEST_SHA1, STR("abc"), out); /* RFC 3174 §7.3 */
    assert_hex(out, digest_size(DIGEST_SHA1), "a9993e364706816aba3e25717850c26c9cd0d89d");
    digest_hash(DIGEST_SHA256, STR("abc"), out); /* RFC 6234 §8.5 */
    assert_hex(out,
            digest_size(DIGEST_SHA256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_hash(DIGEST_SHA512, STR("abc"), out);
    assert_hex(out,
            digest_size(DIGEST_SHA512),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    digest_hash(DIGEST_SHA1, STR_NULL, out);
    assert_hex(out, 20, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

static void hmac_vectors(void **state)
{
    (void)state;
    uint8_t out[DIGEST_MAX_BYTES];
    /* RFC 4231 §4.3 */
    digest_hmac(DIGEST_SHA256, STR("Jefe"), STR("what do ya want for nothing?"), out);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    digest_hmac(DIGEST_SHA256, STR_NULL, STR_NULL, out);
    assert_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void pbkdf2_vectors(void **state)
{
    (void)state;
    uint8_t out[DIGEST_MAX_BYTES];
    digest_pbkdf2(DIGEST_SHA1, STR("password"), STR("salt"), 4096, out); /* RFC 6070 §2 */
    assert_hex(out, 20, "4b007901b765489abead49d926f721d065a429c1");
    digest_pbkdf2(DIGEST_SHA256, STR("passwd"), STR("salt"), 1, out); /* RFC 7914 §11 */
    assert_hex(out, 32, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}

static void random_bytes_differ_and_secrets_vanish(void **state)
{
    (void)state;
    uint8_t a[32] = { 0 };
    uint8_t b[32] = { 0 };
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(random_u64() != random_u64());
    secret_wipe(a, sizeof(a));
    memset(b, 0, sizeof(b));
    assert_memory_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_of_abc_and_nothing),
        cmocka_unit_test(hmac_vectors),
        cmocka_unit_test(pbkdf2_vectors),
        cmocka_unit_test(random_bytes_differ_and_secrets_vanish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

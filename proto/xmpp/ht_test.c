/* Hashed tokens: values worked out with another implementation of HMAC. */
#include "proto/xmpp/ht.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/buf.h"
#include "chassis/base/encoding.h"

static void assert_hex(const uint8_t proof[HT_PROOF_BYTES], const char *expected)
{
    struct buf hex;
    buf_init(&hex, 0);
    hex_encode(&hex, str_from(proof, HT_PROOF_BYTES));
    assert_true(str_equal(buf_view(&hex), str_from_cstr(expected)));
    buf_fini(&hex);
}

static void each_side_proves_the_token_in_its_own_role(void **state)
{
    (void)state;
    uint8_t proof[HT_PROOF_BYTES];
    ht_initiator(STR("secret"), STR(""), proof);
    assert_hex(proof, "080d9fa917c6da67702df4ff5090d8693b5f8c838c832d6f3662b6822cc7a6b9");
    ht_responder(STR("secret"), STR(""), proof);
    assert_hex(proof, "89c7af02627bcde98741a1090dffb254610f1e335bbf086e3b02e708ada5a682");
}

static void the_channel_binding_is_part_of_it(void **state)
{
    (void)state;
    uint8_t proof[HT_PROOF_BYTES];
    ht_initiator(STR("secret"), STR("cb"), proof);
    assert_hex(proof, "963a645d01f2dbfed9e405704825148c3093af8468504b404e6e37e71216740b");
    ht_responder(STR("secret"), STR("cb"), proof);
    assert_hex(proof, "6a813d488403d8aae426da812306e86e688df80130468d38a8c33f78f6374cd6");
}

static void mechanisms_name_their_binding(void **state)
{
    (void)state;
    assert_string_equal(ht_binding_name(HT_SHA_256_EXPR), "tls-exporter");
    assert_string_equal(ht_binding_name(HT_SHA_256_ENDP), "tls-server-end-point");
    assert_string_equal(ht_binding_name(HT_SHA_256_NONE), "");
    assert_string_equal(ht_binding_name(HT_ABSENT), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_side_proves_the_token_in_its_own_role),
        cmocka_unit_test(the_channel_binding_is_part_of_it),
        cmocka_unit_test(mechanisms_name_their_binding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

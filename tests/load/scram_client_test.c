/* Our half of SCRAM against the arithmetic the router verifies with, and the cache. */
#include "tests/load/scram_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/encoding.h"
#include "proto/xmpp/scram.h"

#define PASSWORD STR("pencil")

static void append_base64(struct buf *out, struct str data)
{
    base64_encode(out, data);
}

/* Plays the server with `salt` to a client with these caches: the proof has to hold, the signature
 * to convince. */
static void exchange(enum digest digest, struct str salt, struct scram_cache cache)
{
    struct scram_client scram;
    struct buf first, server_first, challenge, answer, last, auth, proof, final;
    struct buf *all[] = {
        &first, &server_first, &challenge, &answer, &last, &auth, &proof, &final
    };
    uint8_t stored_key[DIGEST_MAX_BYTES], server_key[DIGEST_MAX_BYTES], signature[DIGEST_MAX_BYTES];
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        buf_init(all[i], 0);
    }
    scram_client_init(&scram, digest);
    scram_client_first(&scram, STR("u1"), &first);
    struct str bare = buf_view(&scram.first_bare);
    assert_true(str_starts_with(bare, STR("n=u1,r=")));
    buf_printf(&server_first, "r=" STR_FMT "server,s=", (int)bare.len - 7, bare.ptr + 7);
    append_base64(&server_first, salt);
    buf_append_literal(&server_first, ",i=4096");
    append_base64(&challenge, buf_view(&server_first));
    assert_int_equal(
            scram_client_answer(&scram, buf_view(&challenge), PASSWORD, cache, &answer), ERR_OK);

    assert_int_equal(base64_decode(&last, buf_view(&answer)), ERR_OK);
    const char *at = memmem(last.data, last.len, ",p=", 3);
    assert_non_null(at);
    size_t before = (size_t)(at - last.data);
    assert_int_equal(base64_decode(&proof, str_from(at + 3, last.len - before - 3)), ERR_OK);
    buf_printf(&auth,
            STR_FMT "," STR_FMT "," STR_FMT,
            STR_ARG(bare),
            STR_ARG(buf_view(&server_first)),
            (int)before,
            last.data);
    scram_derive(digest, PASSWORD, salt, 4096, stored_key, server_key);
    assert_true(scram_proof_is_valid(digest, stored_key, buf_view(&auth), buf_view(&proof)));

    scram_server_signature(digest, server_key, buf_view(&auth), signature);
    buf_clear(&last);
    buf_append_literal(&last, "v=");
    append_base64(&last, str_from(signature, digest_size(digest)));
    append_base64(&final, buf_view(&last));
    assert_true(scram_client_is_server_genuine(&scram, buf_view(&final)));
    assert_false(scram_client_is_server_genuine(&scram, STR("dj1hYmNk")));
    scram_client_fini(&scram);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        buf_fini(all[i]);
    }
}

static void proofs_hold_with_any_salt_and_from_the_cache(void **state)
{
    (void)state;
    struct scram_keys own[2] = { { 0 }, { 0 } };
    struct scram_keys shared = { 0 };
    exchange(DIGEST_SHA1, STR("0123456789abcdef"), (struct scram_cache){ &own[0], &shared });
    exchange(DIGEST_SHA1, STR("0123456789abcdef"), (struct scram_cache){ &own[0], &shared });
    exchange(DIGEST_SHA1, STR("0123456789abcdef"), (struct scram_cache){ &own[1], &shared });
    exchange(DIGEST_SHA1, STR("another salt"), (struct scram_cache){ &own[1], &shared });
    exchange(DIGEST_SHA256, STR("another salt"), (struct scram_cache){ &own[1], &shared });
}

static void what_is_no_challenge_is_refused(void **state)
{
    (void)state;
    struct scram_keys keys = { 0 };
    struct scram_client scram;
    struct buf out;
    buf_init(&out, 0);
    scram_client_init(&scram, DIGEST_SHA1);
    static const char *const texts[] = {
        "", "!", "cj1h", "cj1hLHM9WVE9PSxpPTA=", "cj1hLHM9ISxpPTQwOTY="
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct scram_cache cache = { &keys, &keys };
        assert_int_not_equal(
                scram_client_answer(&scram, str_from_cstr(texts[i]), PASSWORD, cache, &out),
                ERR_OK);
    }
    scram_client_fini(&scram);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proofs_hold_with_any_salt_and_from_the_cache),
        cmocka_unit_test(what_is_no_challenge_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a login with a token means: which of the family it is, whether it may be used again. */
#include "router/token_family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/buf.h"
#include "router/signer.h"

#define NOW 1700000000

static const struct id128 desk = { 1, 2 };
static struct signer *signer;
static struct token_family family;
static uint8_t proof[HT_PROOF_BYTES];

static int setup(void **state)
{
    (void)state;
    family = (struct token_family){ .client = desk };
    token_slot_renew(&family.slots[TOKEN_FRESH], HT_SHA_256_NONE, NOW + 100);
    return signer_create(STR("0123456789abcdef0123456789abcdef"), &signer) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    signer_destroy(signer);
    return 0;
}

/* What a client says that was given the token of `slot`. */
static struct token_claim claim_of(const struct token_slot *slot)
{
    struct buf token;
    buf_init(&token, 0);
    signer_fast_token(signer, STR("romeo@example.net"), desk, slot, &token);
    ht_initiator(buf_view(&token), STR("cb"), proof);
    buf_fini(&token);
    return (struct token_claim){
        .bare = STR("romeo@example.net"),
        .client = desk,
        .mechanism = HT_SHA_256_NONE,
        .binding = STR("cb"),
        .proof = str_from(proof, sizeof(proof)),
    };
}

static enum token_verdict judge_at(const struct token_claim *claim, int64_t now_s, int *slot_out)
{
    return token_family_judge(&family, signer, claim, now_s, slot_out);
}

static enum token_verdict judge(const struct token_claim *claim)
{
    int slot = 0;
    return judge_at(claim, NOW, &slot);
}

static void a_token_is_good_for_whom_it_was_made(void **state)
{
    (void)state;
    int slot = TOKEN_SLOTS;
    struct token_claim claim = claim_of(&family.slots[TOKEN_FRESH]);
    assert_int_equal(judge_at(&claim, NOW, &slot), TOKEN_GOOD);
    assert_int_equal(slot, TOKEN_FRESH);
    claim.bare = STR("juliet@example.net");
    assert_int_equal(judge(&claim), TOKEN_WRONG);
    claim = claim_of(&family.slots[TOKEN_FRESH]);
    claim.client.lo++;
    assert_int_equal(judge(&claim), TOKEN_WRONG);
    claim = claim_of(&family.slots[TOKEN_FRESH]);
    claim.mechanism = HT_SHA_256_ENDP;
    assert_int_equal(judge(&claim), TOKEN_WRONG);
    claim = claim_of(&family.slots[TOKEN_FRESH]);
    claim.binding = STR("another");
    assert_int_equal(judge(&claim), TOKEN_WRONG);
    claim = claim_of(&family.slots[TOKEN_FRESH]);
    claim.proof.len--;
    assert_int_equal(judge(&claim), TOKEN_WRONG);
}

static void an_empty_slot_is_proved_by_nobody(void **state)
{
    (void)state;
    struct token_slot empty = { .is_set = false };
    struct token_claim claim = claim_of(&empty);
    claim.mechanism = HT_ABSENT;
    assert_int_equal(judge(&claim), TOKEN_WRONG);
}

static void it_ends_in_time(void **state)
{
    (void)state;
    int slot;
    struct token_claim claim = claim_of(&family.slots[TOKEN_FRESH]);
    assert_int_equal(judge_at(&claim, NOW + 99, &slot), TOKEN_GOOD);
    assert_int_equal(judge_at(&claim, NOW + 100, &slot), TOKEN_EXPIRED);
}

static void the_old_one_is_good_until_the_new_one_is_used(void **state)
{
    (void)state;
    struct token_slot first = family.slots[TOKEN_FRESH];
    struct token_claim claim = claim_of(&first);
    assert_true(token_family_used(&family, TOKEN_FRESH, &claim));
    assert_false(token_family_used(&family, TOKEN_CURRENT, &claim)); /* again */
    token_slot_renew(&family.slots[TOKEN_FRESH], HT_SHA_256_NONE, NOW + 200);
    assert_int_equal(judge(&claim), TOKEN_GOOD);

    struct token_slot second = family.slots[TOKEN_FRESH];
    struct token_claim next = claim_of(&second);
    assert_int_equal(judge(&next), TOKEN_GOOD);
    assert_true(token_family_used(&family, TOKEN_FRESH, &next));
    claim = claim_of(&first);
    assert_int_equal(judge(&claim), TOKEN_REPLAYED); /* B23 */
    next = claim_of(&second);
    assert_int_equal(judge(&next), TOKEN_GOOD);
}

static void counts_only_grow(void **state)
{
    (void)state;
    struct token_claim claim = claim_of(&family.slots[TOKEN_FRESH]);
    claim.has_count = true;
    claim.count = 0; /* any first one */
    assert_int_equal(judge(&claim), TOKEN_GOOD);
    assert_true(token_family_used(&family, TOKEN_FRESH, &claim));
    assert_int_equal(judge(&claim), TOKEN_REPLAYED);
    claim.count = 5;
    assert_int_equal(judge(&claim), TOKEN_GOOD);
    assert_true(token_family_used(&family, TOKEN_CURRENT, &claim));
    claim.count = 4;
    assert_int_equal(judge(&claim), TOKEN_REPLAYED);
    claim.has_count = false; /* who has counted goes on counting */
    assert_int_equal(judge(&claim), TOKEN_REPLAYED);
}

static void a_repeat_of_the_bus_is_no_replay(void **state)
{
    (void)state;
    struct token_slot first = family.slots[TOKEN_FRESH];
    struct token_claim claim = claim_of(&first);
    claim.attempt = (struct id128){ 8, 8 };
    claim.has_count = true;
    claim.count = 5;
    assert_true(token_family_used(&family, TOKEN_FRESH, &claim));
    family.attempt = claim.attempt;
    assert_int_equal(judge(&claim), TOKEN_GOOD);
    assert_false(token_family_used(&family, TOKEN_CURRENT, &claim));
    family.slots[TOKEN_FORMER] = family.slots[TOKEN_CURRENT]; /* it was the last time */
    family.slots[TOKEN_CURRENT].is_set = false;
    assert_int_equal(judge(&claim), TOKEN_GOOD);
    claim.attempt.lo++;
    assert_int_equal(judge(&claim), TOKEN_REPLAYED);
    claim.attempt = family.attempt = (struct id128){ 0, 0 };
    assert_int_equal(judge(&claim), TOKEN_REPLAYED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_is_good_for_whom_it_was_made, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_slot_is_proved_by_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(it_ends_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(
                the_old_one_is_good_until_the_new_one_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_only_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repeat_of_the_bus_is_no_replay, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Judging tokens. */
#include "router/token_family.h"

#include "chassis/base/buf.h"
#include "router/signer.h"

static bool is_proved_by(
        const struct token_slot *slot, const struct signer *signer, const struct token_claim *claim)
{
    uint8_t expected[HT_PROOF_BYTES];
    struct buf token;
    buf_init(&token, 0);
    signer_fast_token(signer, claim->bare, claim->client, slot, &token);
    ht_initiator(buf_view(&token), claim->binding, expected);
    secret_wipe(token.data, token.capacity);
    buf_fini(&token);
    bool is_same = str_equal_secret(str_from(expected, sizeof(expected)), claim->proof);
    secret_wipe(expected, sizeof(expected));
    /* XEP-0484 §3.4: a token goes with the mechanism it was given for, and no other. */
    return is_same && slot->is_set && slot->mechanism == claim->mechanism;
}

/* XEP-0484 §3.4, for all logins: a client that counts goes on counting. */
static bool is_counted_on(const struct token_slot *slot, const struct token_claim *claim)
{
    return slot->count == TOKEN_NO_COUNT || (claim->has_count && claim->count > slot->count);
}

enum token_verdict token_family_judge(const struct token_family *family,
        const struct signer *signer,
        const struct token_claim *claim,
        int64_t now_s,
        int *slot_out)
{
    int found = TOKEN_SLOTS;
    for (int i = 0; i < TOKEN_SLOTS; i++) {
        if (is_proved_by(&family->slots[i], signer, claim) && found == TOKEN_SLOTS) {
            found = i;
        }
    }
    if (found == TOKEN_SLOTS) {
        return TOKEN_WRONG;
    }
    const struct token_slot *slot = &family->slots[found];
    bool is_repeat = !id128_is_zero(claim->attempt) && id128_equal(family->attempt, claim->attempt);
    if (!is_repeat && (found == TOKEN_FORMER || !is_counted_on(slot, claim))) {
        return TOKEN_REPLAYED;
    }
    if (now_s >= slot->expires_s) {
        return TOKEN_EXPIRED;
    }
    *slot_out = found;
    return TOKEN_GOOD;
}

bool token_family_used(struct token_family *family, int slot, const struct token_claim *claim)
{
    if (slot == TOKEN_FRESH) {
        family->slots[TOKEN_FORMER] = family->slots[TOKEN_CURRENT];
        family->slots[TOKEN_CURRENT] = family->slots[TOKEN_FRESH];
        family->slots[TOKEN_FRESH] = (struct token_slot){ .is_set = false };
    }
    bool is_news = claim->has_count && slot != TOKEN_FORMER
            && family->slots[TOKEN_CURRENT].count != claim->count;
    if (is_news) {
        family->slots[TOKEN_CURRENT].count = claim->count;
    }
    return slot == TOKEN_FRESH || is_news;
}

void token_slot_renew(struct token_slot *slot, enum ht_mechanism mechanism, int64_t expires_s)
{
    *slot = (struct token_slot){
        .is_set = true,
        .mechanism = mechanism,
        .expires_s = expires_s,
        .count = TOKEN_NO_COUNT,
    };
    random_bytes(slot->seed, sizeof(slot->seed));
}

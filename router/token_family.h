/* The tokens one client of an account may log in with (XEP-0484 §5.1), and what a login with one of
 * them means. Pure; the store keeps them, the signer makes the texts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/id128.h"
#include "chassis/base/str.h"
#include "proto/xmpp/ht.h"
#include "router/store/token_store.h"

struct signer;

/* A client's proof that it has a token. */
struct token_claim {
    struct str bare;
    struct id128 client;
    struct id128 attempt; /* of the edge: the same again is a repeat of the bus, no replay */
    enum ht_mechanism mechanism;
    struct str binding;
    struct str proof;
    bool has_count;
    int64_t count;
};

enum token_verdict {
    TOKEN_WRONG,    /* no token of this family */
    TOKEN_EXPIRED,  /* was one */
    TOKEN_REPLAYED, /* seen before, or followed by a newer one that was used: somebody else has it
                     */
    TOKEN_GOOD,
};

/* With TOKEN_GOOD, `slot_out` is TOKEN_FRESH or TOKEN_CURRENT; TOKEN_FORMER, too, for a repeat of
 * what has ended that token. Every slot costs the same time. */
enum token_verdict token_family_judge(const struct token_family *family,
        const struct signer *signer,
        const struct token_claim *claim,
        int64_t now_s,
        int *slot_out);

/* The token in `slot` was used: a fresh one moves to CURRENT. False: nothing has changed. */
bool token_family_used(struct token_family *family, int slot, const struct token_claim *claim);

/* A new token, in FRESH. */
void token_slot_renew(struct token_slot *slot, enum ht_mechanism mechanism, int64_t expires_s);

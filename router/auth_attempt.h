/* One login while a router works on it: from its message to its answer. Internal to auth.c (SCRAM
 * and PLAIN), auth_token.c (XEP-0484) and auth_upgrade.c (XEP-0480). */
#pragma once

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/timer.h"
#include "proto/wire/wire.h"
#include "router/failure_count.h"
#include "router/login_memory.h"
#include "router/peers.h"
#include "router/quota.h"
#include "router/store/account_store.h"
#include "router/token_family.h"

struct router;

struct auth {
    struct router *router;
    struct failure_count failures;
    struct login_memory *memory;
    struct attempt *attempts;
    size_t delayed;
};

struct attempt {
    struct auth *auth;
    struct peer *edge;
    uint64_t edge_boot;
    uint64_t request;
    struct arena arena;
    struct str bare;
    enum digest digest;
    struct str client_nonce;
    struct str server_nonce;
    struct str auth_message;
    struct str proof;
    struct str password; /* prepared */
    struct account_row row;
    struct verifier verifier; /* the user's, or the fake one */
    bool is_known;
    bool is_by_password; /* it has proved to know the password */
    /* What it wants besides: */
    enum ht_mechanism wanted_token; /* HT_ABSENT: none */
    uint32_t upgrades;              /* bit n: a verifier of digest n */
    /* A token, shown or wanted: */
    struct token_claim claim;
    bool is_invalidated;
    bool is_expired;
    unsigned tries;
    struct token_slot token; /* to be told with the answer */
    struct str signature;
    struct timer delay;
    struct str address;          /* of the client, as it is counted; "": not told */
    enum quota_kind reserved[2]; /* a failure in each, until it is known */
    size_t reserved_count;
    struct attempt *prev;
    struct attempt *next;
};

struct attempt *attempt_create(
        struct auth *auth, struct peer *edge, uint64_t request, struct str bare);
void attempt_free(struct attempt *attempt);
int64_t auth_now_s(const struct auth *auth);
/* Request numbers of a new incarnation of the edge mean other logins. */
bool attempt_edge_is_same(const struct attempt *attempt);
void attempt_take_wish(struct attempt *attempt, const Wire__TokenWish *wish);
/* A token of `attempt->claim`'s client, from now on for its full time. */
void attempt_make_token(const struct attempt *attempt, struct token_slot *slot_out);

/* Before a password is looked at (B17): may this address, and this account, fail once more? False:
 * it was refused, and the attempt is gone. */
MUST_USE bool attempt_may_guess(struct attempt *attempt, struct str address);

/* Each of these is the end of the attempt: */
void attempt_answer(struct attempt *attempt, Wire__Status status); /* of no login */
void attempt_refuse(struct attempt *attempt, Wire__Status status);
/* Wrong. Guessing gets slower with every failure for this name; a right password never waits
 * (B17). */
void attempt_fail(struct attempt *attempt);
/* After a correct proof of the password only (B21): the state of the account, then what else was
 * wanted. */
void attempt_finish_proved(struct attempt *attempt, struct str signature);
/* Nothing else is wanted, or it has been done. */
void attempt_succeed(struct attempt *attempt, struct str signature);

/* Limits of accounts, addresses and hosts that hold for all routers together: token buckets in
 * Redis with a bucket in front of each here. The local one decides at once, without waiting; what
 * was spent is told in batches, and the answer says what all have spent. Loop thread only; knows no
 * Redis (quota_redis.h brings it).
 *
 * How exact: with R routers, over any time T, all together let through at most
 *     capacity + rate * T + R * lot
 * (an account whose home moves counts as one more router). `lot` is what a router spends before it
 * has to have an answer: a quarter of the bucket for addresses and hosts, whose users come over
 * many routers; the whole bucket for accounts, which have one home at a time. Clocks of routers
 * that differ by d add d * rate; Redis emptied adds one capacity once. Without Redis each router
 * keeps to its local bucket: capacity + rate * T for each of them, never more. What was spent while
 * Redis was away is told when it is back, as far as time has not paid for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "router/quota_bucket.h"

#define QUOTA_KEY_BYTES    16
#define QUOTA_SECRET_BYTES 32

enum quota_kind {
    /* Of an account; the buckets lie in its entity. */
    QUOTA_STANZAS,
    QUOTA_BYTES,
    QUOTA_SUBSCRIPTIONS,
    QUOTA_STRANGERS,
    QUOTA_ACCOUNT_KINDS,
    /* Of a domain served here: a bucket for each, which stays. */
    QUOTA_HOST_STANZAS = QUOTA_ACCOUNT_KINDS,
    /* Of whatever comes; the buckets lie in a table here. */
    QUOTA_HOST_REGISTRATIONS,
    QUOTA_ADDRESS_REGISTRATIONS,
    QUOTA_ADDRESS_FAILURES,
    QUOTA_ACCOUNT_FAILURES,
    QUOTA_PAIR_FAILURES, /* of one account from one address */
    QUOTA_KINDS,
};

struct quota;
struct quota_ask;

/* The memory all routers share. `charge` moves the moment at which the bucket `key` is full (at
 * least now) by `amount_ns`, and answers with quota_charged, never from inside. */
struct quota_store {
    bool (*is_up)(void *context);
    void (*charge)(void *context,
            const uint8_t key[QUOTA_KEY_BYTES],
            int64_t now_ns,
            int64_t amount_ns,
            struct quota_ask *ask);
};
/* Not ERR_OK: nobody knows whether it was charged; it is told again. The ask is gone after this. */
void quota_charged(struct quota_ask *ask, enum err err, int64_t full_ns, int64_t now_ns);

/* `secret`: identities are not to be read in Redis, and all routers need the same keys. `store`
 * NULL: every router for itself. */
struct quota *quota_create(
        const struct quota_store *store, void *context, const uint8_t secret[QUOTA_SECRET_BYTES]);
/* Asks on their way must have been answered. Accepts NULL. */
void quota_destroy(struct quota *quota);

struct quota_spend {
    enum quota_kind kind;
    struct quota_limit limit;
    struct str identity; /* a bare JID, a domain, an address: of one kind always the same form */
    int64_t tokens;
    int64_t now_ns;
};

/* Takes the tokens; false: they are not there, nothing was taken, and the refusal is counted
 * (metric rate_limited_total). `quota` NULL: the local bucket alone. */
bool quota_take(struct quota *quota, struct quota_bucket *bucket, const struct quota_spend *spend);
/* The bucket goes: what is unsaid is told, so that the next home knows. */
void quota_bucket_close(
        struct quota *quota, struct quota_bucket *bucket, const struct quota_spend *spend);

/* The same with a bucket of the table. */
bool quota_take_shared(struct quota *quota, const struct quota_spend *spend);
/* Keeps the tokens aside, here only, until it is known whether they are spent: quota_settle with
 * the same kind, identity and tokens has to follow. */
bool quota_reserve(struct quota *quota, const struct quota_spend *spend);
void quota_settle(struct quota *quota, const struct quota_spend *spend, bool is_spent);

/* The same with the bucket of a domain served here (QUOTA_HOST_STANZAS). */
bool quota_take_of_domain(struct quota *quota, const struct quota_spend *spend);

size_t quota_entries(const struct quota *quota);

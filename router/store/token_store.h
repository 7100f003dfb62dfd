/* Families of tokens (XEP-0484) in schema router: one row for each client of an account. Tokens
 * themselves are not there, only what the signer makes them of. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "chassis/base/str.h"
#include "proto/xmpp/ht.h"
#include "router/store/account_store.h"

struct pg_pool;
struct token_store;

#define TOKEN_SEED_BYTES 16
#define TOKEN_NO_COUNT   (-1)

struct token_slot {
    bool is_set;
    uint8_t seed[TOKEN_SEED_BYTES];
    enum ht_mechanism mechanism;
    int64_t expires_s;
    int64_t count; /* highest one the client has sent; TOKEN_NO_COUNT: none */
};

enum {
    TOKEN_FRESH,   /* given, not used yet */
    TOKEN_CURRENT, /* used last */
    TOKEN_FORMER,  /* used before that one */
    TOKEN_SLOTS,
};

struct token_family {
    struct id128 client;
    int64_t version;      /* of the row that was read */
    struct id128 attempt; /* which login has changed it last; zero: none */
    struct token_slot slots[TOKEN_SLOTS];
};

struct token_store *token_store_create(struct pg_pool *pool);
void token_store_destroy(struct token_store *store); /* accepts NULL */

/* ERR_NOT_FOUND: no such account (a tombstone counts as found). `family` NULL: the client has no
 * tokens. */
typedef void (*token_loaded)(void *context,
        enum err err,
        const struct account_row *row,
        const struct token_family *family);
void token_load(struct token_store *store,
        struct str bare,
        struct id128 client,
        token_loaded done,
        void *context);

/* All other clients of the account, at most `TOKEN_MAX_OTHERS`. */
#define TOKEN_MAX_OTHERS 64
typedef void (*tokens_loaded)(
        void *context, enum err err, const struct token_family *families, size_t count);
void token_load_others(struct token_store *store,
        int64_t owner,
        struct id128 except,
        tokens_loaded done,
        void *context);

typedef void (*token_changed)(void *context, enum err err);
/* ERR_CONFLICT: somebody was faster; load again. */
void token_update(struct token_store *store,
        int64_t owner,
        const struct token_family *family,
        token_changed done,
        void *context);
/* Puts `fresh` into the client's family, made if it is not there; families whose tokens are over
 * go, and those that end first, until there are `max_clients`. */
struct token_issue {
    int64_t owner;
    struct id128 client;
    struct token_slot fresh;
    int64_t now_s;
    int64_t max_clients;
};
void token_issue(struct token_store *store,
        const struct token_issue *issue,
        token_changed done,
        void *context);
void token_revoke(struct token_store *store,
        int64_t owner,
        struct id128 client,
        token_changed done,
        void *context);

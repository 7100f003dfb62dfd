/* Accounts and their SCRAM verifiers: all SQL of schema router that concerns them. Passwords never
 * get here, only what RFC 5802 §3 stores. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/digest.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct account_store;
struct pg_pool;

enum account_state {
    ACCOUNT_ACTIVE = 0,
    ACCOUNT_DISABLED = 1,
    ACCOUNT_DELETED = 2, /* its erasure is under way: the name is blocked by the row itself */
};

struct account_row {
    int64_t id;
    enum account_state state;
    /* account_load; valid during the callback, "": none. */
    struct str blocked; /* the stored block list */
    bool is_blocked_sealed;
    struct str wrapped_key; /* of what the account keeps */
};

struct verifier {
    uint32_t iterations;
    uint8_t salt[16];
    size_t salt_len;
    uint8_t stored_key[DIGEST_MAX_BYTES];
    uint8_t server_key[DIGEST_MAX_BYTES];
};

#define VERIFIERS 3 /* indexed by enum digest */

/* `name_keys` (a view that stays): of the hashes in tombstones, see router/store/tombstone_name.h.
 */
struct account_store *account_store_create(struct pg_pool *pool, struct str name_keys);
void account_store_destroy(struct account_store *store); /* accepts NULL */

/* ERR_NOT_FOUND: no such account (one that is being erased counts as found). */
typedef void (*account_loaded)(void *context, enum err err, const struct account_row *row);
void account_load(struct account_store *store, struct str bare, account_loaded done, void *context);
typedef void (*verifier_loaded)(void *context,
        enum err err,
        const struct account_row *row,
        const struct verifier *verifier);
void account_load_verifier(struct account_store *store,
        struct str bare,
        enum digest digest,
        verifier_loaded done,
        void *context);

typedef void (*account_changed)(void *context, enum err err, int64_t id);
/* ERR_EXISTS: taken, or blocked by a tombstone. Verifiers for all digests. It is to be welcomed.
 * Any name: for whoever may decide that. */
void account_create(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context);
/* ERR_EXISTS for a name that looks like one of its host, too, while that one is not erased. Two
 * that look alike may both come through when they come in the same moment. */
void account_register(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context);
void account_set_verifiers(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context);
/* Between active and disabled, as somebody decided: the policy for inactive accounts begins anew.
 * ERR_NOT_FOUND: no such account. */
void account_set_state(struct account_store *store,
        struct str bare,
        enum account_state state,
        account_changed done,
        void *context);
/* `text` is a number, or addresses, one a line; valid during the call. */
typedef void (*account_told)(void *context, enum err err, struct str text);
void account_count(struct account_store *store,
        struct str domain,
        enum account_state state,
        account_told done,
        void *context);
/* Active and disabled ones, in order, at most `max`. */
void account_list(struct account_store *store,
        struct str domain,
        int64_t max,
        account_told done,
        void *context);
/* The day (YYYY-MM-DD) of the last login, "": none is known. ERR_NOT_FOUND. */
void account_last_login(
        struct account_store *store, struct str bare, account_told done, void *context);
/* Bit n of the answer's `id`: there is a verifier of digest n. */
void account_load_digests(
        struct account_store *store, int64_t owner, account_changed done, void *context);
/* ERR_EXISTS: there is one of this digest, and it stays as it is. */
void account_add_verifier(struct account_store *store,
        struct str bare,
        enum digest digest,
        const struct verifier *verifier,
        account_changed done,
        void *context);
/* Nobody can log in any more; what it owned is erased by its home (router/erasure). */
void account_delete(
        struct account_store *store, struct str bare, account_changed done, void *context);

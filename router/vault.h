/* Keys of what accounts own in PostgreSQL (N1): each account has a key of its own, wrapped by a
 * service key that only routers hold (router.storage_key_file), so that a database administrator
 * and a backup see neither contents nor addresses. Without its key row an account's data is noise.
 * A new service key wraps the same account keys: rows and look-ups stay what they are. Pure but for
 * random bytes. */
#pragma once

#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/seal.h"
#include "chassis/base/str.h"

#define VAULT_SECRET_MIN_BYTES 32
#define VAULT_LOOKUP_BYTES     32
#define VAULT_MAX_KEYS         8

struct vault;

/* Of one account, in memory while its entity is. */
struct vault_key {
    int64_t owner;
    uint8_t seal[SEAL_KEY_BYTES];
    uint8_t lookup[SEAL_KEY_BYTES];
};

/* With the service key that wraps what is new. ERR_INVALID: the secret is too short. */
MUST_USE enum err vault_create(struct str secret, struct vault **vault_out);
void vault_destroy(struct vault *vault); /* accepts NULL; wipes */
/* One more service key, which opens what it has wrapped, and wraps nothing; its name key tells
 * which names were blocked under it. ERR_INVALID: too short; ERR_LIMIT: VAULT_MAX_KEYS are there.
 */
MUST_USE enum err vault_add_key(struct vault *vault, struct str secret);

/* What stands in front of every key that service key `i` has wrapped: its format and its id, which
 * is not secret. 0 is the one that wraps. */
#define VAULT_TAG_BYTES 9
size_t vault_keys(const struct vault *vault);
struct str vault_tag(const struct vault *vault, size_t i);
/* Format 1 names no key: all are tried. Nothing is written in it any more. */
#define VAULT_TAG_ANY STR("\1")
bool vault_has_tag(const struct vault *vault, struct str tag);

/* A new key for `owner`; `wrapped_out` gets what is stored. */
void vault_new_key(const struct vault *vault,
        int64_t owner,
        struct vault_key *key_out,
        struct buf *wrapped_out);
/* ERR_DENIED: not wrapped by a service key that is here, or another account's. */
MUST_USE enum err vault_open_key(
        const struct vault *vault, int64_t owner, struct str wrapped, struct vault_key *key_out);
/* The same key, wrapped by the newest service key. ERR_DENIED as above; nothing is appended. */
MUST_USE enum err vault_rewrap(
        const struct vault *vault, int64_t owner, struct str wrapped, struct buf *wrapped_out);

/* Keys of the hashes that tombstones are (router/store/tombstone_name.h), one behind the other:
 * each service key has one, in the order of vault_tag. A view that stays as long as the vault, of
 * the keys that are there now. */
#define VAULT_NAME_KEY_BYTES 32
struct str vault_name_keys(const struct vault *vault);

/* The key of a row: a keyed hash, so that equality can be tested without knowing the text. `table`
 * keeps tables apart. */
void vault_lookup(const struct vault_key *key,
        const char *table,
        struct str text,
        uint8_t lookup_out[VAULT_LOOKUP_BYTES]);
/* The content of that row; bound to owner, table and row key. */
void vault_seal(const struct vault_key *key,
        const char *table,
        const uint8_t lookup[VAULT_LOOKUP_BYTES],
        struct str text,
        struct buf *sealed_out);
MUST_USE enum err vault_open(const struct vault_key *key,
        const char *table,
        const uint8_t lookup[VAULT_LOOKUP_BYTES],
        struct str sealed,
        struct buf *text_out);

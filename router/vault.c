/* Wrapped account keys; seals bound to their rows. */
#include "router/vault.h"

#include <string.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"

#define FORMAT_ANY  1 /* u8 format, sealed root */
#define FORMAT_ID   2 /* u8 format, id of the service key, sealed root */
#define SEALED_ROOT (SEAL_KEY_BYTES + SEAL_OVERHEAD_BYTES)

struct service_key {
    uint8_t key[SEAL_KEY_BYTES];
    char tag[VAULT_TAG_BYTES];
};

struct vault {
    struct service_key keys[VAULT_MAX_KEYS];                 /* the one that wraps first */
    uint8_t name_keys[VAULT_MAX_KEYS][VAULT_NAME_KEY_BYTES]; /* in the same order */
    size_t count;
};

enum err vault_add_key(struct vault *vault, struct str secret)
{
    if (secret.len < VAULT_SECRET_MIN_BYTES) {
        return ERR_INVALID;
    }
    if (vault->count == VAULT_MAX_KEYS) {
        return ERR_LIMIT;
    }
    size_t i = vault->count++;
    struct service_key *added = &vault->keys[i];
    uint8_t id[DIGEST_MAX_BYTES];
    digest_hmac(DIGEST_SHA256, secret, STR("starling account keys 1"), added->key);
    digest_hmac(DIGEST_SHA256, secret, STR("starling account keys 1: id"), id);
    added->tag[0] = FORMAT_ID;
    memcpy(added->tag + 1, id, VAULT_TAG_BYTES - 1);
    digest_hmac(
            DIGEST_SHA256, secret, STR("starling names of erased accounts 1"), vault->name_keys[i]);
    return ERR_OK;
}

enum err vault_create(struct str secret, struct vault **vault_out)
{
    struct vault *vault = MEM_NEW(struct vault);
    enum err err = vault_add_key(vault, secret);
    if (err != ERR_OK) {
        vault_destroy(vault);
        return err;
    }
    *vault_out = vault;
    return ERR_OK;
}

void vault_destroy(struct vault *vault)
{
    if (vault != NULL) {
        secret_wipe(vault, sizeof(*vault));
        free(vault);
    }
}

size_t vault_keys(const struct vault *vault)
{
    return vault->count;
}

struct str vault_tag(const struct vault *vault, size_t i)
{
    ASSERT(i < vault->count);
    return str_from(vault->keys[i].tag, VAULT_TAG_BYTES);
}

bool vault_has_tag(const struct vault *vault, struct str tag)
{
    bool is_known = str_equal(tag, VAULT_TAG_ANY);
    for (size_t i = 0; i < vault->count; i++) {
        is_known = is_known || str_equal(tag, vault_tag(vault, i));
    }
    return is_known;
}

struct str vault_name_keys(const struct vault *vault)
{
    return str_from(vault->name_keys, vault->count * VAULT_NAME_KEY_BYTES);
}

/* ---- account keys */

static void bind_to_owner(struct buf *out, int64_t owner)
{
    buf_init(out, 0);
    buf_append_literal(out, "account key");
    buf_append_u64be(out, (uint64_t)owner);
}

static void derive(struct vault_key *key, int64_t owner, struct str root)
{
    key->owner = owner;
    digest_hmac(DIGEST_SHA256, root, STR("seal 1"), key->seal);
    digest_hmac(DIGEST_SHA256, root, STR("lookup 1"), key->lookup);
}

static void wrap(const struct vault *vault, int64_t owner, struct str root, struct buf *wrapped_out)
{
    struct buf bound;
    bind_to_owner(&bound, owner);
    buf_append_str(wrapped_out, vault_tag(vault, 0));
    seal_close(vault->keys[0].key, buf_view(&bound), root, wrapped_out);
    buf_fini(&bound);
}

/* Appends the root; with `tag` "\1" whichever key fits. */
static enum err unwrap(const struct vault *vault,
        int64_t owner,
        struct str tag,
        struct str sealed,
        struct buf *root_out)
{
    struct buf bound;
    bool is_any = str_equal(tag, VAULT_TAG_ANY);
    enum err err = ERR_DENIED;
    bind_to_owner(&bound, owner);
    for (size_t i = 0; i < vault->count && err != ERR_OK; i++) {
        if (is_any || str_equal(tag, vault_tag(vault, i))) {
            err = seal_open(vault->keys[i].key, buf_view(&bound), sealed, root_out);
        }
    }
    buf_fini(&bound);
    return err;
}

static enum err open_root(
        const struct vault *vault, int64_t owner, struct str wrapped, struct buf *root_out)
{
    size_t tag_len = wrapped.len > 0 && wrapped.ptr[0] == FORMAT_ANY ? 1 : VAULT_TAG_BYTES;
    if (wrapped.len != tag_len + SEALED_ROOT) {
        return ERR_DENIED;
    }
    return unwrap(vault,
            owner,
            str_from(wrapped.ptr, tag_len),
            str_from(wrapped.ptr + tag_len, SEALED_ROOT),
            root_out);
}

void vault_new_key(const struct vault *vault,
        int64_t owner,
        struct vault_key *key_out,
        struct buf *wrapped_out)
{
    uint8_t root[SEAL_KEY_BYTES];
    random_bytes(root, sizeof(root));
    wrap(vault, owner, str_from(root, sizeof(root)), wrapped_out);
    derive(key_out, owner, str_from(root, sizeof(root)));
    secret_wipe(root, sizeof(root));
}

enum err vault_open_key(
        const struct vault *vault, int64_t owner, struct str wrapped, struct vault_key *key_out)
{
    struct buf root;
    buf_init(&root, 0);
    enum err err = open_root(vault, owner, wrapped, &root);
    if (err == ERR_OK) {
        derive(key_out, owner, buf_view(&root));
    }
    buf_fini_secret(&root);
    return err;
}

enum err vault_rewrap(
        const struct vault *vault, int64_t owner, struct str wrapped, struct buf *wrapped_out)
{
    struct buf root;
    buf_init(&root, 0);
    enum err err = open_root(vault, owner, wrapped, &root);
    if (err == ERR_OK) {
        wrap(vault, owner, buf_view(&root), wrapped_out);
    }
    buf_fini_secret(&root);
    return err;
}

/* ---- rows */

void vault_lookup(const struct vault_key *key,
        const char *table,
        struct str text,
        uint8_t lookup_out[VAULT_LOOKUP_BYTES])
{
    struct buf named;
    buf_init(&named, 0);
    buf_append(&named, table, strlen(table) + 1);
    buf_append_str(&named, text);
    digest_hmac(DIGEST_SHA256,
            str_from(key->lookup, sizeof(key->lookup)),
            buf_view(&named),
            lookup_out);
    buf_fini(&named);
}

static void bind_to_row(struct buf *out,
        const struct vault_key *key,
        const char *table,
        const uint8_t lookup[VAULT_LOOKUP_BYTES])
{
    buf_init(out, 0);
    buf_append(out, table, strlen(table) + 1);
    buf_append_u64be(out, (uint64_t)key->owner);
    buf_append(out, lookup, VAULT_LOOKUP_BYTES);
}

void vault_seal(const struct vault_key *key,
        const char *table,
        const uint8_t lookup[VAULT_LOOKUP_BYTES],
        struct str text,
        struct buf *sealed_out)
{
    struct buf bound;
    bind_to_row(&bound, key, table, lookup);
    seal_close(key->seal, buf_view(&bound), text, sealed_out);
    buf_fini(&bound);
}

enum err vault_open(const struct vault_key *key,
        const char *table,
        const uint8_t lookup[VAULT_LOOKUP_BYTES],
        struct str sealed,
        struct buf *text_out)
{
    struct buf bound;
    bind_to_row(&bound, key, table, lookup);
    enum err err = seal_open(key->seal, buf_view(&bound), sealed, text_out);
    buf_fini(&bound);
    return err;
}

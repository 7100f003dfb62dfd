/* Wrapped account keys; seals bound to their rows. */
#include "router/vault.h"

#include <string.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"

#define WRAP_VERSION 1

struct vault {
    uint8_t service_key[SEAL_KEY_BYTES];
    uint8_t name_key[SEAL_KEY_BYTES];
};

enum err vault_create(struct str secret, struct vault **vault_out)
{
    if (secret.len < VAULT_SECRET_MIN_BYTES) {
        return ERR_INVALID;
    }
    struct vault *vault = MEM_NEW(struct vault);
    digest_hmac(DIGEST_SHA256, secret, STR("starling account keys 1"), vault->service_key);
    digest_hmac(DIGEST_SHA256, secret, STR("starling names of erased accounts 1"), vault->name_key);
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

struct str vault_name_key(const struct vault *vault)
{
    return str_from(vault->name_key, sizeof(vault->name_key));
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

void vault_new_key(const struct vault *vault,
        int64_t owner,
        struct vault_key *key_out,
        struct buf *wrapped_out)
{
    uint8_t root[SEAL_KEY_BYTES];
    struct buf bound;
    random_bytes(root, sizeof(root));
    bind_to_owner(&bound, owner);
    buf_append_char(wrapped_out, WRAP_VERSION);
    seal_close(vault->service_key, buf_view(&bound), str_from(root, sizeof(root)), wrapped_out);
    derive(key_out, owner, str_from(root, sizeof(root)));
    secret_wipe(root, sizeof(root));
    buf_fini(&bound);
}

enum err vault_open_key(
        const struct vault *vault, int64_t owner, struct str wrapped, struct vault_key *key_out)
{
    if (wrapped.len != 1 + SEAL_KEY_BYTES + SEAL_OVERHEAD_BYTES || wrapped.ptr[0] != WRAP_VERSION) {
        return ERR_DENIED;
    }
    struct buf bound;
    struct buf root;
    bind_to_owner(&bound, owner);
    buf_init(&root, 0);
    enum err err = seal_open(vault->service_key,
            buf_view(&bound),
            str_from(wrapped.ptr + 1, wrapped.len - 1),
            &root);
    if (err == ERR_OK) {
        derive(key_out, owner, buf_view(&root));
        secret_wipe(root.data, root.capacity);
    }
    buf_fini(&root);
    buf_fini(&bound);
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

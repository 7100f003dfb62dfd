/* SCRAM, client side, with cached keys; see scram_client.h. */
#include "tests/load/scram_client.h"

#include "chassis/base/encoding.h"

enum {
    NONCE_BYTES = 18,
    MESSAGE_MAX_BYTES = 4096,
};

void scram_client_init(struct scram_client *scram, enum digest digest)
{
    *scram = (struct scram_client){ .digest = digest };
    buf_init(&scram->first_bare, MESSAGE_MAX_BYTES);
}

void scram_client_fini(struct scram_client *scram)
{
    buf_fini(&scram->first_bare);
}

void scram_client_first(struct scram_client *scram, struct str user, struct buf *out)
{
    uint8_t nonce[NONCE_BYTES];
    struct buf whole;
    random_bytes(nonce, sizeof(nonce));
    buf_clear(&scram->first_bare);
    buf_printf(&scram->first_bare, "n=" STR_FMT ",r=", STR_ARG(user));
    base64_encode(&scram->first_bare, str_from(nonce, sizeof(nonce)));
    buf_init(&whole, MESSAGE_MAX_BYTES);
    buf_append_literal(&whole, "n,,");
    buf_append_str(&whole, buf_view(&scram->first_bare));
    base64_encode(out, buf_view(&whole));
    buf_fini(&whole);
}

static bool keys_fit(
        const struct scram_keys *keys, enum digest digest, struct str salt, uint32_t iterations)
{
    return keys->iterations == iterations && keys->digest == digest && keys->salt_len == salt.len
            && memcmp(keys->salt, salt.ptr, salt.len) == 0;
}

static void derive(struct scram_keys *keys, struct str password)
{
    uint8_t salted[DIGEST_MAX_BYTES];
    size_t size = digest_size(keys->digest);
    digest_pbkdf2(
            keys->digest, password, str_from(keys->salt, keys->salt_len), keys->iterations, salted);
    digest_hmac(keys->digest, str_from(salted, size), STR("Client Key"), keys->client_key);
    digest_hash(keys->digest, str_from(keys->client_key, size), keys->stored_key);
    digest_hmac(keys->digest, str_from(salted, size), STR("Server Key"), keys->server_key);
}

static void find_keys(struct scram_cache cache,
        enum digest digest,
        struct str salt,
        uint32_t iterations,
        struct str password)
{
    if (keys_fit(cache.own, digest, salt, iterations)) {
        return;
    }
    if (!keys_fit(cache.shared, digest, salt, iterations)) {
        *cache.shared = (struct scram_keys){
            .digest = digest, .iterations = iterations, .salt_len = salt.len
        };
        memcpy(cache.shared->salt, salt.ptr, salt.len);
        derive(cache.shared, password);
    }
    *cache.own = *cache.shared;
}

/* The proof, and the signature the server has to show in return. */
static void sign(struct scram_client *scram,
        const struct scram_keys *keys,
        struct str auth_message,
        uint8_t *proof_out)
{
    size_t size = digest_size(scram->digest);
    digest_hmac(scram->digest, str_from(keys->stored_key, size), auth_message, proof_out);
    for (size_t i = 0; i < size; i++) {
        proof_out[i] ^= keys->client_key[i];
    }
    digest_hmac(
            scram->digest, str_from(keys->server_key, size), auth_message, scram->server_signature);
}

struct server_first {
    struct str nonce, salt, iterations;
};

static struct server_first split(struct str text)
{
    struct server_first first = { STR_NULL, STR_NULL, STR_NULL };
    while (text.len > 0) {
        struct str field = str_cut(&text, ',');
        struct str value = field.len > 2 ? str_from(field.ptr + 2, field.len - 2) : STR_NULL;
        if (str_starts_with(field, STR("r="))) {
            first.nonce = value;
        } else if (str_starts_with(field, STR("s="))) {
            first.salt = value;
        } else if (str_starts_with(field, STR("i="))) {
            first.iterations = value;
        }
    }
    return first;
}

static enum err answer(struct scram_client *scram,
        struct str server_first,
        struct str password,
        struct scram_cache cache,
        struct buf *out)
{
    struct server_first first = split(server_first);
    struct buf salt;
    struct buf auth;
    struct buf last;
    uint64_t iterations;
    uint8_t proof[DIGEST_MAX_BYTES];
    buf_init(&salt, SCRAM_SALT_MAX_BYTES);
    if (base64_decode(&salt, first.salt) != ERR_OK || !str_to_u64(first.iterations, &iterations)
            || salt.overflowed || iterations == 0 || iterations > UINT32_MAX) {
        buf_fini(&salt);
        return ERR_PROTOCOL;
    }
    find_keys(cache, scram->digest, buf_view(&salt), (uint32_t)iterations, password);
    buf_init(&last, MESSAGE_MAX_BYTES);
    buf_printf(&last, "c=biws,r=" STR_FMT, STR_ARG(first.nonce));
    buf_init(&auth, MESSAGE_MAX_BYTES * 4);
    buf_append_str(&auth, buf_view(&scram->first_bare));
    buf_append_char(&auth, ',');
    buf_append_str(&auth, server_first);
    buf_append_char(&auth, ',');
    buf_append_str(&auth, buf_view(&last));
    sign(scram, cache.own, buf_view(&auth), proof);
    buf_append_literal(&last, ",p=");
    base64_encode(&last, str_from(proof, digest_size(scram->digest)));
    base64_encode(out, buf_view(&last));
    buf_fini(&last);
    buf_fini(&auth);
    buf_fini(&salt);
    return ERR_OK;
}

enum err scram_client_answer(struct scram_client *scram,
        struct str challenge,
        struct str password,
        struct scram_cache cache,
        struct buf *out)
{
    struct buf text;
    buf_init(&text, MESSAGE_MAX_BYTES);
    enum err err = base64_decode(&text, challenge);
    if (err == ERR_OK) {
        err = answer(scram, buf_view(&text), password, cache, out);
    }
    buf_fini(&text);
    return err;
}

bool scram_client_is_server_genuine(struct scram_client *scram, struct str final)
{
    struct buf text;
    struct buf signature;
    buf_init(&text, MESSAGE_MAX_BYTES);
    buf_init(&signature, MESSAGE_MAX_BYTES);
    bool is_genuine =
            base64_decode(&text, final) == ERR_OK && str_starts_with(buf_view(&text), STR("v="));
    if (is_genuine) {
        buf_consume(&text, 2);
        is_genuine = base64_decode(&signature, buf_view(&text)) == ERR_OK
                && str_equal(buf_view(&signature),
                        str_from(scram->server_signature, digest_size(scram->digest)));
    }
    buf_fini(&text);
    buf_fini(&signature);
    return is_genuine;
}

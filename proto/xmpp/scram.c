/* SCRAM's key schedule, RFC 5802 §3:
 *   SaltedPassword := Hi(password, salt, i)          Hi is PBKDF2 with one block
 *   ClientKey      := HMAC(SaltedPassword, "Client Key")
 *   StoredKey      := H(ClientKey)
 *   ServerKey      := HMAC(SaltedPassword, "Server Key")
 *   ClientProof    := ClientKey XOR HMAC(StoredKey, AuthMessage)
 *   ServerSignature:= HMAC(ServerKey, AuthMessage) */
#include "proto/xmpp/scram.h"

struct scram_keys {
    uint8_t client_key[DIGEST_MAX_BYTES];
    uint8_t stored_key[DIGEST_MAX_BYTES];
    uint8_t server_key[DIGEST_MAX_BYTES];
};

static void keys_of(enum digest digest, struct str salted, struct scram_keys *keys_out)
{
    digest_hmac(digest, salted, STR("Client Key"), keys_out->client_key);
    digest_hmac(digest, salted, STR("Server Key"), keys_out->server_key);
    digest_hash(digest, str_from(keys_out->client_key, digest_size(digest)), keys_out->stored_key);
}

static void derive_keys(enum digest digest,
        struct str password,
        struct str salt,
        uint32_t iterations,
        struct scram_keys *keys_out)
{
    uint8_t salted[DIGEST_MAX_BYTES];
    digest_pbkdf2(digest, password, salt, iterations, salted);
    keys_of(digest, str_from(salted, digest_size(digest)), keys_out);
    secret_wipe(salted, sizeof(salted));
}

/* XOR with the client signature turns ClientKey to ClientProof and back. */
static void mask_client_key(enum digest digest,
        const uint8_t *stored_key,
        struct str auth_message,
        const uint8_t *in,
        uint8_t *out)
{
    size_t size = digest_size(digest);
    uint8_t signature[DIGEST_MAX_BYTES];
    digest_hmac(digest, str_from(stored_key, size), auth_message, signature);
    for (size_t i = 0; i < size; i++) {
        out[i] = in[i] ^ signature[i];
    }
    secret_wipe(signature, sizeof(signature));
}

void scram_derive(enum digest digest,
        struct str password,
        struct str salt,
        uint32_t iterations,
        uint8_t *stored_key_out,
        uint8_t *server_key_out)
{
    struct scram_keys keys;
    derive_keys(digest, password, salt, iterations, &keys);
    memcpy(stored_key_out, keys.stored_key, digest_size(digest));
    memcpy(server_key_out, keys.server_key, digest_size(digest));
    secret_wipe(&keys, sizeof(keys));
}

void scram_derive_salted(enum digest digest,
        struct str salted_password,
        uint8_t *stored_key_out,
        uint8_t *server_key_out)
{
    struct scram_keys keys;
    keys_of(digest, salted_password, &keys);
    memcpy(stored_key_out, keys.stored_key, digest_size(digest));
    memcpy(server_key_out, keys.server_key, digest_size(digest));
    secret_wipe(&keys, sizeof(keys));
}

bool scram_proof_is_valid(
        enum digest digest, const uint8_t *stored_key, struct str auth_message, struct str proof)
{
    size_t size = digest_size(digest);
    if (proof.len != size) {
        return false;
    }
    uint8_t client_key[DIGEST_MAX_BYTES];
    uint8_t hashed[DIGEST_MAX_BYTES];
    mask_client_key(digest, stored_key, auth_message, (const uint8_t *)proof.ptr, client_key);
    digest_hash(digest, str_from(client_key, size), hashed);
    bool is_valid = str_equal_secret(str_from(hashed, size), str_from(stored_key, size));
    secret_wipe(client_key, sizeof(client_key));
    return is_valid;
}

void scram_server_signature(enum digest digest,
        const uint8_t *server_key,
        struct str auth_message,
        uint8_t *signature_out)
{
    digest_hmac(digest, str_from(server_key, digest_size(digest)), auth_message, signature_out);
}

void scram_client_proof(enum digest digest,
        struct str password,
        struct str salt,
        uint32_t iterations,
        struct str auth_message,
        uint8_t *proof_out,
        uint8_t *server_signature_out)
{
    struct scram_keys keys;
    derive_keys(digest, password, salt, iterations, &keys);
    mask_client_key(digest, keys.stored_key, auth_message, keys.client_key, proof_out);
    scram_server_signature(digest, keys.server_key, auth_message, server_signature_out);
    secret_wipe(&keys, sizeof(keys));
}

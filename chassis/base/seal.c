/* AES-256-GCM over OpenSSL's EVP: nonce, ciphertext, tag. */
#include "chassis/base/seal.h"

#include <limits.h>

#include <openssl/evp.h>

#include "chassis/base/digest.h"

#define NONCE_BYTES 12
#define TAG_BYTES   16

static const uint8_t *bytes_of(struct str s)
{
    return (const uint8_t *)(s.len > 0 ? s.ptr : "");
}

void seal_close(
        const uint8_t key[SEAL_KEY_BYTES], struct str bound, struct str text, struct buf *sealed)
{
    ASSERT(text.len < INT_MAX - SEAL_OVERHEAD_BYTES && bound.len < INT_MAX);
    uint8_t *out = (uint8_t *)buf_reserve(sealed, text.len + SEAL_OVERHEAD_BYTES);
    if (out == NULL) {
        return; /* marked as overflowed */
    }
    int len = 0;
    int rest = 0;
    random_bytes(out, NONCE_BYTES);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool ok = context != NULL && EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, out) == 1
            && EVP_EncryptUpdate(context, NULL, &len, bytes_of(bound), (int)bound.len) == 1
            && EVP_EncryptUpdate(context, out + NONCE_BYTES, &len, bytes_of(text), (int)text.len)
                    == 1
            && EVP_EncryptFinal_ex(context, out + NONCE_BYTES + len, &rest) == 1
            && EVP_CIPHER_CTX_ctrl(
                       context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + NONCE_BYTES + text.len)
                    == 1;
    ASSERT(ok && (size_t)len + (size_t)rest == text.len);
    EVP_CIPHER_CTX_free(context);
    buf_commit(sealed, text.len + SEAL_OVERHEAD_BYTES);
}

static bool decrypt(EVP_CIPHER_CTX *context, struct str bound, struct str body, uint8_t *out)
{
    int len = 0;
    int rest = 0;
    return EVP_DecryptUpdate(context, NULL, &len, bytes_of(bound), (int)bound.len) == 1
            && EVP_DecryptUpdate(context, out, &len, bytes_of(body), (int)body.len) == 1
            && EVP_DecryptFinal_ex(context, out + len, &rest) == 1;
}

enum err seal_open(const uint8_t key[SEAL_KEY_BYTES],
        struct str bound,
        struct str sealed,
        struct buf *text_out)
{
    if (sealed.len < SEAL_OVERHEAD_BYTES || sealed.len >= INT_MAX || bound.len >= INT_MAX) {
        return ERR_DENIED;
    }
    const uint8_t *nonce = (const uint8_t *)sealed.ptr;
    struct str body = str_from(nonce + NONCE_BYTES, sealed.len - SEAL_OVERHEAD_BYTES);
    uint8_t tag[TAG_BYTES];
    memcpy(tag, nonce + NONCE_BYTES + body.len, TAG_BYTES);
    uint8_t *out = (uint8_t *)buf_reserve(text_out, body.len + 1);
    if (out == NULL) {
        return ERR_LIMIT;
    }
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    ASSERT(context != NULL && EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1);
    bool is_whole = decrypt(context, bound, body, out);
    EVP_CIPHER_CTX_free(context);
    if (!is_whole) {
        secret_wipe(out, body.len);
        return ERR_DENIED;
    }
    buf_commit(text_out, body.len);
    return ERR_OK;
}

/* Hashes and random bytes over OpenSSL's EVP. Every failure aborts: a wrong digest would let
 * somebody in or lock everybody out, and weak randomness is worse than no service (H09). */
#include "chassis/base/digest.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "chassis/base/err.h"

static const EVP_MD *digest_md(enum digest digest)
{
    switch (digest) {
    case DIGEST_SHA1: return EVP_sha1();
    case DIGEST_SHA256: return EVP_sha256();
    case DIGEST_SHA512: return EVP_sha512();
    case DIGEST_SHA3_256: return EVP_sha3_256();
    }
    UNREACHABLE("digest is known");
}

size_t digest_size(enum digest digest)
{
    switch (digest) {
    case DIGEST_SHA1: return 20;
    case DIGEST_SHA256: return 32;
    case DIGEST_SHA512: return 64;
    case DIGEST_SHA3_256: return 32;
    }
    UNREACHABLE("digest is known");
}

void digest_hash(enum digest digest, struct str data, uint8_t *out)
{
    unsigned len = 0;
    int ok = EVP_Digest(data.len > 0 ? data.ptr : "", data.len, out, &len, digest_md(digest), NULL);
    ASSERT(ok == 1 && len == digest_size(digest));
}

void digest_hmac(enum digest digest, struct str key, struct str data, uint8_t *out)
{
    unsigned len = 0;
    ASSERT(key.len <= INT_MAX);
    const unsigned char *mac = HMAC(digest_md(digest),
            key.len > 0 ? key.ptr : "",
            (int)key.len,
            (const unsigned char *)(data.len > 0 ? data.ptr : ""),
            data.len,
            out,
            &len);
    ASSERT(mac != NULL && len == digest_size(digest));
}

void digest_pbkdf2(
        enum digest digest, struct str password, struct str salt, uint32_t iterations, uint8_t *out)
{
    ASSERT(password.len <= INT_MAX && salt.len <= INT_MAX);
    ASSERT(iterations > 0 && iterations <= INT_MAX);
    int ok = PKCS5_PBKDF2_HMAC(password.len > 0 ? password.ptr : "",
            (int)password.len,
            (const unsigned char *)(salt.len > 0 ? salt.ptr : ""),
            (int)salt.len,
            (int)iterations,
            digest_md(digest),
            (int)digest_size(digest),
            out);
    ASSERT(ok == 1);
}

void random_bytes(void *out, size_t len)
{
    ASSERT(len <= INT_MAX);
    ASSERT(RAND_bytes(out, (int)len) == 1);
}

uint64_t random_u64(void)
{
    uint64_t value = 0;
    random_bytes(&value, sizeof(value));
    return value;
}

void secret_wipe(void *ptr, size_t len)
{
    OPENSSL_cleanse(ptr, len);
}

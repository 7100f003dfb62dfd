/* Hashes, HMAC, PBKDF2 and random bytes over libcrypto; the only user of it outside
 * edge/transport_tls.c. Thread-safe. A failure inside libcrypto aborts: there is no safe way on. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

enum digest {
    DIGEST_SHA1,
    DIGEST_SHA256,
    DIGEST_SHA512, /* the last one a login may name (wire, AuthLookup) */
    DIGEST_SHA3_256,
};

#define DIGEST_MAX_BYTES 64

size_t digest_size(enum digest digest);
void digest_hash(enum digest digest, struct str data, uint8_t *out);
void digest_hmac(enum digest digest, struct str key, struct str data, uint8_t *out);
/* Blocking (milliseconds): call it on the thread pool only. */
void digest_pbkdf2(enum digest digest,
        struct str password,
        struct str salt,
        uint32_t iterations,
        uint8_t *out);

void random_bytes(void *out, size_t len);
uint64_t random_u64(void);
void secret_wipe(void *ptr, size_t len);

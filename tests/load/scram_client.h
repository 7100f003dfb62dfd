/* The client's half of SCRAM (RFC 5802, RFC 7677) without channel binding. The expensive part,
 * PBKDF2, is done once for each (password, salt, iterations): a load generator that hashed at each
 * login would measure itself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/err.h"

#define SCRAM_SALT_MAX_BYTES 64

/* What one account's password, salt and iterations come to. Zeroed: nothing yet. */
struct scram_keys {
    enum digest digest;
    uint32_t iterations;
    size_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX_BYTES];
    uint8_t client_key[DIGEST_MAX_BYTES];
    uint8_t stored_key[DIGEST_MAX_BYTES];
    uint8_t server_key[DIGEST_MAX_BYTES];
};

/* Where to look, and to keep what had to be computed. */
struct scram_cache {
    struct scram_keys *own;    /* of this account */
    struct scram_keys *shared; /* of all: accounts for a benchmark may have one salt */
};

/* One exchange. */
struct scram_client {
    enum digest digest;
    struct buf first_bare;
    uint8_t server_signature[DIGEST_MAX_BYTES];
};

void scram_client_init(struct scram_client *scram, enum digest digest);
void scram_client_fini(struct scram_client *scram);

/* Appends the first message in base64; `user` needs no escaping (no ',' and no '='). */
void scram_client_first(struct scram_client *scram, struct str user, struct buf *out);
/* Appends the answer to the challenge (base64 of server-first) in base64. Fills the caches. */
MUST_USE enum err scram_client_answer(struct scram_client *scram,
        struct str challenge,
        struct str password,
        struct scram_cache cache,
        struct buf *out);
/* The base64 of server-final: is it the server that knows the account? */
bool scram_client_is_server_genuine(struct scram_client *scram, struct str final);

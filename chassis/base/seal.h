/* Authenticated encryption (AES-256-GCM) of what lies in a store whose administrators must not read
 * it. Thread-safe. A failure inside libcrypto aborts: there is no safe way on. */
#pragma once

#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"

#define SEAL_KEY_BYTES      32
#define SEAL_OVERHEAD_BYTES 28 /* nonce in front, tag behind */

/* Appends the sealed text. `bound` is not stored: who opens has to name the same (the row it is in,
 * so that rows cannot change places). At most 2^32 texts with one key: nonces are random. */
void seal_close(
        const uint8_t key[SEAL_KEY_BYTES], struct str bound, struct str text, struct buf *sealed);
/* Appends the text. ERR_DENIED: other key, other `bound`, or changed; nothing is appended. */
MUST_USE enum err seal_open(const uint8_t key[SEAL_KEY_BYTES],
        struct str bound,
        struct str sealed,
        struct buf *text_out);

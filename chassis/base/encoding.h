/* Base64 (RFC 4648 §4, strict: padding required, no white space), lower-case hex, JSON strings. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

void base64_encode(struct buf *out, struct str data);
/* ERR_INVALID: not strict base64; `out` keeps what it had before. */
MUST_USE enum err base64_decode(struct buf *out, struct str text);

void hex_encode(struct buf *out, struct str data);
/* Exactly `len` bytes from 2 * len digits. */
MUST_USE enum err hex_decode(struct str text, uint8_t *out, size_t len);

/* With its quotation marks; `text` is UTF-8 (RFC 8259 §7). */
void json_encode_string(struct buf *out, struct str text);

/* Growable byte buffer with a hard ceiling. Bytes are appended at the end and consumed at the
 * front. Growth past the ceiling marks the buffer as overflowed instead of writing; the owner looks
 * once, at the end. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/attr.h"
#include "chassis/base/str.h"

struct buf {
    char *data;   /* NULL while nothing is allocated */
    size_t start; /* consumed bytes at the front */
    size_t len;   /* bytes behind start */
    size_t capacity;
    size_t max; /* ceiling for len, 0: none */
    bool overflowed;
};

void buf_init(struct buf *buf, size_t max);
void buf_fini(struct buf *buf); /* releases memory; the buffer may be used again */
/* The same for a secret: wiped first. One that grew has left copies: reserve what it needs at once.
 */
void buf_fini_secret(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory, clears overflowed */

struct str buf_view(const struct buf *buf); /* valid until the next change */

void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_str(struct buf *buf, struct str s);
void buf_append_char(struct buf *buf, char c);
void buf_append_u32be(struct buf *buf, uint32_t value);
void buf_append_u64be(struct buf *buf, uint64_t value);
PRINTF_LIKE(2, 3) void buf_printf(struct buf *buf, const char *format, ...);
void buf_vprintf(struct buf *buf, const char *format, va_list args);

#define buf_append_literal(buf, literal) buf_append((buf), "" literal, sizeof(literal) - 1)

/* Room for at least `len` bytes behind the end, to be filled and then committed. NULL past the
 * ceiling. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_commit(struct buf *buf, size_t len);

void buf_consume(struct buf *buf, size_t len); /* drops from the front; len <= buf->len */
void buf_shrink(struct buf *buf);              /* an empty buffer gives its memory back */

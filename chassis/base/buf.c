/* Growable byte buffer with a ceiling. */
#include "chassis/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

enum {
    BUF_MIN_CAPACITY = 64,
};

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){ .max = max };
}

void buf_fini(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->max);
}

void buf_fini_secret(struct buf *buf)
{
    if (buf->data) {
        explicit_bzero(buf->data, buf->capacity);
    }
    buf_fini(buf);
}

void buf_clear(struct buf *buf)
{
    buf->start = 0;
    buf->len = 0;
    buf->overflowed = false;
}

struct str buf_view(const struct buf *buf)
{
    return buf->data == NULL ? STR_NULL : str_from(buf->data + buf->start, buf->len);
}

static void buf_compact(struct buf *buf)
{
    if (buf->start > 0) {
        memmove(buf->data, buf->data + buf->start, buf->len);
        buf->start = 0;
    }
}

/* Doubling keeps appends O(1) on average; the front gap is reused first when it is at least as
 * large as what would be moved, so consuming slowly does not cost O(n) per append. */
static void buf_grow(struct buf *buf, size_t needed)
{
    if (buf->start >= buf->len && needed <= buf->capacity) {
        buf_compact(buf);
        return;
    }
    size_t capacity = buf->capacity > 0 ? buf->capacity : BUF_MIN_CAPACITY;
    while (capacity < needed) {
        ASSERT(capacity <= SIZE_MAX / 4);
        capacity *= 2;
    }
    if (capacity == buf->capacity) {
        capacity *= 2;
    }
    if (buf->start == 0) {
        buf->data = mem_realloc(buf->data, capacity);
    } else {
        char *data = mem_alloc(capacity);
        memcpy(data, buf->data + buf->start, buf->len);
        free(buf->data);
        buf->data = data;
        buf->start = 0;
    }
    buf->capacity = capacity;
}

char *buf_reserve(struct buf *buf, size_t len)
{
    size_t needed = 0;
    if (buf->overflowed || __builtin_add_overflow(buf->len, len, &needed)
            || (buf->max > 0 && needed > buf->max)) {
        buf->overflowed = true;
        return NULL;
    }
    if (buf->data == NULL || buf->capacity - buf->start < needed) {
        buf_grow(buf, needed);
    }
    return buf->data + buf->start + buf->len;
}

void buf_commit(struct buf *buf, size_t len)
{
    ASSERT(len <= buf->capacity - buf->start - buf->len);
    buf->len += len;
}

void buf_append(struct buf *buf, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    char *room = buf_reserve(buf, len);
    if (room != NULL) {
        memcpy(room, data, len);
        buf->len += len;
    }
}

void buf_append_str(struct buf *buf, struct str s)
{
    buf_append(buf, s.ptr, s.len);
}

void buf_append_char(struct buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_append_u32be(struct buf *buf, uint32_t value)
{
    uint8_t bytes[4];
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
    buf_append(buf, bytes, sizeof(bytes));
}

void buf_append_u64be(struct buf *buf, uint64_t value)
{
    buf_append_u32be(buf, (uint32_t)(value >> 32));
    buf_append_u32be(buf, (uint32_t)value);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

PRINTF_LIKE(2, 0) void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int printed = vsnprintf(small, sizeof(small), format, args);
    ASSERT(printed >= 0);
    size_t len = (size_t)printed;
    if (len < sizeof(small)) {
        buf_append(buf, small, len);
    } else {
        char *large = mem_alloc(len + 1); /* vsnprintf writes a NUL that is not ours to keep */
        vsnprintf(large, len + 1, format, again);
        buf_append(buf, large, len);
        free(large);
    }
    va_end(again);
}

void buf_consume(struct buf *buf, size_t len)
{
    ASSERT(len <= buf->len);
    buf->len -= len;
    buf->start = buf->len == 0 ? 0 : buf->start + len;
}

void buf_shrink(struct buf *buf)
{
    if (buf->len == 0) {
        free(buf->data);
        buf->data = NULL;
        buf->start = 0;
        buf->capacity = 0;
    }
}

/* A random 128-bit identifier: sessions, authentications, boots. Unguessable, compared in constant
 * time where it is a secret. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct id128 {
    uint64_t hi;
    uint64_t lo;
};

#define ID128_TEXT_SIZE 33 /* 32 hex digits and NUL */

struct id128 id128_random(void);
void id128_format(struct id128 id, char text_out[ID128_TEXT_SIZE]);
bool id128_parse(
        const char *text, struct id128 *id_out); /* exactly 32 hex digits, NUL-terminated */

static inline bool id128_equal(struct id128 a, struct id128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static inline bool id128_is_zero(struct id128 id)
{
    return id.hi == 0 && id.lo == 0;
}

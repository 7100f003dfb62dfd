/* Borrowed views of bytes. A view never owns and is not NUL-terminated; who made it says how long
 * it lives. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct arena;

struct str {
    const char *ptr;
    size_t len;
};

/* clang-format off */
#define STR(literal)  ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_NULL      ((struct str){ NULL, 0 })
#define STR_FMT       "%.*s"
#define STR_ARG(s)    (int)(s).len, (s).ptr ? (s).ptr : ""
/* clang-format on */

static inline struct str str_from(const void *ptr, size_t len)
{
    return (struct str){ (const char *)ptr, len };
}

/* `text` may be NULL: gives the empty view. */
static inline struct str str_from_cstr(const char *text)
{
    return (struct str){ text, text ? strlen(text) : 0 };
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_is_empty(struct str s)
{
    return s.len == 0;
}

bool str_equal_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);

/* Index of `c`, or s.len. */
size_t str_find_char(struct str s, char c);

/* Cuts `s` at the first `c`: returns what is before, leaves what is behind in `*s`. Without `c`:
 * all, and `*s` empty. */
struct str str_cut(struct str *s, char c);

struct str str_trim(struct str s); /* spaces, tabs, CR, LF */

/* A copy in the arena; NUL-terminated behind its end for libraries that want it. */
struct str str_dup(struct arena *arena, struct str s);

/* Heap copy, NUL-terminated; caller frees with free(). */
char *str_to_cstr(struct str s);

/* Whole of `s` is a decimal number without sign; false on overflow or anything else. */
bool str_to_u64(struct str s, uint64_t *value_out);
bool str_to_i64(struct str s, int64_t *value_out); /* with optional leading '-' */

/* Time independent of content (lengths may leak). */
bool str_equal_secret(struct str a, struct str b);

/* Stable 64-bit hash: used for sharding, so it never changes (FNV-1a with a final avalanche). */
uint64_t str_hash(struct str s);

/* True if all bytes form valid UTF-8 without surrogates and without U+FFFE/U+FFFF. */
bool str_is_utf8(struct str s);

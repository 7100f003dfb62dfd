/* Views of bytes: comparing, cutting, numbers, hash, UTF-8. */
#include "chassis/base/str.h"

#include "chassis/base/arena.h"
#include "chassis/base/mem.h"

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_equal(str_from(s.ptr, prefix.len), prefix);
}

bool str_ends_with(struct str s, struct str suffix)
{
    return s.len >= suffix.len
            && (suffix.len == 0
                    || str_equal(str_from(s.ptr + (s.len - suffix.len), suffix.len), suffix));
}

size_t str_find_char(struct str s, char c)
{
    const char *found = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return found != NULL ? (size_t)(found - s.ptr) : s.len;
}

struct str str_cut(struct str *s, char c)
{
    size_t at = str_find_char(*s, c);
    struct str before = str_from(s->ptr, at);
    if (at == s->len) {
        *s = STR_NULL;
    } else {
        *s = str_from(s->ptr + at + 1, s->len - at - 1);
    }
    return before;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

struct str str_dup(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return str_from(copy, s.len);
}

char *str_to_cstr(struct str s)
{
    char *copy = mem_alloc(s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}

bool str_to_u64(struct str s, uint64_t *value_out)
{
    uint64_t value = 0;
    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(value, 10U, &value)
                || __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value)) {
            return false;
        }
    }
    *value_out = value;
    return true;
}

bool str_to_i64(struct str s, int64_t *value_out)
{
    bool is_negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t magnitude = 0;
    if (!str_to_u64(is_negative ? str_from(s.ptr + 1, s.len - 1) : s, &magnitude)) {
        return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + (is_negative ? 1U : 0U)) {
        return false;
    }
    if (!is_negative) {
        *value_out = (int64_t)magnitude;
    } else {
        *value_out = magnitude == 0 ? 0 : -(int64_t)(magnitude - 1) - 1;
    }
    return true;
}

bool str_equal_secret(struct str a, struct str b)
{
    if (a.len != b.len) {
        return false;
    }
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < a.len; i++) {
        difference =
                (unsigned char)(difference | ((unsigned char)a.ptr[i] ^ (unsigned char)b.ptr[i]));
    }
    return difference == 0;
}

uint64_t str_hash(struct str s)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < s.len; i++) {
        hash ^= (unsigned char)s.ptr[i];
        hash *= 0x100000001b3U;
    }
    /* FNV-1a mixes its high bits poorly for short keys; the finalizer of MurmurHash3 repairs it. */
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdU;
    hash ^= hash >> 33;
    hash *= 0xc4ceb9fe1a85ec53U;
    hash ^= hash >> 33;
    return hash;
}

/* Length of the sequence at `p`, 0 if it is not valid (RFC 3629 §4: shortest form only). */
static size_t utf8_sequence(const unsigned char *p, size_t left, uint32_t *code_out)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = p[0] < 0x80 ? 1
            : p[0] < 0xC2    ? 0
            : p[0] < 0xE0    ? 2
            : p[0] < 0xF0    ? 3
            : p[0] < 0xF5    ? 4
                             : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    uint32_t code = len == 1 ? p[0] : p[0] & (0xFFU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
        code = (code << 6) | (p[i] & 0x3FU);
    }
    if (code < smallest[len]) {
        return 0;
    }
    *code_out = code;
    return len;
}

bool str_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t left = s.len;
    while (left > 0) {
        uint32_t code = 0;
        size_t len = utf8_sequence(p, left, &code);
        bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
        if (len == 0 || is_surrogate || code > 0x10FFFF || code == 0xFFFE || code == 0xFFFF) {
            return false;
        }
        p += len;
        left -= len;
    }
    return true;
}

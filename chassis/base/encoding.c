/* Base64 and hex. Own code, since OpenSSL's decoder accepts white space and wrong padding. */
#include "chassis/base/encoding.h"

static const char base64_digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Up to three bytes become four digits. */
static void base64_encode_group(const unsigned char *in, size_t len, char out[4])
{
    uint32_t bits = (uint32_t)in[0] << 16;
    bits |= len > 1 ? (uint32_t)in[1] << 8 : 0;
    bits |= len > 2 ? (uint32_t)in[2] : 0;
    out[0] = base64_digits[bits >> 18];
    out[1] = base64_digits[(bits >> 12) & 63];
    out[2] = len > 1 ? base64_digits[(bits >> 6) & 63] : '=';
    out[3] = len > 2 ? base64_digits[bits & 63] : '=';
}

void base64_encode(struct buf *out, struct str data)
{
    const unsigned char *in = (const unsigned char *)data.ptr;
    for (size_t i = 0; i < data.len; i += 3) {
        char group[4];
        base64_encode_group(in + i, data.len - i, group);
        buf_append(out, group, sizeof(group));
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits, of which the last group may end in padding, become up to three bytes; 0 if they are
 * wrong. Unused bits must be zero, so that each value has one text (RFC 4648 §3.5). */
static size_t base64_decode_group(const char in[4], bool is_last, unsigned char out[3])
{
    size_t padding = !is_last || in[3] != '=' ? 0 : in[2] == '=' ? 2 : 1;
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i >= 4 - padding ? 0 : base64_value(in[i]);
        if (value < 0) {
            return 0;
        }
        bits = (bits << 6) | (uint32_t)value;
    }
    if ((padding == 1 && (bits & 0xFF) != 0) || (padding == 2 && (bits & 0xFFFF) != 0)) {
        return 0;
    }
    out[0] = (unsigned char)(bits >> 16);
    out[1] = (unsigned char)(bits >> 8);
    out[2] = (unsigned char)bits;
    return 3 - padding;
}

enum err base64_decode(struct buf *out, struct str text)
{
    size_t len_before = out->len;
    if (text.len % 4 != 0) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < text.len; i += 4) {
        unsigned char group[3];
        size_t len = base64_decode_group(text.ptr + i, i + 4 == text.len, group);
        if (len == 0) {
            out->len = len_before;
            return ERR_INVALID;
        }
        buf_append(out, group, len);
    }
    return ERR_OK;
}

void hex_encode(struct buf *out, struct str data)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < data.len; i++) {
        unsigned char byte = (unsigned char)data.ptr[i];
        buf_append_char(out, digits[byte >> 4]);
        buf_append_char(out, digits[byte & 15]);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

enum err hex_decode(struct str text, uint8_t *out, size_t len)
{
    if (text.len % 2 != 0 || text.len / 2 != len) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (hex_value(text.ptr[i]) < 0) {
            return ERR_INVALID;
        }
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(hex_value(text.ptr[2 * i]) * 16 + hex_value(text.ptr[2 * i + 1]));
    }
    return ERR_OK;
}

void json_encode_string(struct buf *out, struct str text)
{
    buf_append_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20) {
            buf_printf(out, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, (char)c);
    }
    buf_append_char(out, '"');
}

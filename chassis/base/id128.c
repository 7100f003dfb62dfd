/* Random identifiers as 32 hex digits. */
#include "chassis/base/id128.h"

#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"

struct id128 id128_random(void)
{
    struct id128 id;
    random_bytes(&id, sizeof(id));
    return id;
}

void id128_format(struct id128 id, char text_out[ID128_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < 16; i++) {
        unsigned shift = 60 - 4 * i;
        text_out[i] = digits[id.hi >> shift & 15];
        text_out[16 + i] = digits[id.lo >> shift & 15];
    }
    text_out[32] = '\0';
}

static uint64_t load_u64be(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        value = (value << 8) | bytes[i];
    }
    return value;
}

bool id128_parse(const char *text, struct id128 *id_out)
{
    uint8_t bytes[16];
    if (hex_decode(str_from_cstr(text), bytes, sizeof(bytes)) != ERR_OK) {
        return false;
    }
    *id_out = (struct id128){ .hi = load_u64be(bytes), .lo = load_u64be(bytes + 8) };
    return true;
}

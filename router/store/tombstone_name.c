/* HMAC-SHA-256 of the prepared bare JID. */
#include "router/store/tombstone_name.h"

#include "chassis/base/digest.h"
#include "chassis/base/err.h"

size_t tombstone_keys(struct str keys)
{
    ASSERT(keys.len % TOMBSTONE_KEY_BYTES == 0);
    return keys.len / TOMBSTONE_KEY_BYTES;
}

void tombstone_name(
        struct str keys, size_t i, struct str bare, uint8_t name_out[TOMBSTONE_NAME_BYTES])
{
    ASSERT(i < tombstone_keys(keys));
    struct str key = str_from(keys.ptr + i * TOMBSTONE_KEY_BYTES, TOMBSTONE_KEY_BYTES);
    digest_hmac(DIGEST_SHA256, key, bare, name_out);
}

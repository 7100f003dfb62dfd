/* HMAC-SHA-256 of the prepared bare JID. */
#include "router/store/tombstone_name.h"

#include "chassis/base/digest.h"

void tombstone_name(struct str key, struct str bare, uint8_t name_out[TOMBSTONE_NAME_BYTES])
{
    digest_hmac(DIGEST_SHA256, key, bare, name_out);
}

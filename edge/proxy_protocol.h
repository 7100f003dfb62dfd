/* PROXY protocol v1 and v2 headers (haproxy's specification), pure. LOCAL and UNKNOWN keep the
 * socket's own address. */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

#define PROXY_HEADER_MAX_BYTES 536 /* v2 with TLVs we are willing to read; v1 has 107 */

struct proxy_header {
    size_t bytes;     /* of the header; what follows belongs to the connection */
    bool has_address; /* false: LOCAL, UNKNOWN */
    struct sockaddr_storage source;
};

/* ERR_AGAIN: more bytes needed. ERR_INVALID: malformed (CRC32C TLV wrong, too long, not a header):
 * close at once (E20). */
MUST_USE enum err proxy_header_parse(struct str data, struct proxy_header *header_out);

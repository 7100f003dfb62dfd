/* Socket addresses: text, normal form, prefixes. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

/* A mapped address (::ffff:192.0.2.1, from a dual-stack socket) becomes the IPv4 address it is. */
void address_normalise(struct sockaddr_storage *address);
/* "192.0.2.1:5000", "[2001:db8::1]:5000" */
void address_format(const struct sockaddr_storage *address, char *out, size_t size);

/* What limits count by: an IPv4 address, or an IPv6 /64, since a customer gets at least that much.
 * All bytes are defined, so it may be hashed. */
struct address_key {
    uint8_t family;
    uint8_t prefix[8];
};
struct address_key address_limit_key(const struct sockaddr_storage *address);

/* The same as bytes, 4 or 8, for routers; `out` has room for 8. */
struct str address_limit_bytes(const struct sockaddr_storage *address, uint8_t out[8]);

struct address_network { /* "10.0.0.0/8", "2001:db8::/32", "192.0.2.1" */
    int family;
    uint8_t bytes[16];
    unsigned bits;
};
MUST_USE enum err address_network_parse(struct str text, struct address_network *network_out);
bool address_network_contains(
        const struct address_network *network, const struct sockaddr_storage *address);

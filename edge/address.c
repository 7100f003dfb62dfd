/* Socket addresses. sockaddr_storage is read through copies: C's aliasing rules want it so. */
#include "edge/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static struct sockaddr_in as_v4(const struct sockaddr_storage *address)
{
    struct sockaddr_in in;
    memcpy(&in, address, sizeof(in));
    return in;
}

static struct sockaddr_in6 as_v6(const struct sockaddr_storage *address)
{
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof(in6));
    return in6;
}

void address_normalise(struct sockaddr_storage *address)
{
    if (address->ss_family != AF_INET6) {
        return;
    }
    struct sockaddr_in6 in6 = as_v6(address);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = in6.sin6_port };
        memcpy(&in.sin_addr, in6.sin6_addr.s6_addr + 12, sizeof(in.sin_addr));
        *address = (struct sockaddr_storage){ .ss_family = AF_INET };
        memcpy(address, &in, sizeof(in));
    }
}

void address_format(const struct sockaddr_storage *address, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in = as_v4(address);
        (void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
        (void)snprintf(out, size, "%s:%u", text, ntohs(in.sin_port));
    } else if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 in6 = as_v6(address);
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
        (void)snprintf(out, size, "[%s]:%u", text, ntohs(in6.sin6_port));
    } else {
        (void)snprintf(out, size, "local");
    }
}

struct address_key address_limit_key(const struct sockaddr_storage *address)
{
    struct address_key key;
    memset(&key, 0, sizeof(key));
    key.family = (uint8_t)address->ss_family;
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in = as_v4(address);
        memcpy(key.prefix, &in.sin_addr, sizeof(in.sin_addr));
    } else if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 in6 = as_v6(address);
        memcpy(key.prefix, &in6.sin6_addr, sizeof(key.prefix));
    }
    return key;
}

struct str address_limit_bytes(const struct sockaddr_storage *address, uint8_t out[8])
{
    struct address_key key = address_limit_key(address);
    size_t len = key.family == AF_INET ? sizeof(struct in_addr)
            : key.family == AF_INET6   ? sizeof(key.prefix)
                                       : 0;
    memcpy(out, key.prefix, sizeof(key.prefix));
    return str_from(out, len);
}

enum err address_network_parse(struct str text, struct address_network *network_out)
{
    char address[INET6_ADDRSTRLEN];
    struct address_network network = { .family = AF_INET };
    bool has_bits = str_find_char(text, '/') < text.len;
    struct str name = str_cut(&text, '/');
    if (name.len >= sizeof(address)) {
        return ERR_INVALID;
    }
    memcpy(address, name.ptr, name.len);
    address[name.len] = '\0';
    if (inet_pton(AF_INET, address, network.bytes) != 1) {
        network.family = AF_INET6;
        if (inet_pton(AF_INET6, address, network.bytes) != 1) {
            return ERR_INVALID;
        }
    }
    uint64_t max_bits = network.family == AF_INET ? 32 : 128;
    uint64_t bits = max_bits;
    if (has_bits && (!str_to_u64(text, &bits) || bits > max_bits)) {
        return ERR_INVALID;
    }
    network.bits = (unsigned)bits;
    *network_out = network;
    return ERR_OK;
}

bool address_network_contains(
        const struct address_network *network, const struct sockaddr_storage *address)
{
    uint8_t bytes[16] = { 0 };
    if (address->ss_family != network->family) {
        return false;
    }
    if (network->family == AF_INET) {
        struct sockaddr_in in = as_v4(address);
        memcpy(bytes, &in.sin_addr, sizeof(in.sin_addr));
    } else {
        struct sockaddr_in6 in6 = as_v6(address);
        memcpy(bytes, &in6.sin6_addr, sizeof(bytes));
    }
    size_t whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(bytes, network->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || (bytes[whole] ^ network->bytes[whole]) >> (8 - rest) == 0;
}

/* Reading bus addresses, roles, node names and static peers. */
#include "chassis/link_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const char *const role_names[] = {
    [LINK_ROLE_EDGE] = "edge",
    [LINK_ROLE_ROUTER] = "router",
    [LINK_ROLE_ARCHIVE] = "archive",
    [LINK_ROLE_UPLOAD] = "upload",
    [LINK_ROLE_PUSH] = "push",
};

enum {
    ROLE_COUNT = sizeof(role_names) / sizeof(role_names[0]),
};

const char *link_role_name(enum link_role role)
{
    return (unsigned)role < ROLE_COUNT && role_names[role] ? role_names[role] : "unknown";
}

enum err link_role_parse(struct str name, enum link_role *role_out)
{
    for (unsigned role = LINK_ROLE_EDGE; role < ROLE_COUNT; role++) {
        if (str_equal(name, str_from_cstr(role_names[role]))) {
            *role_out = (enum link_role)role;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

bool link_node_name_is_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_word && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return name.len > 0 && name.len <= LINK_NODE_NAME_MAX_BYTES;
}

static bool is_loopback(struct str host)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    if (host.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return str_equal_nocase(host, STR("localhost"));
}

static enum err cut_host(struct str *rest, struct str *host_out)
{
    struct str host;
    if (str_starts_with(*rest, STR("["))) {
        *rest = str_from(rest->ptr + 1, rest->len - 1);
        size_t end = str_find_char(*rest, ']');
        if (end + 1 >= rest->len || rest->ptr[end + 1] != ':') {
            return ERR_INVALID;
        }
        host = str_from(rest->ptr, end);
        *rest = str_from(rest->ptr + end + 2, rest->len - end - 2);
    } else {
        size_t end = str_find_char(*rest, ':');
        if (end == rest->len) {
            return ERR_INVALID;
        }
        host = str_cut(rest, ':');
    }
    if (str_is_empty(host)) {
        return ERR_INVALID;
    }
    *host_out = host;
    return ERR_OK;
}

enum err link_address_parse(struct str text, struct link_address *address_out)
{
    struct link_address address = { .is_tls = false };
    struct str scheme = STR("tcp://");
    uint64_t port;

    if (str_starts_with(text, STR("tls+tcp://"))) {
        scheme = STR("tls+tcp://");
        address.is_tls = true;
    }
    if (!str_starts_with(text, scheme) || text.len > LINK_ADDRESS_MAX_BYTES) {
        return ERR_INVALID;
    }
    struct str rest = str_from(text.ptr + scheme.len, text.len - scheme.len);
    if (cut_host(&rest, &address.host) != ERR_OK || !str_to_u64(rest, &port) || port > UINT16_MAX) {
        return ERR_INVALID;
    }
    address.port = (uint16_t)port;
    address.is_loopback = is_loopback(address.host);
    *address_out = address;
    return ERR_OK;
}

enum err link_static_peer_parse(struct str text, struct link_static_peer *peer_out)
{
    struct link_static_peer peer = { .address = text };
    struct link_address address;

    struct str role = str_cut(&peer.address, ':');
    peer.node = str_cut(&peer.address, '@');
    if (link_role_parse(role, &peer.role) != ERR_OK || !link_node_name_is_valid(peer.node)
            || link_address_parse(peer.address, &address) != ERR_OK || address.port == 0) {
        return ERR_INVALID;
    }
    *peer_out = peer;
    return ERR_OK;
}

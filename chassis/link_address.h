/* Addresses of the bus ("tcp://127.0.0.1:7001", "tls+tcp://router-1.internal:7001") and static
 * peers ("router:router-1@tcp://127.0.0.1:7001"). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/link.h"

struct link_address {
    bool is_tls;
    bool is_loopback; /* 127.0.0.0/8, ::1 or localhost */
    struct str host;  /* without brackets */
    uint16_t port;
};

/* Views into `text`. ERR_INVALID: neither form. */
MUST_USE enum err link_address_parse(struct str text, struct link_address *address_out);

struct link_static_peer {
    enum link_role role;
    struct str node;
    struct str address;
};

MUST_USE enum err link_static_peer_parse(struct str text, struct link_static_peer *peer_out);

MUST_USE enum err link_role_parse(struct str name, enum link_role *role_out);
/* 1 to 64 bytes of a-z A-Z 0-9 . _ - */
bool link_node_name_is_valid(struct str name);

enum {
    LINK_NODE_NAME_MAX_BYTES = 64,
    LINK_ADDRESS_MAX_BYTES = 280,
};

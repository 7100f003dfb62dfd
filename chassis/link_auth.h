/* How two processes prove to each other that they know the secret: HMAC-SHA-256 over everything
 * both HELLOs said, a label for the direction, and the number that goes with it. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/link.h"
#include "chassis/link_frame.h"

enum {
    LINK_AUTH_BYTES = 32,
    LINK_NONCE_BYTES = 32,
    LINK_EDGE_SECRET_BYTES = 64, /* hex digits */
};

enum link_auth_side {
    LINK_AUTH_DIALER,
    LINK_AUTH_LISTENER,
};

struct link_auth_input {
    enum link_auth_side side; /* who proves */
    uint32_t version;         /* agreed */
    const struct link_hello *dialer, *listener;
    uint64_t last_seq; /* WELCOME only */
};

void link_auth_prove(
        struct str secret, const struct link_auth_input *input, uint8_t mac_out[LINK_AUTH_BYTES]);
/* False without a secret, too. Constant time. */
bool link_auth_verify(struct str secret, const struct link_auth_input *input, struct str mac);

/* What only the edge of this name and the core know: HMAC-SHA-256(core_secret, "edge:" node), in
 * lower-case hex without NUL. */
void link_auth_edge_secret(
        struct str core_secret, struct str node, char text_out[LINK_EDGE_SECRET_BYTES]);

/* One side of a connection, to find the secret for it. */
struct link_auth_self {
    enum link_role role;
    struct str edge_secret; /* an edge's own */
    struct str core_secret; /* everybody else's */
};

/* The secret for a connection to a peer that says it is `node` with `role`. It is one of self's or
 * lies in `room`. Empty: these two have no business with each other, and must not be connected. */
struct str link_auth_secret(const struct link_auth_self *self,
        uint32_t role,
        struct str node,
        char room[LINK_EDGE_SECRET_BYTES]);

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

/* The secret for a connection between these two roles; may be empty: then it must be refused. */
struct str link_auth_secret(
        struct str edge_secret, struct str core_secret, uint32_t one_role, uint32_t other_role);

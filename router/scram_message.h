/* What a router checks of a SCRAM AuthMessage (RFC 5802 §3) that an edge put together: that the
 * proof was made for this very exchange. Pure. */
#pragma once

#include <stdbool.h>

#include "chassis/base/str.h"

/* client-first-message-bare has r=<client_nonce>; server-first-message and
 * client-final-message-without-proof have r=<client_nonce><server_nonce>. */
bool scram_message_has_nonces(
        struct str auth_message, struct str client_nonce, struct str server_nonce);

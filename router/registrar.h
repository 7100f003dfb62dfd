/* In-band registration before authentication (XEP-0077 §3.1): the verb Register. Loop thread
 * only. */
#pragma once

#include "proto/wire/wire.h"
#include "router/peers.h"

struct registrar;
struct router;

struct registrar *registrar_create(struct router *router);
void registrar_destroy(struct registrar *registrar); /* accepts NULL */

/* The shard is owned, the bare JID is one with a localpart. */
void registrar_on_register(
        struct registrar *registrar, struct peer *edge, const Wire__Register *message);

/* The auth verbs: SCRAM in two stateless steps, PLAIN, tokens (XEP-0484), new verifiers (XEP-0480).
 * Any router that owns the shard of the user answers; nonces and grants are signed, so the steps of
 * one login may meet different routers. Loop thread only. */
#pragma once

#include "chassis/base/err.h"
#include "proto/wire/wire.h"
#include "router/peers.h"

struct auth;
struct router;

struct auth *auth_create(struct router *router);
void auth_destroy(struct auth *auth); /* accepts NULL */

/* The shard is owned, the bare JID is one. The answer goes to `edge`, at once or later. */
void auth_on_lookup(struct auth *auth, struct peer *edge, const Wire__AuthLookup *message);
void auth_on_verify(struct auth *auth, struct peer *edge, const Wire__AuthVerify *message);
void auth_on_plain(struct auth *auth, struct peer *edge, const Wire__AuthPlain *message);
void auth_on_token(struct auth *auth, struct peer *edge, const Wire__AuthToken *message);
/* Nothing that was known of it before counts any more. */
void auth_on_account_changed(struct auth *auth, struct str bare);
/* The grant is checked already. */
void auth_on_upgrade(struct auth *auth, struct peer *edge, const Wire__AuthUpgrade *message);

/* What routers tell each other beside stanzas and shards: accounts that were changed, and how many
 * are online. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "proto/wire/wire.h"

struct peer;
struct router;

/* AccountChanged and RouterLoad of another router. ERR_INVALID: no address. */
MUST_USE enum err cluster_on_news(
        struct router *router, struct peer *peer, const Wire__Envelope *envelope);
/* To all routers, this one included. A router that is away reads the account when it comes back. */
void cluster_tell_account_changed(struct router *router, struct str bare, bool end_sessions);
/* Now and then, and soon after a change. */
void cluster_tell_load(struct router *router);
/* Accounts with a session, in the whole cluster, as far as the other routers have told. */
uint64_t cluster_count_online(const struct router *router);

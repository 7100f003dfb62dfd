/* What routers tell each other beside stanzas and shards: accounts that were changed, and how many
 * are online. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/str.h"

struct router;

/* Another router, or this one, has changed the account: its home reads it again. */
void cluster_account_changed(struct router *router, struct str bare, bool end_sessions);
/* To all routers, this one included. A router that is away reads the account when it comes back. */
void cluster_tell_account_changed(struct router *router, struct str bare, bool end_sessions);
/* Now and then, and soon after a change. */
void cluster_tell_load(struct router *router);
/* Accounts with a session, in the whole cluster, as far as the other routers have told. */
uint64_t cluster_count_online(const struct router *router);

/* What routers tell each other beside stanzas and shards: accounts that were changed, how many are
 * online, announcements to these. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "proto/wire/wire.h"

struct peer;
struct router;

/* AccountChanged, RouterLoad and Announcement of another router. ERR_INVALID: no address, no text.
 */
MUST_USE enum err cluster_on_news(
        struct router *router, struct peer *peer, const Wire__Envelope *envelope);
/* To all routers, this one included. A router that is away reads the account when it comes back. */
void cluster_tell_account_changed(struct router *router, struct str bare, bool end_sessions);
/* To everybody of `host` who is there, at all routers (XEP-0133 §4.23). */
void cluster_announce(struct router *router, struct str host, struct str subject, struct str text);
/* Now and then, and soon after a change. */
void cluster_tell_load(struct router *router);
/* Accounts with a session, in the whole cluster, as far as the other routers have told. */
uint64_t cluster_count_online(const struct router *router);

/* One presence to many accounts of other routers (DESIGN 3.6): a frame for each router. What stays
 * unanswered, because the router dies or a shard moves, follows as single routes of egress, which
 * keep it until somebody has it. Loop thread only. */
#pragma once

#include <stddef.h>

#include "proto/wire/wire.h"
#include "router/egress.h"

struct link_peer;
struct route_many;
struct router;

struct route_many *route_many_create(struct router *router);
void route_many_destroy(struct route_many *many); /* accepts NULL */

/* `stanza` has no `to`; no shard of `to` is ours. Everything is copied. */
void route_many_send(struct route_many *many,
        const struct origin *origin,
        const struct stanza *stanza,
        const struct str *to,
        size_t count);

/* One of another router: to the entities, and its answer. ERR_INVALID: not what routers send. */
MUST_USE enum err route_many_on_route(
        struct route_many *many, struct link_peer *link, const Wire__RouteMany *route);
void route_many_on_reply(
        struct route_many *many, struct link_peer *link, const Wire__RouteManyReply *reply);
void route_many_on_map(struct route_many *many);
void route_many_on_peer_dead(struct route_many *many, struct link_peer *link);

/* Components (XEP-0114): each domain is an entity without an account, at home in the router that
 * owns the shard of the domain, and so is everybody at it. Its connected stream is a session of an
 * edge like any other; nothing is stored. Loop thread only. */
#pragma once

#include "chassis/base/err.h"
#include "proto/wire/wire.h"
#include "router/entity/entity_table.h"

struct components;
struct router;

/* Reads the secrets. ERR_INVALID: a secret cannot be read, or a domain is there twice; it is in the
 * log. */
MUST_USE enum err components_create(struct router *router, struct components **components_out);
void components_destroy(struct components *components); /* accepts NULL */

/* From edge `edge`. The caller has checked that the domain is a component's and that its shard is
 * owned. Messages are valid during the call. */
void components_on_bind(
        struct components *components, const char *edge, const Wire__ComponentBind *bind);
void components_on_announce(struct components *components,
        const char *edge,
        const Wire__Announce *announce); /* the token is checked already */
/* The stanza is checked (stanza_check_component); with `is_answered` there is none. */
void components_on_input(struct components *components,
        const char *edge,
        const Wire__Input *input,
        const struct stanza *stanza);
void components_on_close(struct components *components, const char *edge, const Wire__Close *close);
void components_on_delivered(
        struct components *components, const char *edge, const Wire__Delivered *delivered);
void components_on_session_gone(
        struct components *components, const char *edge, const Wire__SessionGone *gone);

/* To somebody at a component at home here; as entity_on_route. */
void components_on_route(struct components *components,
        const struct origin *origin,
        const struct stanza *stanza,
        entity_route_done done,
        void *context);

void components_on_edge_dead(struct components *components, const char *edge);
void components_on_shard_gained(struct components *components, unsigned shard);
void components_drop_shard(struct components *components, unsigned shard);

/* Appends the connected ones to a JSON array; `separator` comes before the first one. */
void components_report(const struct components *components, const char *separator, struct buf *out);

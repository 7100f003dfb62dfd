/* Wire out: envelopes to edges, routers; keeps Routes until they are answered. Everything of a turn
 * leaves in one frame per peer (link). Views are copied or packed before the call returns. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "proto/wire/wire.h"
#include "proto/xmpp/stanza.h"
#include "proto/xmpp/stream_error.h"

struct egress;
struct link_peer;
struct router;

struct origin {
    struct id128 session;
    uint32_t counter;
    uint32_t part:31;
    uint32_t is_repeat:1; /* a home may have taken it: nobody can say that it was not kept who has
                             not read the log. Says nothing of which stanza it is. */
};

static inline struct origin origin_of_wire(const Wire__Origin *from)
{
    return (struct origin){
        .session = wire_id(from->session), .counter = from->counter, .part = from->part & INT32_MAX
    };
}

struct egress_target {
    struct id128 session;
    struct str bare;
    struct str to;     /* "" : stanza.to */
    uint32_t sequence; /* 0: not numbered */
    uint32_t attach;   /* likewise */
};

MUST_USE enum err egress_create(struct router *router, struct egress **egress_out);
void egress_destroy(struct egress *egress); /* accepts NULL */

/* ERR_UNAVAILABLE: edge unknown or dead; ERR_LIMIT: its link is full, or this router has just
 * started and may still hear of it: try again. Nothing was sent then. */
MUST_USE enum err egress_deliver(struct egress *egress,
        const char *edge,
        const struct stanza *stanza,
        int64_t log_id,
        const struct egress_target *targets,
        size_t count);
/* `carbons`: the edge tells it to the session's next home. */
void egress_handled(struct egress *egress,
        const char *edge,
        struct id128 session,
        uint32_t counter,
        Wire__Switch carbons);
/* Handled up to `handled`, and `counter`, beyond it, came back as an error: it is repeated without
 * its stanza. */
void egress_answered(struct egress *egress,
        const char *edge,
        struct id128 session,
        uint32_t handled,
        uint32_t counter);
void egress_kick(struct egress *egress,
        const char *edge,
        struct id128 session,
        struct str bare,
        enum stream_condition condition,
        struct str text);
/* The session was resumed elsewhere: that edge forgets it, without Close. */
void egress_kick_moved(struct egress *egress,
        const char *edge,
        struct id128 session,
        struct str bare,
        uint32_t attach);
void egress_enable_reply(struct egress *egress, const char *edge, const Wire__EnableReply *reply);
/* With STATUS_OK, the session's token is added. */
void egress_resume_reply(struct egress *egress, const char *edge, const Wire__ResumeReply *reply);
/* `attach`: as Close said. */
void egress_close_reply(
        struct egress *egress, const char *edge, struct id128 session, uint32_t attach);
/* With STATUS_OK and without a token, the session's token is added. */
void egress_bind_reply(struct egress *egress, const char *edge, const Wire__BindReply *reply);
void egress_not_owner(struct egress *egress, struct link_peer *peer, unsigned shard);
/* The edge says again which sessions of the shard it holds, and what of theirs is not handled. */
void egress_ask_announce(struct egress *egress, const char *edge, unsigned shard);
void egress_envelope(struct egress *egress,
        struct link_peer *peer,
        const Wire__Envelope *envelope); /* best effort, for replies */

/* To the home of stanza->to in another router (the caller has looked: it is not here). `done` NULL:
 * volatile, dropped when no owner is known. With `done`: kept and repeated (owner changes, peer
 * dies, NotOwner) until the answer: ERR_OK (committed or answered there). ERR_UNAVAILABLE only if
 * it certainly was never sent and commit_timeout_ms passed. */
typedef void (*egress_route_done)(void *context, enum err err);
void egress_route(struct egress *egress,
        const struct origin *origin,
        const struct stanza *stanza,
        egress_route_done done,
        void *context);
/* A route to that shard waits for its home: whatever comes later has to wait behind it. */
bool egress_has_waiting(const struct egress *egress, unsigned shard);
/* The answer of the recipient's home. */
void egress_on_route_reply(
        struct egress *egress, struct link_peer *peer, const Wire__RouteReply *reply);
/* `peer` does not own the shard (any more): what was sent there waits for a newer map. */
void egress_on_not_owner(
        struct egress *egress, struct link_peer *peer, const Wire__NotOwner *message);
void egress_on_room(struct egress *egress, struct link_peer *peer);
/* The shard table changed / a peer died: repeats what waits for it. */
void egress_on_map(struct egress *egress);
void egress_on_peer_dead(struct egress *egress, struct link_peer *peer);

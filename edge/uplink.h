/* The way to routers: knows who owns a bare JID, asks questions, sends what sessions have, and
 * repeats all of it when a shard moves or a router dies. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/link.h"
#include "edge/requests.h"
#include "proto/wire/wire.h"

struct edge;
struct session;
struct uplink;

struct uplink *uplink_create(struct edge *edge);
void uplink_destroy(struct uplink *uplink); /* accepts NULL */
/* `fn` is called once, when the first shard map has come. */
void uplink_on_first_map(struct uplink *uplink, void (*fn)(void *context), void *context);
uint64_t uplink_map_version(const struct uplink *uplink); /* 0: none yet */

/* Asks the router that owns `bare`. The callback comes from the loop, with a reply of the matching
 * verb or NULL (no answer in time). */
struct request *uplink_ask(struct uplink *uplink,
        struct str bare,
        Wire__Envelope *envelope,
        request_answered answered,
        void *context);
void uplink_cancel(struct uplink *uplink, struct request *request); /* accepts NULL */

/* A session just bound: who bound it knows it; another owner of its shard is told. */
void uplink_adopt(struct uplink *uplink, struct session *session);
/* `peer` is the home the session was announced to last. A former one may not know yet that it is:
 * its numbers are not ours any more. */
bool uplink_is_home(
        const struct uplink *uplink, const struct session *session, const struct link_peer *peer);
/* Deliveries are missing: its home is told once more what was written, and sends what follows. */
void uplink_announce_again(struct uplink *uplink, struct session *session);
/* Sends what the session has for its owner, in order: Announce, inputs, Close. What cannot leave
 * now leaves later by itself. */
void uplink_pump(struct uplink *uplink, struct session *session);
/* The stream ended: sends Close behind the last input, keeps the session until CloseReply. Unless
 * `is_ended`, a session that may be resumed waits at its router. */
void uplink_end_session(struct uplink *uplink, struct session *session, bool is_ended);

/* Stream management is wanted: sends Enable behind all inputs. session->sm->enabled is called with
 * the answer, however long it takes, if the session is still live. */
void uplink_enable(struct uplink *uplink, struct session *session);
/* The client has acknowledged more: the router learns it with this turn's other news. */
void uplink_acked(struct uplink *uplink, struct session *session);
/* The session was resumed on another stream, here or elsewhere: what is left of it here is
 * forgotten without a word to routers, its stream ends with <conflict/>. */
void uplink_let_go(struct uplink *uplink, struct session *session);
/* false: not now. For records that need no memory: Delivered. */
bool uplink_send(struct uplink *uplink, unsigned shard, const Wire__Envelope *envelope);

/* From bus.c. `peer` has the role router. */
void uplink_take(struct uplink *uplink, struct link_peer *peer, const Wire__Envelope *envelope);
void uplink_peer_up(struct uplink *uplink, struct link_peer *peer);
void uplink_peer_down(struct uplink *uplink, struct link_peer *peer, bool is_dead);
void uplink_peer_room(struct uplink *uplink);

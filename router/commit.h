/* One group of log writes per loop turn (DESIGN 3.3): gathered here, sent to an archive-svc as one
 * Append, one in flight, the next one holds all that came meanwhile. Repeats a batch to any
 * archive-svc until it is answered: its keys make that harmless. Whoever leaves it unanswered for
 * archive_patience_ms is passed over until it has answered. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "proto/wire/wire.h"
#include "proto/xmpp/stanza.h"
#include "router/egress.h"

struct commit;
struct router;

MUST_USE enum err commit_create(struct router *router, struct commit **commit_out);
/* Accepts NULL. Who waits hears ERR_CLOSED. */
void commit_destroy(struct commit *commit);

/* Into the group of this turn. The shard's current epoch is taken now. */
void commit_entry(struct commit *commit,
        unsigned shard,
        int64_t owner,
        int64_t id,
        const struct origin *origin,
        const struct stanza *stanza);
struct commit_input {
    struct id128 session;
    uint32_t h;
    bool is_closed; /* the log forgets the session */
    bool is_ahead;  /* covers entries that are in a group, but undecided */
};
void commit_input(
        struct commit *commit, unsigned shard, int64_t owner, const struct commit_input *input);
void commit_watermark(struct commit *commit,
        unsigned shard,
        int64_t owner,
        int64_t id); /* lazily: rides on the next group or on a 250 ms timer */
/* The newest watermark of the owner that is not yet known to be written; 0: none. */
int64_t commit_pending_watermark(const struct commit *commit, int64_t owner);

/* Calls back when all that was added for `shard` before this call is decided. ERR_OK: committed.
 * ERR_FENCED: the shard is no longer ours, nothing of it was committed by us. ERR_UNAVAILABLE:
 * commit_timeout_ms passed and it certainly was never sent, or archive-svc refused it as malformed
 * or too large: it is withdrawn (G01), perhaps while earlier rows of the shard are in flight and in
 * doubt. All others hear in order of asking, per shard. */
typedef void (*commit_done)(void *context, enum err err);
void commit_wait(struct commit *commit, unsigned shard, commit_done done, void *context);
/* For an input. ERR_UNAVAILABLE as well when a shard of its group, or of one before it, was fenced:
 * one that is ahead may cover an entry that now goes to another home, and was not written. */
void commit_wait_input(struct commit *commit, unsigned shard, commit_done done, void *context);

/* False: more than router.max_uncommitted_bytes waits: the caller should not add (overload, P7). */
bool commit_has_room(const struct commit *commit);

struct peer;
void commit_on_reply(struct commit *commit, struct peer *peer, const Wire__AppendReply *reply);
void commit_on_peer_change(struct commit *commit); /* an archive-svc came or went */
void commit_on_room(struct commit *commit);        /* a full link has room again */
/* Sends what waits lazily, too; `done` when nothing of the shard is left: before a hand-over. */
void commit_flush(struct commit *commit, unsigned shard, commit_done done, void *context);
/* The shard is lost: what was not sent is dropped, all that wait for the shard hear ERR_FENCED now
 * (of what is in flight nobody here knows whether it will be committed; the new home does). */
void commit_drop_shard(struct commit *commit, unsigned shard);
bool commit_is_idle(
        const struct commit *commit, unsigned shard); /* nothing of this shard waits or flies */

/* One router: its appends, strictly one after the other, and replies that wait for room on the
 * link. A new incarnation starts afresh: what the old one asked is not answered. */
#pragma once

#include <stdint.h>

#include "archive-svc/archive.h"

struct append_job;

struct asker {
    struct archive *archive;
    struct link_peer *peer;
    uint64_t boot_epoch;
    struct append_job *appends; /* the first one is in flight */
    size_t append_count;
    struct reply *replies;
    struct reply **replies_tail;
    size_t reply_count;
};

struct asker *asker_create(struct archive *archive, struct link_peer *peer);
/* The pools must be closed before: no append may be in flight. Accepts NULL. */
void asker_destroy(struct asker *asker);

/* A record of this incarnation is about to be handled. */
void asker_meet(struct asker *asker, uint64_t boot_epoch);
/* To the incarnation that asked; dropped when it is gone. */
void asker_reply(struct asker *asker, uint64_t boot_epoch, const Wire__Envelope *reply);
void asker_on_room(struct asker *asker);

/* Routes to other routers that are not answered yet, in order per shard. Pure: who sends, and
 * where to, is egress's business; here is what has to be sent again and in which order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/map.h"
#include "router/egress.h"

struct route {
    uint64_t request;
    unsigned shard;
    struct buf record;   /* the packed envelope */
    const void *sent_to; /* NULL: waits */
    bool was_ever_sent;  /* from here, or by a former home of its sender, as far as is known */
    int64_t created_ms;
    egress_route_done done;
    void *context;
    struct route *prev; /* of the same shard, oldest first */
    struct route *next;
    UT_hash_handle hh;
};

struct route_shard {
    struct route *routes;
    size_t waiting;        /* not sent */
    int64_t not_before_ms; /* after a temporary failure */
};

struct route_queue {
    struct route_shard *by_shard;
    unsigned shards;
    struct route *by_request;
    uint64_t last_request;
    size_t waiting;
};

void route_queue_init(struct route_queue *queue, unsigned shards);
void route_queue_fini(struct route_queue *queue); /* who waits hears ERR_CLOSED */

/* The caller fills `record`. */
struct route *route_queue_add(struct route_queue *queue,
        unsigned shard,
        int64_t now_ms,
        egress_route_done done,
        void *context);
struct route *route_queue_find(struct route_queue *queue, uint64_t request); /* NULL: answered */

/* The oldest of the shard that waits: the only one that may be sent next. NULL: none. */
struct route *route_queue_next(const struct route_queue *queue, unsigned shard);
void route_queue_sent(struct route_queue *queue, struct route *route, const void *peer);

/* What was sent to `peer` waits again; order is kept, since all of a shard that comes later waits,
 * too. */
void route_queue_unsend(struct route_queue *queue, unsigned shard, const void *peer);

/* The shard has a new home: what was sent to any other waits again, before anything newer. */
void route_queue_unsend_others(struct route_queue *queue, unsigned shard, const void *home);

/* Removes it, then calls back. */
void route_queue_finish(struct route_queue *queue, struct route *route, enum err err);
/* Those made at `before_ms` or earlier and never sent end with ERR_UNAVAILABLE. */
void route_queue_expire(struct route_queue *queue, int64_t before_ms);

/* Shards that go to another router: each leaves when nothing of it is at work any more and Redis
 * has taken all that its next home reads there. Part of the entity table; loop thread only.
 * Internal to router/entity. */
#pragma once

#include "chassis/timer.h"

struct entity;
struct entity_table;
struct handover;

struct handovers {
    struct entity_table *table;
    struct handover *by_shard;
    unsigned shard_count;
    unsigned running;
    struct timer timer;
};

void handovers_init(struct handovers *handovers, struct entity_table *table);
void handovers_fini(struct handovers *handovers);
/* A session's record or something of its queue was written to Redis, or should have been. */
void handover_note_written(const struct entity *entity);
/* The shard is lost: there is nothing to hand over. */
void handover_forget(struct handovers *handovers, unsigned shard);

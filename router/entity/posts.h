/* What posts.c (the doors of entity_table.h) needs of the table itself. */
#pragma once

#include <stdbool.h>

#include "chassis/timer.h"

struct entity;
struct entity_table;
struct router;

struct entity *entity_table_first(struct entity_table *table); /* the others by ->hh.next */
struct router *entity_table_router(struct entity_table *table);

struct fanouts;
struct fanouts *entity_table_fanouts(struct entity_table *table);
struct redis_sweep;
struct redis_sweep *entity_table_redis_sweep(struct entity_table *table);
struct handovers;
struct handovers *entity_table_handovers(struct entity_table *table);
void entity_table_schedule(struct entity_table *table); /* there is work */
/* The shard is here for so long that every account of it with a session is in memory. */
bool entity_table_is_settled(const struct entity_table *table, unsigned shard);
void entity_table_shard_gained(struct entity_table *table, unsigned shard);

/* For callbacks that may come when the table is gone: NULL then. */
void *entity_table_hold(struct entity_table *table);
struct entity_table *entity_table_hold_take(void *hold);

/* Accounts that wait to be woken, a few at a time (sm_spool.c). */
struct revivals {
    struct revival *head;
    struct timer timer;
};
struct revivals *entity_table_revivals(struct entity_table *table);
void revivals_init(struct revivals *revivals, struct entity_table *table);
void revivals_fini(struct revivals *revivals);

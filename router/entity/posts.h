/* What posts.c (the doors of entity_table.h) needs of the table itself. */
#pragma once

#include "chassis/timer.h"

struct entity;
struct entity_table;
struct router;

struct entity *entity_table_first(struct entity_table *table); /* the others by ->hh.next */
struct router *entity_table_router(struct entity_table *table);

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

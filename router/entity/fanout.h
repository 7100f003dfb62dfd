/* One presence, many recipients (DESIGN 3.6): to accounts at home here in one pass with one frame
 * for each edge, to those of each other router in one frame. Internal to router/entity. */
#pragma once

#include "router/entity/entity.h"
#include "router/turn.h"

struct fanout;

/* Waiting in the table, oldest first. */
struct fanouts {
    struct fanout *head;
    struct fanout **end;
};

void fanouts_init(struct fanouts *fanouts);
void fanouts_fini(struct fanouts *fanouts);
/* Delivers all that wait: behind each turn, so that nothing its sender says later overtakes. */
void fanouts_run(struct entity_table *table);

/* EFFECT_ROUTE_MANY. */
void fanout_send(struct entity *sender, const struct effect *effect);

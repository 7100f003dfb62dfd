/* Redis learns again, entity by entity, what it may lack: all of it when it was emptied or has not
 * taken everything, and from time to time that its sessions still live. The table may change
 * between two steps. Internal to router/entity. */
#pragma once

#include <stdint.h>

#include "chassis/timer.h"

struct entity;
struct entity_table;

struct redis_sweep {
    struct timer write_timer;
    struct entity *to_write; /* the next one; NULL: all are written */
    struct timer renew_timer;
    struct entity *to_renew; /* likewise, in this round */
    int64_t renewed_ms;      /* when that began */
};

void redis_sweep_init(struct redis_sweep *sweep, struct entity_table *table);
void redis_sweep_fini(struct redis_sweep *sweep);
void redis_sweep_forget(struct redis_sweep *sweep, const struct entity *entity); /* it is going */

/* What an entity remembers of the durable stanzas it has taken, so that a repeat has no second
 * effect (P2). A ring of a fixed number, found by a hash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router/egress.h"

#define ORIGIN_REFUSED ((int64_t)-1) /* no log id, which is > 0: not kept, and its sender knows */
#define ORIGINS_MAX    4096          /* per entity; at 10 a second that is nearly seven minutes */

struct origins {
    struct origin_entry *entries; /* ring; grows by doubling up to ORIGINS_MAX */
    uint32_t *buckets;            /* index + 1 of the newest entry of a chain */
    size_t capacity;
    size_t next; /* slot of the next one */
    size_t count;
    struct origin in_order; /* asked for last: of its session nothing younger was added */
};

void origins_init(struct origins *origins);
void origins_fini(struct origins *origins);
/* The oldest one makes room. Added again: the newer id counts. `id` is not 0. */
void origins_add(struct origins *origins, const struct origin *origin, int64_t id);
/* The log id the stanza got; false: never seen. */
bool origins_find(const struct origins *origins, const struct origin *origin, int64_t *id_out);
/* A later stanza of the same session was kept. Looks at all of them, but for a session that goes on
 * in order. */
bool origins_has_younger(struct origins *origins, const struct origin *origin);

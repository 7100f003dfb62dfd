/* The hooks of the router's program. */
#pragma once

#include "router/router.h"

struct router_process {
    struct router router; /* first: hooks that need only it take it */
    struct redis *registry_redis;
    struct redis_mark *redis_mark;
    struct pg_schema *schema;
    struct timer health;
    struct timer registry_due;
    int64_t registry_wait_ms;
};

/* A shard on its way out. */
struct router_shard {
    struct router *router;
    unsigned shard;
    uint64_t epoch; /* under which it was held */
};

enum err router_start(struct service_context *service, void **state_out);
void router_reload(void *state, const struct config *config);
void router_drain(void *state);
void router_stop(void *state);

/* The node registry: each process writes itself into Redis with a lease and re-reads the others;
 * static peers of the configuration (bus.peers) are always known, so a cluster works without Redis.
 * Feeds link_dial. Key: "node:<name>", a hash {role, epoch,
 * bus, http}, PX = ttl; the set "nodes" lists the names. */
#pragma once

#include <stdint.h>

#include "chassis/link.h"

struct redis;
struct registry;
struct service_context;

struct registry_options {
    const char *node;
    enum link_role role;
    uint64_t boot_epoch;
    const char *bus_address;  /* what others dial */
    const char *http_address; /* "127.0.0.1:9101": for starlingctl */
    unsigned dial_roles;      /* mask of 1 << role: which peers we dial by ourselves */
    int64_t refresh_ms;       /* 0: 2 s */
    int64_t ttl_ms;           /* 0: 10 s */
};

/* `redis` may be NULL: static peers only. */
MUST_USE enum err registry_open(struct loop *loop,
        struct redis *redis,
        struct link *link,
        const struct link_config *bus,
        const struct registry_options *options,
        struct registry **registry_out);
/* Of a running program: its name, epoch, addresses and section bus; of `options` only `role` and
 * `dial_roles` count. */
MUST_USE enum err registry_open_service(struct service_context *service,
        struct redis *redis,
        struct link *link,
        const struct registry_options *options,
        struct registry **registry_out);
void registry_leave(struct registry *registry); /* removes our entry (drain) */
void registry_close(struct registry *registry); /* accepts NULL */

/* Calls `fn` for every node known now (for starlingctl nodes). */
void registry_each(struct registry *registry,
        void (*fn)(void *context,
                const char *node,
                const char *role,
                uint64_t boot_epoch,
                const char *bus_address,
                const char *http_address),
        void *context);

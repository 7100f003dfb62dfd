/* The state of an edge process: what its parts need of each other. Made by main.c; loop thread
 * only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/service.h"
#include "edge/settings.h"

struct edge {
    struct service_context *service;
    struct loop *loop;
    const char *node;
    uint64_t boot_epoch;
    struct settings *settings;
    struct tls_context *tls; /* NULL: no certificate; replaced on reload */
    struct auth_throttle *throttle;
    struct listeners *listeners;
    struct link *link;
    struct redis *redis; /* may be NULL or down: only the registry uses it */
    struct registry *registry;
    struct session_table *sessions;
    struct uplink *uplink;
    struct host_caps *host_caps; /* what hosts announce */
    struct downlink *downlink;
    struct drain *drain;
    struct stream *streams; /* all of them, utlist */
    uint32_t stream_count;
    uint32_t preauth_count; /* without a bound resource */
};

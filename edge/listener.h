/* Accepting connections: PROXY protocol v1 and v2 from trusted networks, limits per address (/32,
 * /64) and in all, pause when descriptors run out (H07). Gives a ready socket with its true address
 * to the owner. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "chassis/base/err.h"
#include "chassis/config.h"

struct listener;
struct listener_limits; /* shared by all listeners of a process: counts per address */
struct loop;

struct peer_address {
    struct sockaddr_storage storage; /* the client's, after PROXY */
    char text[64];                   /* "192.0.2.1:5000", "[2001:db8::1]:5000" */
};

struct listener_limit_options {
    int64_t max_connections;             /* in this process */
    int64_t max_connections_per_address; /* at once */
    int64_t max_attempts_per_minute;     /* per address */
};
struct listener_limits *listener_limits_create(
        struct loop *loop, const struct listener_limit_options *options);
void listener_limits_destroy(struct listener_limits *limits);
void listener_limits_set(
        struct listener_limits *limits, const struct listener_limit_options *options);
/* The owner calls this when a connection it was given has ended. */
void listener_limits_release(struct listener_limits *limits, const struct peer_address *address);

struct listener_options {
    const char *address; /* numeric; "" or "::" for all */
    uint16_t port;
    int backlog;
    const struct config_strings *proxy_networks; /* CIDR; connections from these MUST begin with a
                                                    PROXY header, others MUST NOT */
    int64_t proxy_timeout_ms;                    /* for the header */
};

/* `fd` is non-blocking, TCP_NODELAY, keepalive on; now owned by the callee. It may pause the
 * listener, but not close it. */
typedef void (*listener_accepted)(void *context, int fd, const struct peer_address *address);

MUST_USE enum err listener_open(struct loop *loop,
        const struct listener_options *options,
        struct listener_limits *limits,
        listener_accepted accepted,
        void *context,
        struct listener **listener_out);
void listener_close(struct listener *listener); /* accepts NULL */
/* Drain: closes the port, so that clients and load balancers go elsewhere at once. */
void listener_pause(struct listener *listener);
uint16_t listener_port(const struct listener *listener);

/* A transport on a loop in the test's thread, and its client as a function in a second thread with
 * a blocking socket. The client only records; the test asserts after transport_peer_run. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chassis/base/buf.h"
#include "chassis/clock.h"
#include "chassis/loop.h"
#include "edge/transport.h"

struct transport_peer {
    struct loop *loop;
    struct transport *transport;
    struct loop_wake *wake;
    struct timer guard;
    struct transport_options options;
    /* what happened on the server's side */
    struct buf received;
    int secured;
    int ended;
    int room;
    enum transport_end end;
    bool timed_out;
    /* what the server does; may be NULL */
    size_t (*on_data)(struct transport_peer *peer, struct str data);
    void (*on_secured)(struct transport_peer *peer);
    void (*on_end)(struct transport_peer *peer);
    bool stops_with_client; /* else with on_end */
    void *extra;
    /* the client */
    int client_fd;
    void (*client)(struct transport_peer *peer);
};

static inline size_t transport_peer_on_data(void *context, struct str data)
{
    struct transport_peer *peer = context;
    if (peer->on_data != NULL) {
        return peer->on_data(peer, data);
    }
    buf_append_str(&peer->received, data);
    return data.len;
}

static inline void transport_peer_on_secured(void *context)
{
    struct transport_peer *peer = context;
    peer->secured++;
    if (peer->on_secured != NULL) {
        peer->on_secured(peer);
    }
}

static inline void transport_peer_on_end(void *context, enum transport_end end)
{
    struct transport_peer *peer = context;
    peer->ended++;
    peer->end = end;
    if (peer->on_end != NULL) {
        peer->on_end(peer);
    } else {
        transport_destroy(peer->transport);
        peer->transport = NULL;
    }
    if (!peer->stops_with_client) {
        loop_stop(peer->loop);
    }
}

static inline void transport_peer_on_room(void *context)
{
    struct transport_peer *peer = context;
    peer->room++;
}

static const struct transport_handlers transport_peer_handlers = {
    .on_data = transport_peer_on_data,
    .on_secured = transport_peer_on_secured,
    .on_end = transport_peer_on_end,
    .on_room = transport_peer_on_room,
};

/* Two ends of a TCP connection over loopback: [0] non-blocking for the server. */
static inline void transport_peer_connect(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(bind(listener, (struct sockaddr *)(void *)&address, sizeof(address)) == 0);
    ASSERT(listen(listener, 1) == 0);
    ASSERT(getsockname(listener, (struct sockaddr *)(void *)&address, &len) == 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(connect(fds[1], (struct sockaddr *)(void *)&address, sizeof(address)) == 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ASSERT(fds[0] >= 0);
    close(listener);
}

static inline void transport_peer_on_guard(struct timer *timer, void *context)
{
    (void)timer;
    struct transport_peer *peer = context;
    peer->timed_out = true;
    loop_stop(peer->loop);
}

static inline void transport_peer_on_client_done(void *context)
{
    struct transport_peer *peer = context;
    if (peer->stops_with_client) {
        loop_stop(peer->loop);
    }
}

static inline void transport_peer_open(struct transport_peer *peer, struct tls_context *tls)
{
    int fds[2];
    transport_peer_connect(fds);
    peer->loop = loop_create(&clock_system);
    peer->client_fd = fds[1];
    peer->wake = loop_wake_create(peer->loop, transport_peer_on_client_done, peer);
    buf_init(&peer->received, 0);
    timer_init(&peer->guard, transport_peer_on_guard, peer);
    peer->transport = transport_create(
            peer->loop, fds[0], tls, &peer->options, &transport_peer_handlers, peer);
}

static inline void *transport_peer_thread(void *context)
{
    struct transport_peer *peer = context;
    struct timeval patience = { .tv_sec = 8 };
    ASSERT(setsockopt(peer->client_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    peer->client(peer);
    loop_wake_signal(peer->wake);
    return NULL;
}

/* Until the connection ends, or the client's function does. */
static inline void transport_peer_run(struct transport_peer *peer)
{
    pthread_t thread;
    timer_start(loop_timers(peer->loop), &peer->guard, 10000);
    ASSERT(pthread_create(&thread, NULL, transport_peer_thread, peer) == 0);
    loop_run(peer->loop);
    ASSERT(pthread_join(thread, NULL) == 0);
    timer_stop(&peer->guard);
}

static inline void transport_peer_close(struct transport_peer *peer)
{
    transport_destroy(peer->transport);
    transport_abandon_finishing(peer->loop);
    loop_wake_destroy(peer->wake);
    loop_destroy(peer->loop);
    if (peer->client_fd >= 0) {
        close(peer->client_fd);
    }
    buf_fini(&peer->received);
}

/* ---- for client functions */

static inline void transport_peer_hang_up(struct transport_peer *peer)
{
    close(peer->client_fd);
    peer->client_fd = -1;
}

/* Reads until `size` bytes or the end; returns how many. */
static inline size_t transport_peer_read(int fd, char *out, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t got = recv(fd, out + len, size - len, 0);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
    }
    return len;
}

/* Byte streams of the bus: tcp:// over sockets on the loop (link_stream_tcp.c), tls+tcp:// over
 * NNG's nng_stream (link_stream_tls.c: the only file of the tree that calls NNG; TLS 1.2). All
 * calls and all events happen on the loop thread.
 *
 * No fork() after the first tls+tcp address was used: NNG aborts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

struct loop;
struct link_streams; /* what the streams of one link share */
struct link_stream;
struct link_listener;

struct link_stream_events {
    void (*on_open)(void *context);                    /* a dialled stream is connected */
    void (*on_bytes)(void *context, struct str bytes); /* valid during the call */
    void (*on_sent)(void *context);
    /* Ended, by the other side or by an error; `why` is a constant. The owner still closes. */
    void (*on_end)(void *context, enum err err, const char *why);
};

/* Contents of PEM files; all empty without TLS. */
struct link_tls {
    struct buf ca, cert, key;
};

/* `tls` is borrowed and outlives the streams. */
struct link_streams *link_streams_create(struct loop *loop, const struct link_tls *tls);
/* All streams and listeners are closed before. Waits for the last operations to end. */
void link_streams_destroy(struct link_streams *streams);
/* Without a running loop, at the very end: waits up to `timeout_ms` for events and handles them. */
void link_streams_poll(struct link_streams *streams, int timeout_ms);

/* `server_name` must be in the certificate of a tls+tcp peer. */
MUST_USE enum err link_stream_dial(struct link_streams *streams,
        const char *address,
        const char *server_name,
        const struct link_stream_events *events,
        void *context,
        struct link_stream **stream_out);

/* Takes over an accepted stream: events begin. */
void link_stream_start(
        struct link_stream *stream, const struct link_stream_events *events, void *context);

/* Takes what `bytes` holds and leaves an empty buffer there. Nothing may be being sent. */
void link_stream_send(struct link_stream *stream, struct buf *bytes);
bool link_stream_is_sending(const struct link_stream *stream);
/* The next receive has a buffer of this size; streams begin with a small one. */
void link_stream_set_receive_bytes(struct link_stream *stream, size_t bytes);
/* No event after it; the stream is freed when nobody uses it any more. */
void link_stream_close(struct link_stream *stream);

/* `on_accept` gets a stream, to start or to close. Accepting goes on after any error. */
MUST_USE enum err link_listener_open(struct link_streams *streams,
        const char *address,
        void (*on_accept)(void *context, struct link_stream *stream),
        void *context,
        struct link_listener **listener_out);
uint16_t link_listener_port(const struct link_listener *listener);
void link_listener_close(struct link_listener *listener);

/* What the two kinds of streams have in common: link_stream_tcp.c on the loop itself, and
 * link_stream_tls.c over NNG. For link_stream*.c only. */
#pragma once

#include "chassis/link_stream.h"

struct link_stream_ops {
    void (*start)(struct link_stream *stream);
    /* Takes what `bytes` holds; on_sent follows, never from inside. */
    void (*send)(struct link_stream *stream, struct buf *bytes);
    void (*set_receive_bytes)(struct link_stream *stream, size_t bytes);
    void (*close)(struct link_stream *stream);
};

/* The first member of each kind. */
struct link_stream {
    const struct link_stream_ops *ops;
    const struct link_stream_events *events;
    void *context;
    bool is_sending; /* until on_sent */
};

struct link_listener {
    void (*close)(struct link_listener *listener);
    void (*on_accept)(void *context, struct link_stream *stream);
    void *context;
    uint16_t port;
};

/* ---- tcp:// */
struct tcp_streams;
struct tcp_streams *tcp_streams_create(struct loop *loop);
void tcp_streams_destroy(struct tcp_streams *streams);
void tcp_streams_poll(struct tcp_streams *streams, int timeout_ms);
MUST_USE enum err tcp_stream_dial(
        struct tcp_streams *streams, const char *address, struct link_stream **stream_out);
/* The caller fills on_accept and context before the loop runs again. */
MUST_USE enum err tcp_listener_open(
        struct tcp_streams *streams, const char *address, struct link_listener **listener_out);

/* ---- tls+tcp:// */
struct tls_streams;
struct tls_streams *tls_streams_create(struct loop *loop, const struct link_tls *tls);
void tls_streams_destroy(struct tls_streams *streams);
void tls_streams_poll(struct tls_streams *streams, int timeout_ms);
MUST_USE enum err tls_stream_dial(struct tls_streams *streams,
        const char *address,
        const char *server_name,
        struct link_stream **stream_out);
MUST_USE enum err tls_listener_open(
        struct tls_streams *streams, const char *address, struct link_listener **listener_out);

/* Chooses between sockets of ours and NNG by the scheme of an address. */
#include "chassis/base/mem.h"
#include "chassis/link_stream_ops.h"

#define POLL_STEP_MS 5 /* of each kind, while both are in use */

struct link_streams {
    struct loop *loop;
    const struct link_tls *tls_files;
    struct tcp_streams *tcp;
    struct tls_streams *tls; /* NULL: not used yet. NNG starts a dozen threads with the first use */
};

struct link_streams *link_streams_create(struct loop *loop, const struct link_tls *tls)
{
    struct link_streams *streams = MEM_NEW(struct link_streams);
    streams->loop = loop;
    streams->tls_files = tls;
    streams->tcp = tcp_streams_create(loop);
    return streams;
}

void link_streams_destroy(struct link_streams *streams)
{
    tcp_streams_destroy(streams->tcp);
    if (streams->tls) {
        tls_streams_destroy(streams->tls);
    }
    free(streams);
}

void link_streams_poll(struct link_streams *streams, int timeout_ms)
{
    int step_ms = streams->tls && timeout_ms > POLL_STEP_MS ? POLL_STEP_MS : timeout_ms;
    tcp_streams_poll(streams->tcp, step_ms);
    if (streams->tls) {
        tls_streams_poll(streams->tls, step_ms);
    }
}

static bool is_tls(const char *address)
{
    return str_starts_with(str_from_cstr(address), STR("tls+tcp://"));
}

static struct tls_streams *with_tls(struct link_streams *streams)
{
    if (!streams->tls) {
        streams->tls = tls_streams_create(streams->loop, streams->tls_files);
    }
    return streams->tls;
}

/* ---- streams */

enum err link_stream_dial(struct link_streams *streams,
        const char *address,
        const char *server_name,
        const struct link_stream_events *events,
        void *context,
        struct link_stream **stream_out)
{
    struct link_stream *stream;
    enum err err = is_tls(address)
            ? tls_stream_dial(with_tls(streams), address, server_name, &stream)
            : tcp_stream_dial(streams->tcp, address, &stream);
    if (err == ERR_OK) {
        stream->events = events;
        stream->context = context;
        *stream_out = stream;
    }
    return err;
}

void link_stream_start(
        struct link_stream *stream, const struct link_stream_events *events, void *context)
{
    stream->events = events;
    stream->context = context;
    stream->ops->start(stream);
}

void link_stream_send(struct link_stream *stream, struct buf *bytes)
{
    ASSERT(!stream->is_sending && bytes->len > 0);
    stream->is_sending = true;
    stream->ops->send(stream, bytes);
}

bool link_stream_is_sending(const struct link_stream *stream)
{
    return stream->is_sending;
}

void link_stream_set_receive_bytes(struct link_stream *stream, size_t bytes)
{
    stream->ops->set_receive_bytes(stream, bytes);
}

void link_stream_close(struct link_stream *stream)
{
    stream->ops->close(stream);
}

/* ---- the listener */

enum err link_listener_open(struct link_streams *streams,
        const char *address,
        void (*on_accept)(void *context, struct link_stream *stream),
        void *context,
        struct link_listener **listener_out)
{
    struct link_listener *listener;
    enum err err = is_tls(address) ? tls_listener_open(with_tls(streams), address, &listener)
                                   : tcp_listener_open(streams->tcp, address, &listener);
    if (err == ERR_OK) {
        listener->on_accept = on_accept;
        listener->context = context;
        *listener_out = listener;
    }
    return err;
}

uint16_t link_listener_port(const struct link_listener *listener)
{
    return listener->port;
}

void link_listener_close(struct link_listener *listener)
{
    listener->close(listener);
}

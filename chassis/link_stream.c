/* nng_stream behind events on the loop thread. See the header for who runs where. */
#include "chassis/link_stream.h"

#include <pthread.h>
#include <time.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"

enum {
    FIRST_RECEIVE_BYTES = 4 * 1024,
    KEEP_SEND_BYTES = 256 * 1024, /* a larger buffer is given back after use */
    ACCEPT_RETRY_MS = 20,
};

/* One NNG operation that can be under way. `done` runs on the loop thread. After the completion
 * has queued it, no NNG thread touches it again, except for leaving its own callback. */
struct op {
    struct link_streams *streams;
    nng_aio *aio;
    void (*done)(void *owner);
    void *owner;
    struct op *next;
    int result;
    size_t count;
    bool is_busy;
};

struct link_streams {
    struct loop *loop;
    struct loop_wake *wake;
    const struct link_tls *tls;
    size_t busy_ops;  /* loop thread */
    bool has_no_loop; /* being destroyed: free at once instead of on the pool */
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* for link_streams_poll */
    struct op *head, **tail;
};

struct link_stream {
    struct link_streams *streams;
    nng_stream_dialer *dialer; /* dialled streams only */
    nng_stream *stream;
    struct op dial, receive, send;
    struct buf sending;
    char *receive_data;
    size_t receive_bytes, next_receive_bytes;
    const struct link_stream_events *events;
    void *context;
    bool is_closed;
    bool is_delivering; /* inside on_bytes, which may close */
};

struct link_listener {
    struct link_streams *streams;
    char *address;
    nng_stream_listener *listener;
    struct op accept;
    struct timer retry;
    void (*on_accept)(void *context, struct link_stream *stream);
    void *context;
    uint16_t port;
    bool is_closed;
};

#ifdef __SANITIZE_THREAD__
/* NNG frees its dialers by an atomic reference count, which ThreadSanitizer cannot see inside a
 * library that was not built for it: it takes the last mutex_destroy for a race. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:pthread_mutex_destroy\n";
}
#endif

/* ---- from NNG's threads to the loop */

/* On an NNG thread. Everything happens under the mutex: when the loop sees the op, this callback
 * has nothing left to do with it. */
static void queue_op(void *arg)
{
    struct op *op = arg;
    struct link_streams *streams = op->streams;
    int result = nng_aio_result(op->aio);
    size_t count = nng_aio_count(op->aio);

    pthread_mutex_lock(&streams->mutex);
    bool was_empty = streams->head == NULL;
    op->result = result;
    op->count = count;
    op->next = NULL;
    *streams->tail = op;
    streams->tail = &op->next;
    if (was_empty) {
        loop_wake_signal(streams->wake);
        pthread_cond_signal(&streams->cond);
    }
    pthread_mutex_unlock(&streams->mutex);
}

static void handle_queue(void *context)
{
    struct link_streams *streams = context;

    pthread_mutex_lock(&streams->mutex);
    struct op *op = streams->head;
    streams->head = NULL;
    streams->tail = &streams->head;
    pthread_mutex_unlock(&streams->mutex);

    while (op) {
        struct op *next = op->next; /* `done` may start it again */
        op->is_busy = false;
        streams->busy_ops--;
        op->done(op->owner);
        op = next;
    }
}

static void op_init(
        struct op *op, struct link_streams *streams, void (*done)(void *owner), void *owner)
{
    *op = (struct op){ .streams = streams, .done = done, .owner = owner };
    int rv = nng_aio_alloc(&op->aio, queue_op, op);
    ASSERT(rv == 0); /* the only failure is memory */
}

static void op_begin(struct op *op)
{
    ASSERT(!op->is_busy);
    op->is_busy = true;
    op->streams->busy_ops++;
}

static void op_set_bytes(struct op *op, void *data, size_t len)
{
    nng_iov iov = { .iov_buf = data, .iov_len = len };
    int rv = nng_aio_set_iov(op->aio, 1, &iov);
    ASSERT(rv == 0);
}

static enum err err_of(int result)
{
    switch (result) {
    case 0: return ERR_OK;
    case NNG_ECONNSHUT:
    case NNG_ECLOSED: return ERR_CLOSED;
    case NNG_EADDRINUSE: return ERR_EXISTS;
    case NNG_EADDRINVAL:
    case NNG_EINVAL: return ERR_INVALID;
    case NNG_EPERM:
    case NNG_EPEERAUTH:
    case NNG_ECRYPTO: return ERR_DENIED;
    case NNG_ETIMEDOUT: return ERR_TIMEOUT;
    default: return ERR_UNAVAILABLE;
    }
}

struct link_streams *link_streams_create(struct loop *loop, const struct link_tls *tls)
{
    struct link_streams *streams = MEM_NEW(struct link_streams);
    pthread_condattr_t attributes;

    streams->loop = loop;
    streams->tls = tls;
    streams->tail = &streams->head;
    pthread_mutex_init(&streams->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&streams->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    streams->wake = loop_wake_create(loop, handle_queue, streams);
    return streams;
}

void link_streams_poll(struct link_streams *streams, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&streams->mutex);
    int rv = 0;
    while (!streams->head && rv == 0) {
        rv = pthread_cond_timedwait(&streams->cond, &streams->mutex, &until);
    }
    pthread_mutex_unlock(&streams->mutex);
    handle_queue(streams);
}

void link_streams_destroy(struct link_streams *streams)
{
    /* Everything is closed, so every operation ends by itself and soon. */
    streams->has_no_loop = true;
    while (streams->busy_ops > 0) {
        link_streams_poll(streams, 1000);
    }
    loop_wake_destroy(streams->wake);
    pthread_cond_destroy(&streams->cond);
    pthread_mutex_destroy(&streams->mutex);
    free(streams);
}

/* Freeing an aio waits until its callback has returned, freeing a dialer for its resolver: work for
 * the pool. */
static void free_later(struct link_streams *streams,
        void (*free_nng)(void *object),
        void (*free_memory)(void *object),
        void *object)
{
    if (streams->has_no_loop) {
        free_nng(object);
        free_memory(object);
    } else {
        loop_offload(streams->loop, free_nng, free_memory, object);
    }
}

/* ---- TLS */

static const char *text_of(const struct buf *pem)
{
    return buf_view(pem).ptr; /* loaded with a NUL behind it */
}

static int make_tls_config(
        const struct link_tls *tls, nng_tls_mode mode, const char *name, nng_tls_config **out)
{
    nng_tls_config *config;
    int rv = nng_tls_config_alloc(&config, mode);
    if (rv != 0) {
        return rv;
    }
    if ((rv = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED)) != 0
            || (rv = nng_tls_config_ca_chain(config, text_of(&tls->ca), NULL)) != 0
            || (rv = nng_tls_config_own_cert(config, text_of(&tls->cert), text_of(&tls->key), NULL))
                    != 0
            || (name && (rv = nng_tls_config_server_name(config, name)) != 0)) {
        nng_tls_config_free(config);
        return rv;
    }
    *out = config;
    return 0;
}

static bool is_tls(const char *address)
{
    return str_starts_with(str_from_cstr(address), STR("tls+tcp://"));
}

/* ---- streams */

static void free_stream_nng(void *object)
{
    struct link_stream *stream = object;
    nng_aio_free(stream->dial.aio);
    nng_aio_free(stream->receive.aio);
    nng_aio_free(stream->send.aio);
    if (stream->stream) {
        nng_stream_free(stream->stream);
    }
    if (stream->dialer) {
        nng_stream_dialer_free(stream->dialer);
    }
}

static void free_stream_memory(void *object)
{
    struct link_stream *stream = object;
    buf_fini(&stream->sending);
    free(stream->receive_data);
    free(stream);
}

static void free_when_idle(struct link_stream *stream)
{
    if (!stream->dial.is_busy && !stream->receive.is_busy && !stream->send.is_busy
            && !stream->is_delivering) {
        free_later(stream->streams, free_stream_nng, free_stream_memory, stream);
    }
}

static void begin_receive(struct link_stream *stream)
{
    if (stream->receive_bytes != stream->next_receive_bytes) {
        free(stream->receive_data);
        stream->receive_bytes = stream->next_receive_bytes;
        stream->receive_data = mem_alloc(stream->receive_bytes);
    }
    op_begin(&stream->receive);
    op_set_bytes(&stream->receive, stream->receive_data, stream->receive_bytes);
    nng_stream_recv(stream->stream, stream->receive.aio);
}

static void report_end(struct link_stream *stream, int result)
{
    stream->events->on_end(stream->context, err_of(result), nng_strerror(result));
}

static void on_received(void *owner)
{
    struct link_stream *stream = owner;
    struct op *op = &stream->receive;

    if (stream->is_closed) {
        free_when_idle(stream);
    } else if (op->result != 0) {
        report_end(stream, op->result);
    } else {
        stream->is_delivering = true;
        stream->events->on_bytes(stream->context, str_from(stream->receive_data, op->count));
        stream->is_delivering = false;
        if (stream->is_closed) {
            free_when_idle(stream);
        } else {
            begin_receive(stream);
        }
    }
}

static void begin_send(struct link_stream *stream)
{
    op_begin(&stream->send);
    op_set_bytes(&stream->send, stream->sending.data + stream->sending.start, stream->sending.len);
    nng_stream_send(stream->stream, stream->send.aio);
}

static void on_send_done(void *owner)
{
    struct link_stream *stream = owner;
    struct op *op = &stream->send;

    if (stream->is_closed) {
        free_when_idle(stream);
        return;
    }
    if (op->result != 0) {
        report_end(stream, op->result);
        return;
    }
    buf_consume(&stream->sending, op->count);
    if (stream->sending.len > 0) { /* NNG sends what the socket takes */
        begin_send(stream);
        return;
    }
    buf_clear(&stream->sending);
    if (stream->sending.capacity > KEEP_SEND_BYTES) {
        buf_fini(&stream->sending);
    }
    stream->events->on_sent(stream->context);
}

static void on_dialled(void *owner)
{
    struct link_stream *stream = owner;
    struct op *op = &stream->dial;

    if (op->result == 0) {
        stream->stream = nng_aio_get_output(op->aio, 0);
    }
    if (stream->is_closed) {
        if (stream->stream) {
            nng_stream_close(stream->stream);
        }
        free_when_idle(stream);
    } else if (op->result != 0) {
        report_end(stream, op->result);
    } else {
        begin_receive(stream);
        stream->events->on_open(stream->context);
    }
}

static struct link_stream *stream_create(struct link_streams *streams)
{
    struct link_stream *stream = MEM_NEW(struct link_stream);
    stream->streams = streams;
    stream->next_receive_bytes = FIRST_RECEIVE_BYTES;
    buf_init(&stream->sending, 0);
    op_init(&stream->dial, streams, on_dialled, stream);
    op_init(&stream->receive, streams, on_received, stream);
    op_init(&stream->send, streams, on_send_done, stream);
    return stream;
}

static int make_dialer(struct link_streams *streams,
        const char *address,
        const char *server_name,
        nng_stream_dialer **dialer_out)
{
    nng_stream_dialer *dialer;
    int rv = nng_stream_dialer_alloc(&dialer, address);
    if (rv != 0) {
        return rv;
    }
    if (is_tls(address)) {
        nng_tls_config *config;
        rv = make_tls_config(streams->tls, NNG_TLS_MODE_CLIENT, server_name, &config);
        if (rv == 0) {
            rv = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
            nng_tls_config_free(config);
        }
        if (rv != 0) {
            nng_stream_dialer_free(dialer);
            return rv;
        }
    }
    /* Small records follow each other: none waits for an acknowledgement of the one before. */
    (void)nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true);
    *dialer_out = dialer;
    return 0;
}

enum err link_stream_dial(struct link_streams *streams,
        const char *address,
        const char *server_name,
        const struct link_stream_events *events,
        void *context,
        struct link_stream **stream_out)
{
    nng_stream_dialer *dialer;
    int rv = make_dialer(streams, address, server_name, &dialer);
    if (rv != 0) {
        return err_of(rv);
    }
    struct link_stream *stream = stream_create(streams);
    stream->dialer = dialer;
    stream->events = events;
    stream->context = context;
    op_begin(&stream->dial);
    nng_stream_dialer_dial(dialer, stream->dial.aio);
    *stream_out = stream;
    return ERR_OK;
}

void link_stream_start(
        struct link_stream *stream, const struct link_stream_events *events, void *context)
{
    stream->events = events;
    stream->context = context;
    begin_receive(stream);
}

void link_stream_send(struct link_stream *stream, struct buf *bytes)
{
    ASSERT(!stream->send.is_busy && !stream->is_closed && bytes->len > 0);
    struct buf empty = stream->sending;
    stream->sending = *bytes;
    *bytes = empty;
    begin_send(stream);
}

bool link_stream_is_sending(const struct link_stream *stream)
{
    return stream->send.is_busy;
}

void link_stream_set_receive_bytes(struct link_stream *stream, size_t bytes)
{
    stream->next_receive_bytes = bytes;
}

void link_stream_close(struct link_stream *stream)
{
    ASSERT(!stream->is_closed);
    stream->is_closed = true;
    if (stream->dialer) {
        nng_stream_dialer_close(stream->dialer);
    }
    if (stream->stream) {
        nng_stream_close(stream->stream);
    }
    free_when_idle(stream);
}

/* ---- the listener */

static void free_listener_nng(void *object)
{
    struct link_listener *listener = object;
    nng_aio_free(listener->accept.aio);
    if (listener->listener) {
        nng_stream_listener_free(listener->listener);
    }
}

static void free_listener_memory(void *object)
{
    struct link_listener *listener = object;
    free(listener->address);
    free(listener);
}

static void begin_accept(struct link_listener *listener)
{
    op_begin(&listener->accept);
    nng_stream_listener_accept(listener->listener, listener->accept.aio);
}

static int start_listening(struct link_listener *listener)
{
    struct link_streams *streams = listener->streams;
    nng_stream_listener *nng_listener;
    int rv = nng_stream_listener_alloc(&nng_listener, listener->address);
    if (rv != 0) {
        return rv;
    }
    if (is_tls(listener->address)) {
        nng_tls_config *config;
        rv = make_tls_config(streams->tls, NNG_TLS_MODE_SERVER, NULL, &config);
        if (rv == 0) {
            rv = nng_stream_listener_set_ptr(nng_listener, NNG_OPT_TLS_CONFIG, config);
            nng_tls_config_free(config);
        }
    }
    (void)nng_stream_listener_set_bool(nng_listener, NNG_OPT_TCP_NODELAY, true);
    int port = 0;
    if (rv != 0 || (rv = nng_stream_listener_listen(nng_listener)) != 0
            || (rv = nng_stream_listener_get_int(nng_listener, NNG_OPT_TCP_BOUND_PORT, &port))
                    != 0) {
        nng_stream_listener_free(nng_listener);
        return rv;
    }
    listener->listener = nng_listener;
    listener->port = (uint16_t)port;
    return 0;
}

static void on_retry_accept(struct timer *timer, void *context)
{
    struct link_listener *listener = context;
    (void)timer;
    begin_accept(listener);
}

/* Whatever went wrong with one connection, or with our limits, the inbox goes on: after a failure
 * with a pause, so that running out of descriptors is not a busy loop. */
static void on_accepted(void *owner)
{
    struct link_listener *listener = owner;
    struct op *op = &listener->accept;
    nng_stream *accepted = op->result == 0 ? nng_aio_get_output(op->aio, 0) : NULL;

    if (listener->is_closed) {
        if (accepted) {
            nng_stream_close(accepted);
            nng_stream_free(accepted);
        }
        free_later(listener->streams, free_listener_nng, free_listener_memory, listener);
        return;
    }
    if (!accepted) {
        log_warn("link", "accept failed", log_cstr("why", nng_strerror(op->result)));
        timer_start(loop_timers(listener->streams->loop), &listener->retry, ACCEPT_RETRY_MS);
        return;
    }
    struct link_stream *stream = stream_create(listener->streams);
    stream->stream = accepted;
    begin_accept(listener);
    listener->on_accept(listener->context, stream);
}

enum err link_listener_open(struct link_streams *streams,
        const char *address,
        void (*on_accept)(void *context, struct link_stream *stream),
        void *context,
        struct link_listener **listener_out)
{
    struct link_listener *listener = MEM_NEW(struct link_listener);
    listener->streams = streams;
    listener->address = str_to_cstr(str_from_cstr(address));
    listener->on_accept = on_accept;
    listener->context = context;
    timer_init(&listener->retry, on_retry_accept, listener);

    int rv = start_listening(listener);
    if (rv != 0) {
        log_error("link",
                "cannot listen",
                log_cstr("address", address),
                log_cstr("why", nng_strerror(rv)));
        free_listener_memory(listener);
        return err_of(rv);
    }
    op_init(&listener->accept, streams, on_accepted, listener);
    begin_accept(listener);
    *listener_out = listener;
    return ERR_OK;
}

uint16_t link_listener_port(const struct link_listener *listener)
{
    return listener->port;
}

void link_listener_close(struct link_listener *listener)
{
    listener->is_closed = true;
    timer_stop(&listener->retry);
    nng_stream_listener_close(listener->listener);
    if (!listener->accept.is_busy) {
        free_later(listener->streams, free_listener_nng, free_listener_memory, listener);
    }
}

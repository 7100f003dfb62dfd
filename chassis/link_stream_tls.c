/* tls+tcp:// over NNG's nng_stream (mbedTLS: TLS 1.2), behind events on the loop thread.
 *
 * NNG completes operations on threads of its own. Such a completion only moves a struct into a
 * queue and wakes the loop. Freeing NNG objects may wait for one of its threads, so that is done on
 * the thread pool, and only when no operation is under way. No NNG time-outs: each costs it most of
 * a millisecond of CPU. */
#include <pthread.h>
#include <time.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "chassis/base/mem.h"
#include "chassis/link_stream_ops.h"
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
    struct tls_streams *streams;
    nng_aio *aio;
    void (*done)(void *owner);
    void *owner;
    struct op *next;
    int result;
    size_t count;
    bool is_busy;
};

struct tls_streams {
    struct loop *loop;
    struct loop_wake *wake;
    const struct link_tls *tls;
    size_t busy_ops;  /* loop thread */
    bool has_no_loop; /* being destroyed: free at once instead of on the pool */
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* for tls_streams_poll */
    struct op *head, **tail;
};

struct tls_stream {
    struct link_stream base; /* first */
    struct tls_streams *streams;
    nng_stream_dialer *dialer; /* dialled streams only */
    nng_stream *stream;
    struct op dial, receive, send;
    struct buf sending;
    char *receive_data;
    size_t receive_bytes, next_receive_bytes;
    bool is_closed;
    bool is_delivering; /* inside on_bytes, which may close */
};

struct tls_listener {
    struct link_listener base; /* first */
    struct tls_streams *streams;
    char *address;
    nng_stream_listener *listener;
    struct op accept;
    struct timer retry;
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
    struct tls_streams *streams = op->streams;
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
    struct tls_streams *streams = context;

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
        struct op *op, struct tls_streams *streams, void (*done)(void *owner), void *owner)
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

struct tls_streams *tls_streams_create(struct loop *loop, const struct link_tls *tls)
{
    struct tls_streams *streams = MEM_NEW(struct tls_streams);
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

void tls_streams_poll(struct tls_streams *streams, int timeout_ms)
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

void tls_streams_destroy(struct tls_streams *streams)
{
    /* Everything is closed, so every operation ends by itself and soon. */
    streams->has_no_loop = true;
    while (streams->busy_ops > 0) {
        tls_streams_poll(streams, 1000);
    }
    loop_wake_destroy(streams->wake);
    pthread_cond_destroy(&streams->cond);
    pthread_mutex_destroy(&streams->mutex);
    free(streams);
}

/* Freeing an aio waits until its callback has returned, freeing a dialer for its resolver: work for
 * the pool. */
static void free_later(struct tls_streams *streams,
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

/* ---- streams */

static void free_stream_nng(void *object)
{
    struct tls_stream *stream = object;
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
    struct tls_stream *stream = object;
    buf_fini(&stream->sending);
    free(stream->receive_data);
    free(stream);
}

static void free_when_idle(struct tls_stream *stream)
{
    if (!stream->dial.is_busy && !stream->receive.is_busy && !stream->send.is_busy
            && !stream->is_delivering) {
        free_later(stream->streams, free_stream_nng, free_stream_memory, stream);
    }
}

static void begin_receive(struct tls_stream *stream)
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

static void report_end(struct tls_stream *stream, int result)
{
    stream->base.events->on_end(stream->base.context, err_of(result), nng_strerror(result));
}

static void on_received(void *owner)
{
    struct tls_stream *stream = owner;
    struct op *op = &stream->receive;

    if (stream->is_closed) {
        free_when_idle(stream);
    } else if (op->result != 0) {
        report_end(stream, op->result);
    } else {
        stream->is_delivering = true;
        stream->base.events->on_bytes(
                stream->base.context, str_from(stream->receive_data, op->count));
        stream->is_delivering = false;
        if (stream->is_closed) {
            free_when_idle(stream);
        } else {
            begin_receive(stream);
        }
    }
}

static void begin_send(struct tls_stream *stream)
{
    op_begin(&stream->send);
    op_set_bytes(&stream->send, stream->sending.data + stream->sending.start, stream->sending.len);
    nng_stream_send(stream->stream, stream->send.aio);
}

static void on_send_done(void *owner)
{
    struct tls_stream *stream = owner;
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
    stream->base.is_sending = false;
    stream->base.events->on_sent(stream->base.context);
}

static void on_dialled(void *owner)
{
    struct tls_stream *stream = owner;
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
        stream->base.events->on_open(stream->base.context);
    }
}

static const struct link_stream_ops stream_ops;

static struct tls_stream *stream_create(struct tls_streams *streams)
{
    struct tls_stream *stream = MEM_NEW(struct tls_stream);
    stream->base.ops = &stream_ops;
    stream->streams = streams;
    stream->next_receive_bytes = FIRST_RECEIVE_BYTES;
    buf_init(&stream->sending, 0);
    op_init(&stream->dial, streams, on_dialled, stream);
    op_init(&stream->receive, streams, on_received, stream);
    op_init(&stream->send, streams, on_send_done, stream);
    return stream;
}

static int make_dialer(struct tls_streams *streams,
        const char *address,
        const char *server_name,
        nng_stream_dialer **dialer_out)
{
    nng_stream_dialer *dialer;
    int rv = nng_stream_dialer_alloc(&dialer, address);
    if (rv != 0) {
        return rv;
    }
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
    /* Small records follow each other: none waits for an acknowledgement of the one before. */
    (void)nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true);
    *dialer_out = dialer;
    return 0;
}

enum err tls_stream_dial(struct tls_streams *streams,
        const char *address,
        const char *server_name,
        struct link_stream **stream_out)
{
    nng_stream_dialer *dialer;
    int rv = make_dialer(streams, address, server_name, &dialer);
    if (rv != 0) {
        return err_of(rv);
    }
    struct tls_stream *stream = stream_create(streams);
    stream->dialer = dialer;
    op_begin(&stream->dial);
    nng_stream_dialer_dial(dialer, stream->dial.aio);
    *stream_out = &stream->base;
    return ERR_OK;
}

static void start(struct link_stream *base)
{
    begin_receive((struct tls_stream *)base);
}

static void send_bytes(struct link_stream *base, struct buf *bytes)
{
    struct tls_stream *stream = (struct tls_stream *)base;
    struct buf empty = stream->sending;
    stream->sending = *bytes;
    *bytes = empty;
    begin_send(stream);
}

static void set_receive_bytes(struct link_stream *base, size_t bytes)
{
    ((struct tls_stream *)base)->next_receive_bytes = bytes;
}

static void close_stream(struct link_stream *base)
{
    struct tls_stream *stream = (struct tls_stream *)base;
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

static const struct link_stream_ops stream_ops = {
    .start = start,
    .send = send_bytes,
    .set_receive_bytes = set_receive_bytes,
    .close = close_stream,
};

/* ---- the listener */

static void free_listener_nng(void *object)
{
    struct tls_listener *listener = object;
    nng_aio_free(listener->accept.aio);
    if (listener->listener) {
        nng_stream_listener_free(listener->listener);
    }
}

static void free_listener_memory(void *object)
{
    struct tls_listener *listener = object;
    free(listener->address);
    free(listener);
}

static void begin_accept(struct tls_listener *listener)
{
    op_begin(&listener->accept);
    nng_stream_listener_accept(listener->listener, listener->accept.aio);
}

static int start_listening(struct tls_listener *listener)
{
    struct tls_streams *streams = listener->streams;
    nng_stream_listener *nng_listener;
    int rv = nng_stream_listener_alloc(&nng_listener, listener->address);
    if (rv != 0) {
        return rv;
    }
    nng_tls_config *config;
    rv = make_tls_config(streams->tls, NNG_TLS_MODE_SERVER, NULL, &config);
    if (rv == 0) {
        rv = nng_stream_listener_set_ptr(nng_listener, NNG_OPT_TLS_CONFIG, config);
        nng_tls_config_free(config);
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
    listener->base.port = (uint16_t)port;
    return 0;
}

static void on_retry_accept(struct timer *timer, void *context)
{
    struct tls_listener *listener = context;
    (void)timer;
    begin_accept(listener);
}

/* Whatever went wrong with one connection, or with our limits, the inbox goes on: after a failure
 * with a pause, so that running out of descriptors is not a busy loop. */
static void on_accepted(void *owner)
{
    struct tls_listener *listener = owner;
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
    struct tls_stream *stream = stream_create(listener->streams);
    stream->stream = accepted;
    begin_accept(listener);
    listener->base.on_accept(listener->base.context, &stream->base);
}

static void close_listener(struct link_listener *base)
{
    struct tls_listener *listener = (struct tls_listener *)base;
    listener->is_closed = true;
    timer_stop(&listener->retry);
    nng_stream_listener_close(listener->listener);
    if (!listener->accept.is_busy) {
        free_later(listener->streams, free_listener_nng, free_listener_memory, listener);
    }
}

enum err tls_listener_open(
        struct tls_streams *streams, const char *address, struct link_listener **listener_out)
{
    struct tls_listener *listener = MEM_NEW(struct tls_listener);
    listener->base.close = close_listener;
    listener->streams = streams;
    listener->address = str_to_cstr(str_from_cstr(address));
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
    *listener_out = &listener->base;
    return ERR_OK;
}

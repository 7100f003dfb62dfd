/* The connection's state machine: queue, watch, TLS begin and end. Handlers are called from the
 * loop only (a watch, a timer, a deferred task), never from inside a call of the owner. */
#include "edge/transport.h"

#include <unistd.h>

#include "chassis/base/buf.h"
#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "edge/ack_track.h"
#include "edge/tls_context.h"
#include "edge/transport_io.h"

enum {
    DEFAULT_MAX_WRITE_BYTES = 1 << 20,
    DEFAULT_READ_BYTES = 64 * 1024,
    DRAIN_BYTES = 64 * 1024, /* swallowed behind our end, so that the kernel sends no RST over it */
};

enum transport_state {
    STATE_HANDSHAKE, /* TLS, not yet done */
    STATE_OPEN,
    STATE_FINISHING, /* flushing the queue, then close_notify */
    STATE_DRAINING,  /* our direction is shut, waiting for the other's end */
    STATE_ENDED,     /* on_end was called or is due */
    STATE_DEAD,      /* destroyed inside a handler: freed when that returns */
};

struct transport {
    struct loop *loop;
    struct loop_watch *watch;
    struct tls_session *tls;
    struct tls_context *tls_wanted; /* transport_start_tls: begins when the queue is empty */
    const struct transport_handlers *handlers;
    void *context;
    struct buf queue; /* to be written */
    struct buf held;  /* read, not yet taken by on_data */
    size_t max_write_bytes;
    size_t read_bytes_per_turn;
    uint64_t written_total;
    uint64_t tcp_bytes; /* plain bytes to the socket, before TLS */
    struct ack_track track;
    struct timer timer; /* open: bytes wait inside TLS; finishing: the time is up */
    struct loop_task flush_task;
    struct loop_task offer_task; /* held bytes again after a resume, or the end */
    struct transport *next_finishing;
    struct transport **previous_finishing;
    int fd;
    unsigned busy; /* depth of our own code on the stack that may call handlers */
    enum transport_state state;
    enum transport_end end;
    bool is_paused;
    bool is_watch_lazy; /* paused, watched until it sends: most do not */
    bool is_end_due;
    bool is_write_blocked;
    bool read_wants_write;
    bool is_room_wanted;
};

/* Those whose owner is gone: `transport_abandon_finishing` must find them. */
static struct transport *finishing;

/* One connection reads at a time, so one buffer serves all. */
static char read_buffer[IO_MAX_RECORD_BYTES];

/* ---- life */

static void release(struct transport *transport)
{
    if (transport->watch == NULL) {
        return;
    }
    loop_watch_destroy(transport->watch);
    transport->watch = NULL;
    tls_session_destroy(transport->tls);
    transport->tls = NULL;
    tls_context_unref(transport->tls_wanted);
    transport->tls_wanted = NULL;
    close(transport->fd);
    timer_stop(&transport->timer);
    loop_task_cancel(transport->loop, &transport->flush_task);
    loop_task_cancel(transport->loop, &transport->offer_task);
    buf_fini(&transport->queue);
    if (transport->previous_finishing != NULL) {
        *transport->previous_finishing = transport->next_finishing;
        if (transport->next_finishing != NULL) {
            transport->next_finishing->previous_finishing = transport->previous_finishing;
        }
    }
}

static void enter(struct transport *transport)
{
    transport->busy++;
}

/* The last line of every function that called `enter`: the transport may be gone behind it. */
static void leave(struct transport *transport)
{
    transport->busy--;
    if (transport->busy == 0 && transport->state == STATE_DEAD) {
        buf_fini(&transport->held); /* not before: on_data may be reading them */
        free(transport);
    }
}

/* The other side closed its direction only, as far as we know. */
static bool is_half_open(const struct transport *transport)
{
    return transport->state == STATE_ENDED && transport->end == TRANSPORT_CLOSED;
}

void transport_destroy(struct transport *transport)
{
    if (transport == NULL) {
        return;
    }
    enter(transport);
    if (is_half_open(transport) && transport->tls != NULL && transport->queue.len == 0) {
        (void)tls_session_close(transport->tls); /* answers close_notify, RFC 8446 §6.1 */
    }
    release(transport);
    transport->state = STATE_DEAD;
    leave(transport);
}

/* ---- watching */

static bool may_read(const struct transport *transport)
{
    switch (transport->state) {
    case STATE_HANDSHAKE: return !transport->is_write_blocked;
    case STATE_OPEN:
        /* With bytes held nothing new is read: the watch would fire again and again. */
        return (!transport->is_paused || transport->is_watch_lazy) && transport->tls_wanted == NULL
                && transport->held.len == 0;
    case STATE_DRAINING: return true;
    case STATE_FINISHING:
    case STATE_ENDED:
    case STATE_DEAD: return false;
    }
    return false;
}

static void update_watch(struct transport *transport)
{
    if (transport->watch == NULL) {
        return;
    }
    unsigned events = may_read(transport) ? LOOP_READABLE : 0;
    bool is_over = transport->state == STATE_ENDED || transport->state == STATE_DRAINING;
    if (!is_over && (transport->is_write_blocked || transport->read_wants_write)) {
        events |= LOOP_WRITABLE;
    }
    loop_watch_set(transport->watch, events);
}

/* ---- the end */

static void end_at_once(struct transport *transport, enum transport_end end);

/* From inside a call of the owner: on_end follows from the loop. */
static void end_later(struct transport *transport, enum transport_end end)
{
    if (transport->state == STATE_FINISHING || transport->state == STATE_DRAINING) {
        transport_destroy(transport);
        return;
    }
    if (transport->state == STATE_ENDED || transport->state == STATE_DEAD) {
        return;
    }
    transport->state = STATE_ENDED;
    transport->end = end;
    transport->is_end_due = true;
    update_watch(transport);
    loop_defer(transport->loop, LOOP_PHASE_WORK, &transport->offer_task);
}

/* An alert is on its way: unread bytes would make close() send RST, which may overtake it. */
static void protect_alert(const struct transport *transport)
{
    tcp_shutdown_write(transport->fd);
    (void)tcp_drain(transport->fd, DRAIN_BYTES);
}

static void report_end(struct transport *transport)
{
    if (!transport->is_end_due) {
        return;
    }
    transport->is_end_due = false;
    if (transport->end == TRANSPORT_TLS_FAILED) {
        protect_alert(transport);
    }
    transport->handlers->on_end(transport->context, transport->end);
}

static void end_at_once(struct transport *transport, enum transport_end end)
{
    enter(transport);
    end_later(transport, end);
    if (transport->state == STATE_ENDED) {
        report_end(transport);
    }
    leave(transport);
}

static enum transport_end end_of(enum io io)
{
    switch (io) {
    case IO_CLOSED: return TRANSPORT_CLOSED;
    case IO_FAILED: return TRANSPORT_TLS_FAILED;
    case IO_FLOOD: return TRANSPORT_FLOOD;
    case IO_DONE:
    case IO_WANT_READ:
    case IO_WANT_WRITE:
    case IO_RESET: break;
    }
    return TRANSPORT_RESET;
}

/* ---- writing */

static uint64_t raw_written(const struct transport *transport)
{
    return transport->tcp_bytes
            + (transport->tls != NULL ? tls_session_written_bytes(transport->tls) : 0);
}

static enum io write_some(struct transport *transport)
{
    size_t len = 0;
    struct str data = buf_view(&transport->queue);
    enum io io = transport->tls != NULL ? tls_session_write(transport->tls, data, &len)
                                        : tcp_write(transport->fd, data, &len);
    if (io == IO_DONE) {
        transport->tcp_bytes += transport->tls != NULL ? 0 : len;
        buf_consume(&transport->queue, len);
    }
    return io;
}

/* Calls no handler. False: the connection failed, and the end is due. */
static bool flush_queue(struct transport *transport)
{
    size_t before = transport->queue.len;
    enum io io = IO_DONE;
    while (io == IO_DONE && transport->queue.len > 0) {
        io = write_some(transport);
    }
    /* WANT_READ cannot be: without renegotiation a write never waits for the other side. */
    transport->is_write_blocked = io == IO_WANT_WRITE || io == IO_WANT_READ;
    if (transport->queue.len < before) {
        ack_track_push(&transport->track,
                transport->written_total - transport->queue.len,
                raw_written(transport));
    }
    buf_shrink(&transport->queue);
    return io == IO_DONE || transport->is_write_blocked;
}

static bool may_write(const struct transport *transport)
{
    return transport->state == STATE_OPEN || transport->state == STATE_FINISHING;
}

static void check_starttls(struct transport *transport);
static void start_pending_tls(struct transport *transport);
static void close_orderly(struct transport *transport);

static void after_flush(struct transport *transport)
{
    if (transport->is_room_wanted && transport->state == STATE_OPEN
            && transport->queue.len < transport->max_write_bytes / 2) {
        transport->is_room_wanted = false;
        transport->handlers->on_room(transport->context);
    }
    if (transport->queue.len > 0) {
        return;
    }
    check_starttls(transport);
    if (transport->state == STATE_FINISHING) {
        close_orderly(transport);
    } else if (transport->state == STATE_OPEN && transport->tls_wanted != NULL) {
        start_pending_tls(transport);
    }
}

static void flush(struct transport *transport)
{
    enter(transport);
    if (may_write(transport)) {
        if (flush_queue(transport)) {
            after_flush(transport);
            update_watch(transport);
        } else {
            end_at_once(transport, TRANSPORT_RESET);
        }
    }
    leave(transport);
}

static void on_flush_task(void *context)
{
    flush(context);
}

/* A burst larger than the ceiling is fine as long as the client's socket takes it. */
static void make_room(struct transport *transport, size_t len)
{
    if (transport->queue.len + len > transport->max_write_bytes && !transport->is_write_blocked
            && may_write(transport) && !flush_queue(transport)) {
        end_later(transport, TRANSPORT_RESET);
    }
}

void transport_write(struct transport *transport, struct str data)
{
    if (transport->state != STATE_OPEN && transport->state != STATE_HANDSHAKE
            && !is_half_open(transport)) {
        return;
    }
    make_room(transport, data.len);
    if (transport->queue.len > 0 && transport->queue.len + data.len > transport->max_write_bytes) {
        end_later(transport, TRANSPORT_OVERFLOW);
        return;
    }
    buf_append_str(&transport->queue, data);
    transport->written_total += data.len;
    transport->is_room_wanted |= transport->handlers->on_room != NULL
            && transport->queue.len >= transport->max_write_bytes / 2;
    if (!transport->is_write_blocked) {
        loop_defer(transport->loop, LOOP_PHASE_SEND, &transport->flush_task);
    }
}

/* ---- reading */

static bool may_offer(const struct transport *transport)
{
    return transport->state == STATE_OPEN && !transport->is_paused && transport->tls_wanted == NULL;
}

/* B01: bytes behind <starttls/> in plain text. Known only when on_data has said what it took. */
static void check_starttls(struct transport *transport)
{
    if (transport->state == STATE_OPEN && transport->tls_wanted != NULL
            && transport->held.len > 0) {
        end_at_once(transport, TRANSPORT_TLS_FAILED);
    }
}

static void offer_fresh(struct transport *transport, struct str data)
{
    size_t taken = transport->handlers->on_data(transport->context, data);
    if (transport->watch == NULL) {
        return; /* destroyed inside */
    }
    ASSERT(taken <= data.len);
    buf_append(&transport->held, data.ptr + taken, data.len - taken);
    check_starttls(transport);
}

static void offer_held(struct transport *transport)
{
    while (may_offer(transport) && transport->held.len > 0) {
        size_t taken = transport->handlers->on_data(transport->context, buf_view(&transport->held));
        if (transport->state != STATE_OPEN) {
            return; /* ended inside */
        }
        ASSERT(taken <= transport->held.len);
        buf_consume(&transport->held, taken);
        check_starttls(transport);
        if (taken == 0) {
            return;
        }
    }
    buf_shrink(&transport->held);
}

static enum io read_once(struct transport *transport, size_t *len_out)
{
    if (transport->tls != NULL) {
        return tls_session_read(transport->tls,
                read_buffer,
                sizeof(read_buffer),
                loop_now_ms(transport->loop),
                len_out);
    }
    return tcp_read(transport->fd, read_buffer, sizeof(read_buffer), len_out);
}

/* What OpenSSL holds is read on; what the socket still has wakes the loop again, which is cheaper
 * than asking each time to be told that there is nothing. */
static bool may_read_more(const struct transport *transport, size_t done, size_t last)
{
    bool is_more_likely = done == 0
            || (transport->tls != NULL ? tls_session_has_pending(transport->tls)
                                       : last == sizeof(read_buffer));
    return is_more_likely && may_offer(transport) && transport->held.len == 0
            && done < transport->read_bytes_per_turn;
}

/* Bytes that OpenSSL has read ahead do not wake the loop: a timer does, in the next turn. */
static void continue_next_turn(struct transport *transport)
{
    if (may_offer(transport) && transport->tls != NULL && tls_session_has_pending(transport->tls)) {
        timer_start(loop_timers(transport->loop), &transport->timer, 0);
    }
}

/* A31: a client that only closed its direction gets the answers to what it sent before. */
static void end_reading(struct transport *transport, enum io io)
{
    if (io == IO_CLOSED) {
        (void)flush_queue(transport);
    }
    end_at_once(transport, end_of(io));
}

static void read_turn(struct transport *transport)
{
    size_t done = 0;
    size_t len = 0;
    enum io io = IO_DONE;
    while (io == IO_DONE && may_read_more(transport, done, len)) {
        io = read_once(transport, &len);
        if (io == IO_DONE) {
            done += len;
            offer_fresh(transport, str_from(read_buffer, len));
        }
    }
    if (transport->state != STATE_OPEN) {
        return;
    }
    transport->read_wants_write = io == IO_WANT_WRITE;
    if (io == IO_DONE) {
        continue_next_turn(transport);
    } else if (io != IO_WANT_READ && io != IO_WANT_WRITE) {
        end_reading(transport, io);
    }
}

/* ---- TLS */

static void do_handshake(struct transport *transport)
{
    enum io io = tls_session_handshake(transport->tls, loop_now_ms(transport->loop));
    transport->is_write_blocked = io == IO_WANT_WRITE;
    if (io == IO_WANT_READ || io == IO_WANT_WRITE) {
        return;
    }
    if (io != IO_DONE) {
        end_at_once(transport, end_of(io));
        return;
    }
    transport->state = STATE_OPEN;
    if (transport->queue.len > 0) {
        loop_defer(transport->loop, LOOP_PHASE_SEND, &transport->flush_task);
    }
    transport->handlers->on_secured(transport->context);
    if (transport->state == STATE_OPEN) {
        read_turn(transport); /* may have come with the last flight */
    }
}

static void begin_tls(struct transport *transport, struct tls_context *tls)
{
    transport->tls = tls_session_create(tls, transport->fd);
    transport->state = STATE_HANDSHAKE;
}

static void start_pending_tls(struct transport *transport)
{
    begin_tls(transport, transport->tls_wanted);
    tls_context_unref(transport->tls_wanted);
    transport->tls_wanted = NULL;
}

enum err transport_start_tls(struct transport *transport, struct tls_context *tls)
{
    ASSERT(transport->tls == NULL && transport->tls_wanted == NULL);
    if (transport->state != STATE_OPEN) {
        return ERR_CLOSED;
    }
    if (transport->held.len > 0 && transport->busy == 0) {
        return ERR_PROTOCOL;
    }
    transport->tls_wanted = tls_context_ref(tls);
    update_watch(transport);
    loop_defer(transport->loop, LOOP_PHASE_SEND, &transport->flush_task);
    return ERR_OK;
}

/* ---- an orderly end */

static void close_orderly(struct transport *transport)
{
    /* close_notify, when the socket is full, is not worth waiting for: the FIN says it too. */
    if (transport->tls != NULL) {
        (void)tls_session_close(transport->tls);
    }
    tcp_shutdown_write(transport->fd);
    transport->state = STATE_DRAINING;
    update_watch(transport);
}

static void drain(struct transport *transport)
{
    if (tcp_drain(transport->fd, DRAIN_BYTES) != IO_WANT_READ) {
        transport_destroy(transport);
    }
}

static void list_finishing(struct transport *transport)
{
    transport->next_finishing = finishing;
    transport->previous_finishing = &finishing;
    if (finishing != NULL) {
        finishing->previous_finishing = &transport->next_finishing;
    }
    finishing = transport;
}

void transport_finish(struct transport *transport, int64_t timeout_ms)
{
    if (transport->state != STATE_OPEN && !is_half_open(transport)) {
        transport_destroy(transport); /* nothing can be flushed in a handshake, or it is over */
        return;
    }
    transport->state = STATE_FINISHING;
    transport->is_paused = true;
    list_finishing(transport);
    timer_start(loop_timers(transport->loop), &transport->timer, timeout_ms);
    loop_defer(transport->loop, LOOP_PHASE_SEND, &transport->flush_task);
    update_watch(transport);
}

void transport_abandon_finishing(struct loop *loop)
{
    struct transport *next = NULL;
    for (struct transport *at = finishing; at != NULL; at = next) {
        next = at->next_finishing;
        if (at->loop == loop) {
            transport_destroy(at);
        }
    }
}

/* ---- events */

static void on_events(void *context, unsigned events)
{
    struct transport *transport = context;
    enter(transport);
    bool is_writable = (events & LOOP_WRITABLE) != 0;
    if (transport->state == STATE_HANDSHAKE) {
        do_handshake(transport);
    } else if (transport->state == STATE_DRAINING) {
        drain(transport);
    } else {
        if (is_writable && transport->is_write_blocked) {
            flush(transport);
        }
        bool is_readable =
                (events & LOOP_READABLE) != 0 || (is_writable && transport->read_wants_write);
        if (transport->state == STATE_OPEN && is_readable) {
            transport->is_watch_lazy = false;
            read_turn(transport);
        }
    }
    update_watch(transport);
    leave(transport);
}

static void on_timer(struct timer *timer, void *context)
{
    (void)timer;
    struct transport *transport = context;
    enter(transport);
    if (transport->state == STATE_OPEN) {
        read_turn(transport);
        update_watch(transport);
    } else {
        transport_destroy(transport); /* finishing took too long */
    }
    leave(transport);
}

static void on_offer_task(void *context)
{
    struct transport *transport = context;
    enter(transport);
    if (transport->state == STATE_ENDED) {
        report_end(transport);
    } else {
        offer_held(transport);
        continue_next_turn(transport);
        update_watch(transport);
    }
    leave(transport);
}

/* ---- the owner's calls */

struct transport *transport_create(struct loop *loop,
        int fd,
        struct tls_context *tls,
        const struct transport_options *options,
        const struct transport_handlers *handlers,
        void *context)
{
    struct transport *transport = MEM_NEW(struct transport);
    size_t max_write = options->max_write_bytes;
    size_t read_bytes = options->read_bytes_per_turn;
    transport->loop = loop;
    transport->fd = fd;
    transport->handlers = handlers;
    transport->context = context;
    transport->max_write_bytes = max_write > 0 ? max_write : DEFAULT_MAX_WRITE_BYTES;
    transport->read_bytes_per_turn = read_bytes > 0 ? read_bytes : DEFAULT_READ_BYTES;
    transport->state = STATE_OPEN;
    transport->flush_task = (struct loop_task){ .run = on_flush_task, .context = transport };
    transport->offer_task = (struct loop_task){ .run = on_offer_task, .context = transport };
    buf_init(&transport->queue, 0);
    buf_init(&transport->held, 0);
    timer_init(&transport->timer, on_timer, transport);
    transport->watch = loop_watch_create(loop, fd, on_events, transport);
    if (tls != NULL) {
        begin_tls(transport, tls);
    }
    update_watch(transport);
    return transport;
}

void transport_pause(struct transport *transport)
{
    transport->is_watch_lazy = !transport->is_paused && may_read(transport);
    transport->is_paused = true;
    update_watch(transport);
}

void transport_resume(struct transport *transport)
{
    if (transport->state == STATE_FINISHING || transport->state == STATE_DRAINING) {
        return;
    }
    transport->is_paused = false;
    transport->is_watch_lazy = false;
    /* From the loop, so that on_data is never inside a call of the owner. */
    loop_defer(transport->loop, LOOP_PHASE_WORK, &transport->offer_task);
}

uint64_t transport_written_total(const struct transport *transport)
{
    return transport->written_total;
}

uint64_t transport_acknowledged_total(struct transport *transport)
{
    if (transport->watch != NULL && !ack_track_is_settled(&transport->track)) {
        uint64_t raw = raw_written(transport);
        uint64_t waiting = tcp_unacknowledged(transport->fd);
        ack_track_settle(&transport->track, raw > waiting ? raw - waiting : 0);
    }
    return transport->track.acknowledged;
}

size_t transport_waiting_bytes(const struct transport *transport)
{
    return transport->queue.len;
}

void transport_get_info(const struct transport *transport, struct transport_info *info_out)
{
    if (transport->tls != NULL) {
        tls_session_get_info(transport->tls, info_out);
        return;
    }
    *info_out = (struct transport_info){
        .tls_version = "",
        .cipher = "",
        .group = "",
        .certificate = "",
        .sni = "",
        .alpn = "",
    };
}

enum err transport_channel_binding(
        struct transport *transport, enum channel_binding type, uint8_t out[64], size_t *len_out)
{
    return transport->tls != NULL ? tls_session_channel_binding(transport->tls, type, out, len_out)
                                  : ERR_UNSUPPORTED;
}

/* One connection of the bus: bytes to frames and back, pings, and its end. */
#include <utlist.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/link_internal.h"
#include "chassis/log.h"

static const struct link_stream_events stream_events;

/* ---- beginning */

static void reap(void *context)
{
    link_conn_destroy(context);
}

static void flush(void *context)
{
    link_conn_flush(context);
}

static void on_tick(struct timer *timer, void *context);
static void on_ack_due(struct timer *timer, void *context);

static struct link_conn *conn_create(struct link *link)
{
    struct link_conn *conn = MEM_NEW(struct link_conn);
    conn->link = link;
    buf_init(&conn->in, 0);
    buf_init(&conn->out, 0);
    arena_init(&conn->memory, 512);
    conn->flush_task = (struct loop_task){ .run = flush, .context = conn };
    conn->reap_task = (struct loop_task){ .run = reap, .context = conn };
    timer_init(&conn->timer, on_tick, conn);
    timer_init(&conn->ack_timer, on_ack_due, conn);
    timer_start(loop_timers(link->loop), &conn->timer, link->options.handshake_timeout_ms);
    DL_APPEND(link->conns, conn);
    return conn;
}

struct link_conn *link_conn_dial(struct link_peer *peer)
{
    struct link *link = peer->link;
    struct link_conn *conn = conn_create(link);
    conn->is_dialer = true;
    conn->state = LINK_CONN_CONNECTING;
    enum err err = link_stream_dial(
            link->streams, peer->address, peer->node, &stream_events, conn, &conn->stream);
    if (err != ERR_OK) {
        log_warn("link",
                "cannot dial",
                log_cstr("peer", peer->node),
                log_cstr("err", err_name(err)));
        link_conn_close(conn, "cannot dial");
        return NULL;
    }
    conn->peer = peer;
    return conn;
}

static bool is_unproven(const struct link_conn *conn)
{
    return !conn->is_dialer && (conn->state < LINK_CONN_READY || conn->state == LINK_CONN_ENDING);
}

/* Whoever fills the inbox with connections that say nothing loses them again, the oldest first: an
 * honest handshake takes milliseconds, so it is never the oldest of so many. */
static void make_room(struct link *link)
{
    if (link->unproven_count < LINK_UNPROVEN_MAX) {
        return;
    }
    struct link_conn *conn;
    DL_FOREACH(link->conns, conn)
    {
        if (is_unproven(conn)) {
            metric_add(&link_metric_rejected, 1);
            link_conn_close(conn, "too many connections without authentication");
            return;
        }
    }
}

void link_conn_accept(void *context, struct link_stream *stream)
{
    struct link *link = context;
    if (link->is_closing) {
        link_stream_close(stream);
        return;
    }
    make_room(link);
    struct link_conn *conn = conn_create(link);
    conn->state = LINK_CONN_WAIT_HELLO;
    conn->stream = stream;
    link->unproven_count++;
    link_stream_start(stream, &stream_events, conn);
}

void link_conn_set_ready(struct link_conn *conn)
{
    if (is_unproven(conn)) {
        conn->link->unproven_count--;
    }
    conn->state = LINK_CONN_READY;
    link_stream_set_receive_bytes(conn->stream, LINK_READY_RECEIVE_BYTES);
    timer_start(loop_timers(conn->link->loop), &conn->timer, conn->link->options.ping_interval_ms);
}

/* ---- the end */

void link_conn_close(struct link_conn *conn, const char *why)
{
    if (conn->state == LINK_CONN_CLOSED) {
        return;
    }
    log_debug("link",
            "connection closed",
            log_cstr("peer", conn->peer ? conn->peer->node : ""),
            log_cstr("dir", conn->is_dialer ? "out" : "in"),
            log_cstr("why", why));
    if (is_unproven(conn)) {
        conn->link->unproven_count--;
    }
    conn->state = LINK_CONN_CLOSED;
    timer_stop(&conn->timer);
    timer_stop(&conn->ack_timer);
    if (conn->stream) {
        link_stream_close(conn->stream);
        conn->stream = NULL;
    }
    if (!conn->link->is_closing) {
        loop_defer(conn->link->loop, LOOP_PHASE_REAP, &conn->reap_task);
    }
    struct link_peer *peer = conn->peer;
    conn->peer = NULL;
    if (peer) {
        link_peer_on_closed(peer, conn);
    }
}

void link_conn_destroy(struct link_conn *conn)
{
    link_conn_close(conn, "link closed");
    loop_task_cancel(conn->link->loop, &conn->flush_task);
    loop_task_cancel(conn->link->loop, &conn->reap_task);
    DL_DELETE(conn->link->conns, conn);
    buf_fini(&conn->in);
    buf_fini(&conn->out);
    arena_fini(&conn->memory);
    secret_wipe(conn->edge_secret, sizeof(conn->edge_secret));
    free(conn);
}

void link_conn_refuse(struct link_conn *conn, enum link_error code, const char *why)
{
    struct link_frame frame = { .type = LINK_FRAME_ERROR };
    frame.error.code = code;
    frame.error.text = str_from_cstr(why);
    /* Strangers must not be able to fill the log: those without a name are only counted. */
    log_at(str_is_empty(conn->theirs.node) ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
            "link",
            "connection refused by us",
            log_str("peer", conn->theirs.node),
            log_cstr("dir", conn->is_dialer ? "out" : "in"),
            log_cstr("why", why));
    metric_add(&link_metric_rejected, 1);
    conn->was_refused = true;
    bool was_ready = conn->state == LINK_CONN_READY;
    if (was_ready) { /* the peer object must not wait until the frame has left */
        link_conn_close(conn, why);
        return;
    }
    conn->state = LINK_CONN_ENDING; /* the handshake's timer goes on and ends it in any case */
    link_conn_send(conn, &frame);
}

/* ---- out */

void link_conn_flush_later(struct link_conn *conn)
{
    if (conn->link->is_closing) {
        link_conn_flush(conn);
    } else {
        loop_defer(conn->link->loop, LOOP_PHASE_SEND, &conn->flush_task);
    }
}

void link_conn_send(struct link_conn *conn, const struct link_frame *frame)
{
    metric_add(&link_metric_frames[LINK_OUT], 1);
    link_frame_encode(&conn->out, frame);
    link_conn_flush_later(conn);
}

static void add_signal(struct link_conn *conn, enum link_frame_type type)
{
    struct link_frame frame = { .type = type };
    if (type == LINK_FRAME_ACK) {
        frame.ack.seq = conn->peer->inbox.last_seq;
        frame.ack.credit_bytes = conn->link->options.receive_window_bytes;
    }
    metric_add(&link_metric_frames[LINK_OUT], 1);
    link_frame_encode(&conn->out, &frame);
}

/* Pings, pongs and acknowledgements are flags until there is room on the wire: a peer that does not
 * read makes us queue nothing. */
static void add_what_is_due(struct link_conn *conn)
{
    if (conn->ack_due) {
        add_signal(conn, LINK_FRAME_ACK);
        conn->unacked_bytes = 0;
        timer_stop(&conn->ack_timer);
    }
    if (conn->ping_due) {
        add_signal(conn, LINK_FRAME_PING);
    }
    if (conn->pong_due) {
        add_signal(conn, LINK_FRAME_PONG);
    }
    conn->ack_due = conn->ping_due = conn->pong_due = false;
    if (conn->is_dialer) {
        link_peer_fill(conn);
    }
}

void link_conn_flush(struct link_conn *conn)
{
    if (conn->state == LINK_CONN_CLOSED || conn->state == LINK_CONN_CONNECTING
            || link_stream_is_sending(conn->stream)) {
        return;
    }
    if (conn->state == LINK_CONN_READY) {
        add_what_is_due(conn);
    }
    if (conn->state != LINK_CONN_CLOSED && conn->out.len > 0) {
        metric_add(&link_metric_bytes[LINK_OUT], (int64_t)conn->out.len);
        link_stream_send(conn->stream, &conn->out);
    }
}

static void on_ack_due(struct timer *timer, void *context)
{
    struct link_conn *conn = context;
    (void)timer;
    conn->ack_due = true;
    link_conn_flush_later(conn);
}

void link_conn_owe_ack(struct link_conn *conn, size_t bytes)
{
    size_t window = conn->link->options.receive_window_bytes;
    conn->unacked_bytes += bytes;
    if (conn->unacked_bytes >= LINK_ACK_BYTES || conn->unacked_bytes >= window / 4) {
        on_ack_due(NULL, conn);
    } else if (!conn->ack_due && !timer_is_running(&conn->ack_timer)) {
        timer_start(loop_timers(conn->link->loop), &conn->ack_timer, LINK_ACK_DELAY_MS);
    }
}

static void on_sent(void *context)
{
    struct link_conn *conn = context;
    if (conn->state == LINK_CONN_ENDING && conn->out.len == 0) {
        link_conn_close(conn, "refused");
    } else {
        link_conn_flush(conn);
    }
}

/* ---- in */

static void handle_ready_frame(struct link_conn *conn, const struct link_frame *frame)
{
    switch (frame->type) {
    case LINK_FRAME_DATA: link_peer_on_data(conn, frame); break;
    case LINK_FRAME_ACK: link_peer_on_ack(conn, frame); break;
    case LINK_FRAME_PING:
        conn->pong_due = true;
        link_conn_flush_later(conn);
        break;
    case LINK_FRAME_PONG:
    case LINK_FRAME_UNKNOWN: break;
    case LINK_FRAME_ERROR: link_conn_close(conn, "error from the peer"); break;
    case LINK_FRAME_HELLO:
    case LINK_FRAME_AUTH:
    case LINK_FRAME_WELCOME:
    default: link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "handshake frame after the handshake");
    }
}

static void handle_frame(struct link_conn *conn, struct str body)
{
    struct link *link = conn->link;
    struct link_frame frame;

    metric_add(&link_metric_frames[LINK_IN], 1);
    arena_reset(&link->arena);
    if (link_frame_decode(&link->arena, body, &frame) != ERR_OK) {
        link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "not a frame");
    } else if (conn->state == LINK_CONN_READY) {
        handle_ready_frame(conn, &frame);
    } else {
        link_handshake_frame(conn, &frame);
    }
}

static bool is_reading(const struct link_conn *conn)
{
    return conn->state != LINK_CONN_CLOSED && conn->state != LINK_CONN_ENDING;
}

/* Handles the complete frames in front of `bytes`; returns how many bytes they were.
 * `missing_out`: what the next frame still needs, 0 when not even its length is known. */
static size_t handle_frames(struct link_conn *conn, struct str bytes, size_t *missing_out)
{
    size_t done = 0;
    *missing_out = 0;
    while (is_reading(conn)) {
        struct str rest = str_from(bytes.ptr + done, bytes.len - done);
        size_t limit = conn->state == LINK_CONN_READY ? conn->link->options.max_frame_bytes
                                                      : LINK_UNPROVEN_FRAME_BYTES;
        size_t length;
        enum err err = link_frame_measure(rest, limit, &length);
        if (err == ERR_AGAIN) {
            break;
        }
        if (err != ERR_OK) { /* F02: before anything is allocated */
            link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "frame length out of bounds");
            break;
        }
        if (rest.len < length) {
            *missing_out = length - rest.len;
            break;
        }
        handle_frame(conn,
                str_from(rest.ptr + LINK_FRAME_HEADER_BYTES, length - LINK_FRAME_HEADER_BYTES));
        done += length;
    }
    return done;
}

static void on_bytes(void *context, struct str bytes)
{
    struct link_conn *conn = context;
    size_t missing;

    metric_add(&link_metric_bytes[LINK_IN], (int64_t)bytes.len);
    conn->has_heard = true;
    if (conn->in.len == 0) { /* the usual case: straight from the receive buffer */
        size_t done = handle_frames(conn, bytes, &missing);
        if (is_reading(conn) && done < bytes.len) {
            (void)buf_reserve(&conn->in, bytes.len - done + missing);
            buf_append(&conn->in, bytes.ptr + done, bytes.len - done);
        }
        return;
    }
    buf_append(&conn->in, bytes.ptr, bytes.len);
    size_t done = handle_frames(conn, buf_view(&conn->in), &missing);
    buf_consume(&conn->in, done);
    buf_shrink(&conn->in);
}

/* ---- events of the stream and of time */

static void on_open(void *context)
{
    struct link_conn *conn = context;
    conn->state = LINK_CONN_WAIT_HELLO;
    link_handshake_begin(conn);
}

static void on_end(void *context, enum err err, const char *why)
{
    (void)err;
    link_conn_close(context, why);
}

static const struct link_stream_events stream_events = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_sent = on_sent,
    .on_end = on_end,
};

static void on_tick(struct timer *timer, void *context)
{
    struct link_conn *conn = context;
    if (conn->state != LINK_CONN_READY) {
        link_conn_close(conn, "handshake took too long");
        return;
    }
    if (conn->has_heard) {
        conn->silent_intervals = 0;
    } else if (++conn->silent_intervals > LINK_SILENT_INTERVALS_MAX) {
        link_conn_close(conn, "no answer to pings");
        return;
    } else {
        conn->ping_due = true;
        link_conn_flush_later(conn);
    }
    conn->has_heard = false;
    timer_start(loop_timers(conn->link->loop), timer, conn->link->options.ping_interval_ms);
}

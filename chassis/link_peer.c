/* One remote process: when to dial it, which incarnation of it we talk to, what comes and goes. */
#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/link_address.h"
#include "chassis/link_internal.h"
#include "chassis/log.h"

static void on_redial(struct timer *timer, void *context);
static void on_give_up(struct timer *timer, void *context);

struct link_peer *link_peer_create(struct link *link, struct str node, enum link_role role)
{
    struct link_peer *peer = MEM_NEW(struct link_peer);
    peer->link = link;
    peer->node = str_to_cstr(node);
    peer->role = role;
    link_outbox_init(&peer->outbox, link->options.max_unacked_bytes);
    timer_init(&peer->redial, on_redial, peer);
    timer_init(&peer->give_up, on_give_up, peer);
    HASH_ADD_KEYPTR(hh, link->peers, peer->node, node.len, peer);
    return peer;
}

void link_peer_destroy(struct link_peer *peer)
{
    HASH_DEL(peer->link->peers, peer);
    timer_stop(&peer->redial);
    timer_stop(&peer->give_up);
    link_outbox_fini(&peer->outbox);
    free(peer->address);
    free(peer->node);
    free(peer);
}

void link_peer_set_address(struct link_peer *peer, struct str address)
{
    free(peer->address);
    peer->address = str_to_cstr(address);
}

/* ---- dialling */

static void dial(struct link_peer *peer)
{
    peer->outgoing = link_conn_dial(peer);
    if (!peer->outgoing) { /* the address is no good now; perhaps later */
        timer_start(
                loop_timers(peer->link->loop), &peer->redial, peer->link->options.reconnect_max_ms);
    }
}

static void on_redial(struct timer *timer, void *context)
{
    (void)timer;
    dial(context);
}

/* A random pause, so that a router's restart does not meet all its edges in the same millisecond;
 * its upper end doubles up to the maximum. */
static void dial_after_pause(struct link_peer *peer, bool was_refused)
{
    const struct link_options *options = &peer->link->options;
    int64_t longest = was_refused ? options->reconnect_max_ms : peer->backoff_ms;
    int64_t spread = longest - options->reconnect_min_ms;
    int64_t pause = options->reconnect_min_ms;
    if (spread > 0) {
        pause += (int64_t)(random_u64() % (uint64_t)(spread + 1));
    }
    peer->backoff_ms *= 2;
    if (peer->backoff_ms > options->reconnect_max_ms) {
        peer->backoff_ms = options->reconnect_max_ms;
    }
    timer_start(loop_timers(peer->link->loop), &peer->redial, pause);
}

void link_peer_start_dialling(struct link_peer *peer)
{
    peer->wants_dial = true;
    peer->backoff_ms = 2 * peer->link->options.reconnect_min_ms;
    if (!peer->outgoing && !timer_is_running(&peer->redial)) {
        dial(peer);
        link_peer_arm_give_up(peer);
    }
}

void link_peer_stop_dialling(struct link_peer *peer)
{
    peer->wants_dial = false;
    timer_stop(&peer->redial);
    if (peer->outgoing) {
        link_conn_close(peer->outgoing, "not wanted any more");
    }
}

/* ---- incarnations */

/* Is this peer, as far as we care, connected? */
static bool is_reachable(const struct link_peer *peer)
{
    return peer->wants_dial ? peer->is_up : peer->incoming != NULL;
}

void link_peer_arm_give_up(struct link_peer *peer)
{
    if (!is_reachable(peer) && !timer_is_running(&peer->give_up) && !peer->link->is_closing) {
        timer_start(
                loop_timers(peer->link->loop), &peer->give_up, peer->link->options.peer_timeout_ms);
    }
}

/* What waits is dropped before anybody hears of it: what a handler sends goes to the next. */
static void declare_dead(struct link_peer *peer, uint64_t next_epoch)
{
    uint64_t epoch = peer->boot_epoch;
    bool had_waiting = peer->outbox.queued_bytes > 0;
    bool is_news = !peer->is_given_up && epoch != 0;

    link_outbox_drop(&peer->outbox);
    peer->is_given_up = true;
    peer->boot_epoch = next_epoch;
    if (is_news || had_waiting) {
        log_info("link", "peer is gone", log_cstr("peer", peer->node));
        peer->link->handlers.on_down(peer->link->context, peer, epoch, true);
    }
    if (link_outbox_take_room(&peer->outbox)) {
        peer->link->handlers.on_room(peer->link->context, peer);
    }
}

void link_peer_give_up(struct link_peer *peer)
{
    timer_stop(&peer->give_up);
    declare_dead(peer, peer->boot_epoch);
}

static void on_give_up(struct timer *timer, void *context)
{
    struct link_peer *peer = context;
    (void)timer;
    if (!is_reachable(peer)) {
        declare_dead(peer, peer->boot_epoch);
    }
}

/* The peer shows an epoch. Another one than before means another process: all that waited for the
 * old one is void. Records that were sent before any was known, or after the old one was given up,
 * wait for whoever comes. */
static void meet_incarnation(struct link_peer *peer, uint64_t epoch)
{
    if (peer->boot_epoch == epoch) {
        return;
    }
    if (peer->boot_epoch == 0 || peer->is_given_up) {
        peer->boot_epoch = epoch;
        return;
    }
    declare_dead(peer, epoch);
}

void link_peer_on_welcome(struct link_conn *conn, uint64_t last_seq, uint64_t credit_bytes)
{
    struct link_peer *peer = conn->peer;
    uint64_t epoch = conn->theirs.boot_epoch;

    if (peer->incoming && peer->incoming->theirs.boot_epoch != epoch) {
        link_conn_close(peer->incoming, "another incarnation answered");
    }
    meet_incarnation(peer, epoch);
    if (conn->state != LINK_CONN_READY) {
        return; /* a handler has forgotten the peer */
    }
    if (link_outbox_resume(&peer->outbox, last_seq, credit_bytes) != ERR_OK) {
        link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "has more than was sent");
        return;
    }
    peer->is_up = true;
    peer->is_given_up = false;
    peer->heard_ms = loop_now_ms(peer->link->loop);
    peer->backoff_ms = 2 * peer->link->options.reconnect_min_ms;
    timer_stop(&peer->give_up);
    if (peer->has_been_up) {
        metric_add(&link_metric_reconnects, 1);
    }
    peer->has_been_up = true;
    log_info("link", "peer is up", log_cstr("peer", peer->node), log_cstr("dir", "out"));
    link_conn_flush_later(conn);
    peer->link->handlers.on_up(peer->link->context, peer, epoch);
    if (peer->is_up && link_outbox_take_room(&peer->outbox)) {
        peer->link->handlers.on_room(peer->link->context, peer);
    }
}

/* An older epoch is a process that was replaced and does not know it yet; or a machine whose clock
 * went backwards, so after a while without the newer one it is believed. */
static bool is_stale(const struct link_peer *peer, uint64_t epoch)
{
    int64_t silent_ms = loop_now_ms(peer->link->loop) - peer->heard_ms;
    return epoch < peer->boot_epoch
            && (peer->is_up || peer->incoming || silent_ms < peer->link->options.peer_timeout_ms);
}

static void adopt_address(struct link_peer *peer, struct str address)
{
    if (peer->has_given_address || str_equal(str_from_cstr(peer->address), address)
            || link_why_not_dial(peer->link, address) != NULL) {
        return;
    }
    link_peer_set_address(peer, address);
    if (peer->outgoing) {
        link_conn_close(peer->outgoing, "address changed");
    }
}

enum err link_peer_on_auth(struct link_conn *conn, enum link_error *code_out)
{
    const struct link_hello *theirs = &conn->theirs;
    struct link *link = conn->link;
    struct link_peer *peer;

    HASH_FIND(hh, link->peers, theirs->node.ptr, theirs->node.len, peer);
    if (!peer) {
        peer = link_peer_create(link, theirs->node, (enum link_role)theirs->role);
    }
    if ((uint32_t)peer->role != theirs->role) {
        *code_out = LINK_ERROR_DENIED;
        return ERR_DENIED;
    }
    if (is_stale(peer, theirs->boot_epoch)) {
        *code_out = LINK_ERROR_STALE;
        return ERR_FENCED;
    }
    /* Of two connections the newer one counts; and an old incarnation's ends before the new one is
     * announced, so that no handler sees its records afterwards. */
    struct link_conn *older = peer->incoming;
    bool is_new = peer->boot_epoch != 0 && peer->boot_epoch != theirs->boot_epoch;
    peer->incoming = conn;
    conn->peer = peer;
    if (older) {
        link_conn_close(older, "a newer connection");
    }
    if (is_new && peer->outgoing && peer->is_up) {
        link_conn_close(peer->outgoing, "a newer incarnation");
    }
    meet_incarnation(peer, theirs->boot_epoch);
    peer->heard_ms = loop_now_ms(link->loop);
    link_inbox_begin(&peer->inbox, theirs->boot_epoch);
    adopt_address(peer, theirs->address);
    if (!peer->wants_dial) {
        timer_stop(&peer->give_up);
        peer->is_given_up = false;
    }
    return ERR_OK;
}

void link_peer_on_closed(struct link_peer *peer, struct link_conn *conn)
{
    peer->heard_ms = loop_now_ms(peer->link->loop);
    if (peer->incoming == conn) {
        peer->incoming = NULL;
    }
    if (peer->outgoing == conn) {
        bool was_up = peer->is_up;
        peer->outgoing = NULL;
        peer->is_up = false;
        if (peer->wants_dial && !peer->link->is_closing) {
            dial_after_pause(peer, conn->was_refused);
        }
        if (was_up) {
            log_info("link", "peer is down", log_cstr("peer", peer->node));
            peer->link->handlers.on_down(peer->link->context, peer, peer->boot_epoch, false);
        }
    }
    link_peer_arm_give_up(peer);
}

/* ---- records */

void link_peer_on_data(struct link_conn *conn, const struct link_frame *frame)
{
    struct link_peer *peer = conn->peer;
    struct link *link = conn->link;
    size_t skip;

    if (link->is_closing) {
        return; /* not acknowledged, so it stays the sender's */
    }
    if (conn->is_dialer) {
        link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "DATA from a listener");
        return;
    }
    link_inbox_settle(&peer->inbox, frame->data.settled_seq);
    if (link_inbox_check(&peer->inbox, frame->data.first_seq, frame->data.count, &skip) != ERR_OK) {
        link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "records are missing");
        return;
    }
    size_t bytes = 0;
    for (size_t i = skip; i < frame->data.count && conn->state == LINK_CONN_READY; i++) {
        bytes += frame->data.records[i].len + LINK_RECORD_OVERHEAD_BYTES;
        link_inbox_advance(&peer->inbox);
        link->handlers.on_record(
                link->context, peer, peer->inbox.boot_epoch, frame->data.records[i]);
    }
    metric_add(&link_metric_records[LINK_IN], (int64_t)(frame->data.count - skip));
    if (conn->state == LINK_CONN_READY) {
        link_conn_owe_ack(conn, bytes);
    }
}

void link_peer_on_ack(struct link_conn *conn, const struct link_frame *frame)
{
    struct link_peer *peer = conn->peer;
    if (!conn->is_dialer
            || link_outbox_ack(&peer->outbox, frame->ack.seq, frame->ack.credit_bytes) != ERR_OK) {
        link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "acknowledges what was not sent");
        return;
    }
    if (link_outbox_has_unsent(&peer->outbox)) {
        link_conn_flush_later(conn);
    }
    if (link_outbox_take_room(&peer->outbox)) {
        peer->link->handlers.on_room(peer->link->context, peer);
    }
}

void link_peer_fill(struct link_conn *conn)
{
    struct link_peer *peer = conn->peer;
    struct link *link = conn->link;
    struct link_frame frame = { .type = LINK_FRAME_DATA };
    size_t limit = link->options.max_frame_bytes;

    if (!peer->is_up) {
        return;
    }
    if (conn->theirs.max_frame_bytes < limit) {
        limit = (size_t)conn->theirs.max_frame_bytes;
    }
    frame.data.records = link->batch;
    frame.data.count = link_outbox_take(
            &peer->outbox, limit, link->batch, LINK_BATCH_RECORDS, &frame.data.first_seq);
    if (frame.data.count > 0) {
        frame.data.settled_seq = link_outbox_take_settled(&peer->outbox);
        metric_add(&link_metric_frames[LINK_OUT], 1);
        metric_add(&link_metric_records[LINK_OUT], (int64_t)frame.data.count);
        link_frame_encode(&conn->out, &frame);
    } else if (link_outbox_is_blocked(&peer->outbox, limit)) {
        /* Sent on, it would be refused and sent again for ever. */
        link_conn_close(conn, "a record is larger than the peer's max_frame");
    }
}

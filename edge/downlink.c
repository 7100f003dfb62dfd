/* Writes what routers deliver and reports it once the client's kernel has acknowledged the bytes.
 */
#include "edge/downlink.h"

#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "edge/edge.h"
#include "edge/session_table.h"
#include "edge/sm.h"
#include "edge/sm_acks.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"
#include "edge/uplink.h"

#define REPORT_MAX_IDS 64 /* in one Delivered */
#define POLL_MIN_MS    20
#define POLL_MAX_MS    200

struct downlink {
    struct edge *edge;
    struct session *unconfirmed; /* sessions with entries that wait for acknowledgement */
    struct loop_task poll_task;  /* behind the writes of the turn */
    struct timer poll_timer;
    int64_t poll_ms;
    struct buf xml;    /* scratch */
    struct buf record; /* scratch */
};

static struct metric deliveries_total =
        METRIC_COUNTER_INIT("deliveries_total", "Stanzas written to clients.", NULL);
static struct metric repeats_total = METRIC_COUNTER_INIT(
        "delivery_repeats_total", "Deliveries that the client had been sent already.", NULL);
static struct metric former_home_total = METRIC_COUNTER_INIT("former_home_deliveries_total",
        "Numbered deliveries of a router that was the home of the session before, left out",
        NULL);
static struct metric gaps_total = METRIC_COUNTER_INIT("delivery_gaps_total",
        "Numbered deliveries left out, since one before them is missing.",
        NULL);
static struct metric gone_total =
        METRIC_COUNTER_INIT("delivery_gone_total", "Deliveries for sessions not here.", NULL);

/* ---- reports */

static bool send_report(
        struct downlink *downlink, const struct session *session, int64_t *ids, size_t count)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Delivered delivered = WIRE__DELIVERED__INIT;
    delivered.session = &id;
    delivered.bare = wire_bytes(session->bare);
    delivered.ids = ids;
    delivered.n_ids = count;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_DELIVERED;
    envelope.delivered = &delivered;
    return uplink_send(downlink->edge->uplink, session->shard, &envelope);
}

/* Reports what is acknowledged by now. Returns whether something was. */
static bool report(struct downlink *downlink, struct session *session)
{
    uint64_t acknowledged = stream_acknowledged_total(session->stream);
    bool is_progress = false;
    for (;;) {
        int64_t ids[REPORT_MAX_IDS];
        size_t count = delivered_ring_due(&session->delivered, acknowledged, ids, REPORT_MAX_IDS);
        if (count == 0 || !send_report(downlink, session, ids, count)) {
            return is_progress;
        }
        failpoint("edge.delivered");
        delivered_ring_confirm(&session->delivered, count);
        is_progress = true;
    }
}

static void unlist(struct downlink *downlink, struct session *session)
{
    if (session->is_unconfirmed) {
        session->is_unconfirmed = false;
        DL_DELETE2(downlink->unconfirmed, session, unconfirmed_prev, unconfirmed_next);
    }
}

static void poll_unconfirmed(struct downlink *downlink)
{
    bool is_progress = false;
    struct session *session = NULL;
    struct session *next = NULL;
    DL_FOREACH_SAFE2(downlink->unconfirmed, session, next, unconfirmed_next)
    {
        is_progress |= report(downlink, session);
        if (session->delivered.unconfirmed == 0) {
            unlist(downlink, session);
        }
    }
    downlink->poll_ms = is_progress ? POLL_MIN_MS : downlink->poll_ms * 2;
    if (downlink->poll_ms > POLL_MAX_MS) {
        downlink->poll_ms = POLL_MAX_MS;
    }
    if (downlink->unconfirmed) {
        timer_start(loop_timers(downlink->edge->loop), &downlink->poll_timer, downlink->poll_ms);
    }
}

static void run_poll_task(void *context)
{
    poll_unconfirmed(context);
}

static void on_poll_timer(struct timer *timer, void *context)
{
    (void)timer;
    poll_unconfirmed(context);
}

static void await_confirmation(struct downlink *downlink, struct session *session)
{
    if (!session->is_unconfirmed) {
        session->is_unconfirmed = true;
        DL_APPEND2(downlink->unconfirmed, session, unconfirmed_prev, unconfirmed_next);
    }
    downlink->poll_ms = POLL_MIN_MS;
    loop_defer(downlink->edge->loop, LOOP_PHASE_REAP, &downlink->poll_task);
}

void downlink_session_ends(struct downlink *downlink, struct session *session, bool may_report)
{
    if (session->is_unconfirmed) {
        if (may_report) {
            (void)report(downlink, session);
        }
        unlist(downlink, session);
    }
}

/* ---- deliveries */

static void answer_gone(struct downlink *downlink,
        struct link_peer *peer,
        struct id128 id,
        struct str bare,
        uint32_t attach)
{
    metric_add(&gone_total, 1);
    Wire__Id session = WIRE_ID_INIT(id);
    Wire__SessionGone gone = WIRE__SESSION_GONE__INIT;
    gone.session = &session;
    gone.bare = wire_bytes(bare);
    gone.attach = attach;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_SESSION_GONE;
    envelope.session_gone = &gone;
    buf_clear(&downlink->record);
    wire_pack(&downlink->record, &envelope);
    /* Not kept: without room the router asks again when it delivers the next time. */
    (void)!link_send(peer, buf_view(&downlink->record));
}

/* One target of a Deliver. */
struct delivery {
    const struct stanza *stanza;
    int64_t log_id; /* 0: volatile */
    const Wire__Target *target;
};

static void write_stanza(
        struct downlink *downlink, struct session *session, const struct delivery *delivery)
{
    struct stanza copy = *delivery->stanza;
    if (delivery->target->to.len > 0) {
        copy.to = wire_str(delivery->target->to);
    } else if (str_is_empty(copy.to)) {
        copy.to = session->full;
    }
    buf_clear(&downlink->xml);
    stanza_write(&downlink->xml, &copy);
    stream_write(session->stream, buf_view(&downlink->xml));
    stream_metrics_stanza(copy.kind, false);
    metric_add(&deliveries_total, 1);
}

/* true: the entry is not to be written (again). */
static bool is_repeat(struct downlink *downlink, struct session *session, int64_t log_id)
{
    enum delivered_known known = delivered_ring_find(&session->delivered, log_id);
    if (known == DELIVERED_UNKNOWN) {
        return false;
    }
    metric_add(&repeats_total, 1);
    if (known == DELIVERED_CONFIRMED) {
        /* Without room now, the router will ask a third time. */
        (void)send_report(downlink, session, &log_id, 1);
    }
    return true;
}

static void deliver(
        struct downlink *downlink, struct session *session, const struct delivery *delivery)
{
    int64_t log_id = delivery->log_id;
    if (!session->stream || (log_id != 0 && is_repeat(downlink, session, log_id))) {
        return; /* a lingering session: its Close is under way and says all */
    }
    failpoint("edge.deliver");
    write_stanza(downlink, session, delivery);
    if (log_id == 0) {
        return;
    }
    uint64_t end_offset = stream_written_total(session->stream);
    if (!delivered_ring_push(&session->delivered, log_id, end_offset)) {
        stream_overflow(session->stream);
        return;
    }
    await_confirmation(downlink, session);
}

void downlink_missing(struct downlink *downlink, struct session *session)
{
    struct sm *sm = session->sm;
    enum sm_gap gap = sm_note_gap(sm, loop_now_ms(downlink->edge->loop));
    if (gap == SM_GAP_WAIT) {
        return;
    }
    log_warn("downlink",
            "deliveries are missing",
            log_jid("session", session->full),
            log_int("written", sm->written),
            log_int("announces", sm->gap_announces));
    if (gap == SM_GAP_ANNOUNCE) {
        uplink_announce_again(downlink->edge->uplink, session);
        stream_rearm(session->stream);
    } else {
        stream_detach(session->stream);
    }
}

/* Numbered deliveries: the number tells whether the client was sent it, the client's own word that
 * it has it (XEP-0198). */
static void deliver_in_order(struct downlink *downlink,
        const struct link_peer *peer,
        struct session *session,
        const struct delivery *delivery)
{
    struct sm *sm = session->sm;
    if (!session->stream) {
        return; /* waits at its router */
    }
    if (!uplink_is_home(downlink->edge->uplink, session, peer)) {
        metric_add(&former_home_total, 1);
        return; /* what it has is in the queue of the next one, which counts on from what we wrote
                 */
    }
    switch (sm_take_sequence(sm, delivery->target->sequence)) {
    case SM_REPEAT: metric_add(&repeats_total, 1); break;
    case SM_GAP:
        metric_add(&gaps_total, 1);
        downlink_missing(downlink, session);
        break;
    case SM_NEXT:
        failpoint("edge.deliver");
        write_stanza(downlink, session, delivery);
        if (delivery->log_id != 0) {
            sm_written_push(&sm->entries, sm->written, delivery->log_id, sm->acked);
        }
        sm_acks_written(session->stream);
        break;
    }
}

static void take_deliver(
        struct downlink *downlink, struct link_peer *peer, const Wire__Deliver *message)
{
    struct stanza stanza;
    if (!message->stanza || wire_stanza_get(message->stanza, &stanza) != ERR_OK) {
        log_error("downlink", "malformed delivery", log_cstr("router", link_peer_node(peer)));
        return;
    }
    for (size_t i = 0; i < message->n_targets; i++) {
        const Wire__Target *target = message->targets[i];
        struct delivery delivery = { &stanza, message->log_id, target };
        struct id128 id = wire_id(target->session);
        struct session *session = session_table_find(downlink->edge->sessions, id);
        if (session && !session_is_meant(session, target->attach)) {
            continue;
        }
        if (session && session_has_sm(session)) {
            deliver_in_order(downlink, peer, session, &delivery);
        } else if (session) {
            deliver(downlink, session, &delivery);
        } else {
            answer_gone(downlink, peer, id, wire_str(target->bare), target->attach);
        }
    }
}

static void take_kick(struct downlink *downlink, struct link_peer *peer, const Wire__Kick *kick)
{
    struct id128 id = wire_id(kick->session);
    struct session *session = session_table_find(downlink->edge->sessions, id);
    if (!session) {
        answer_gone(downlink, peer, id, wire_str(kick->bare), kick->attach);
        return;
    }
    if (!session_is_meant(session, kick->attach)) {
        return;
    }
    if (kick->is_moved) {
        uplink_let_go(downlink->edge->uplink, session);
    } else if (session->stream) {
        enum stream_condition condition = (enum stream_condition)kick->condition;
        if (kick->condition == STREAM_ERROR_NONE || kick->condition >= STREAM_CONDITION_COUNT) {
            condition = STREAM_ERROR_UNDEFINED_CONDITION;
        }
        stream_fail(session->stream, condition, wire_str(kick->text));
    }
}

void downlink_take(
        struct downlink *downlink, struct link_peer *peer, const Wire__Envelope *envelope)
{
    if (envelope->verb_case == WIRE__ENVELOPE__VERB_DELIVER) {
        take_deliver(downlink, peer, envelope->deliver);
    } else if (envelope->verb_case == WIRE__ENVELOPE__VERB_KICK) {
        take_kick(downlink, peer, envelope->kick);
    }
}

/* ---- life */

struct downlink *downlink_create(struct edge *edge)
{
    struct downlink *downlink = MEM_NEW(struct downlink);
    downlink->edge = edge;
    downlink->poll_ms = POLL_MIN_MS;
    downlink->poll_task = (struct loop_task){ .run = run_poll_task, .context = downlink };
    timer_init(&downlink->poll_timer, on_poll_timer, downlink);
    buf_init(&downlink->xml, 0);
    buf_init(&downlink->record, 0);
    metric_register(&deliveries_total);
    metric_register(&repeats_total);
    metric_register(&gone_total);
    metric_register(&former_home_total);
    metric_register(&gaps_total);
    return downlink;
}

void downlink_destroy(struct downlink *downlink)
{
    if (!downlink) {
        return;
    }
    timer_stop(&downlink->poll_timer);
    loop_task_cancel(downlink->edge->loop, &downlink->poll_task);
    buf_fini(&downlink->xml);
    buf_fini(&downlink->record);
    free(downlink);
}

/* Requests and sessions on their way to the owners of their shards. */
#include "edge/uplink.h"

#include <utlist.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/link.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "edge/downlink.h"
#include "edge/edge.h"
#include "edge/session_records.h"
#include "edge/session_table.h"
#include "edge/shard_map.h"
#include "edge/sm.h"
#include "edge/sm_acks.h"
#include "edge/stream.h"
#include "edge/unasked.h"
#include "proto/xmpp/jid.h"

#define REQUEST_TIMEOUT_MS 10000 /* then temporary-auth-failure (B22) */
#define NOT_OWNER_RETRY_MS 200
#define LINGER_SWEEP_MS    1000

struct uplink {
    struct edge *edge;
    struct shard_map *map;
    struct requests *requests;
    struct session *stalled; /* something of theirs did not leave: sent again when there is room */
    struct sm *enabling;     /* wait for EnableReply */
    struct sm *acked;        /* their acks are told at the end of the turn */
    struct loop_task acks_task;
    uint64_t last_enable;              /* request id */
    struct timer retry_timer;          /* blocked shards */
    struct timer sweep_timer;          /* lingering sessions */
    const struct link_peer *answering; /* while its answer is taken */
    bool *changed;                     /* scratch: one flag for each shard */
    struct buf scratch;
    void (*on_first_map)(void *context);
    void *first_map_context;
};

static struct metric announces_total =
        METRIC_COUNTER_INIT("announces_total", "Sessions announced to a new owner.", NULL);
static struct metric not_owner_total =
        METRIC_COUNTER_INIT("not_owner_total", "Records that met the wrong router.", NULL);
static struct metric lingering_lost_total = METRIC_COUNTER_INIT(
        "lingering_lost_total", "Ended sessions given up without an answer of a router.", NULL);

/* The owner of the shard, when it may be sent something now. */
static struct link_peer *owner_of(struct uplink *uplink, unsigned shard)
{
    const struct shard_route *route = shard_map_route(uplink->map, shard);
    if (!route->owner || route->is_blocked) {
        return NULL;
    }
    struct link_peer *peer = link_find_peer(uplink->edge->link, route->owner);
    return peer && link_peer_is_up(peer) ? peer : NULL;
}

/* ---- sessions */

static void stall(struct uplink *uplink, struct session *session)
{
    if (!session->is_stalled) {
        session->is_stalled = true;
        DL_APPEND2(uplink->stalled, session, stalled_prev, stalled_next);
    }
}

static void unstall(struct uplink *uplink, struct session *session)
{
    if (session->is_stalled) {
        session->is_stalled = false;
        DL_DELETE2(uplink->stalled, session, stalled_prev, stalled_next);
    }
}

static void unlist_acked(struct uplink *uplink, struct sm *sm)
{
    if (sm->is_listed) {
        sm->is_listed = false;
        DL_DELETE(uplink->acked, sm);
    }
}

static void unlist_sm(struct uplink *uplink, struct session *session)
{
    if (session_has_sm(session)) {
        unlist_acked(uplink, session->sm);
    } else if (session->sm) {
        DL_DELETE(uplink->enabling, session->sm);
    }
}

static enum err send_envelope(
        struct uplink *uplink, struct link_peer *peer, const Wire__Envelope *envelope)
{
    buf_clear(&uplink->scratch);
    wire_pack(&uplink->scratch, envelope);
    return link_send(peer, buf_view(&uplink->scratch));
}

typedef void (*session_record)(struct buf *record, const struct session *session);

static enum err send_record(struct uplink *uplink,
        struct link_peer *peer,
        session_record write,
        const struct session *session)
{
    buf_clear(&uplink->scratch);
    write(&uplink->scratch, session);
    return link_send(peer, buf_view(&uplink->scratch));
}

/* The new owner was told the acks and knows nothing of an Enable. */
static void announced(struct session *session)
{
    session->is_close_sent = false;
    session->is_state_due |= session->is_inactive;
    input_queue_rewind(&session->inputs);
    if (session->sm) {
        session->sm->is_ack_due = false;
        session->sm->is_enable_sent = false;
    }
}

bool uplink_is_home(
        const struct uplink *uplink, const struct session *session, const struct link_peer *peer)
{
    const struct shard_route *route = shard_map_route(uplink->map, session->shard);
    return route->owner && session->generation == route->generation
            && strcmp(route->owner, link_peer_node(peer)) == 0;
}

static enum err announce_if_moved(
        struct uplink *uplink, struct link_peer *peer, struct session *session)
{
    uint32_t generation = shard_map_route(uplink->map, session->shard)->generation;
    if (session->generation == generation) {
        return ERR_OK;
    }
    enum err err = send_record(uplink, peer, session_record_announce, session);
    if (err != ERR_OK) {
        return err;
    }
    metric_add(&announces_total, 1);
    session->generation = generation;
    announced(session);
    return ERR_OK;
}

/* bus.max_frame_bytes is smaller than c2s.max_stanza_bytes: an operator's mistake. The stanza is
 * left out, and its sender learns that it did not arrive. */
static void refuse_oversized(struct session *session)
{
    log_error("uplink", "stanza does not fit a bus frame", log_jid("session", session->full));
    if (session->stream) {
        stream_fail(session->stream, STREAM_ERROR_POLICY_VIOLATION, STR("stanza too large"));
    }
}

static enum err send_inputs(struct link_peer *peer, struct session *session)
{
    struct str record;
    while (input_queue_peek(&session->inputs, &record)) {
        failpoint("edge.input");
        enum err err = link_send(peer, record);
        if (err != ERR_OK && err != ERR_INVALID) {
            return err;
        }
        input_queue_sent(&session->inputs);
        if (err == ERR_INVALID) {
            refuse_oversized(session);
        }
    }
    return ERR_OK;
}

/* What is cumulative: only the newest counts, it may overtake inputs. */
static enum err send_news(struct uplink *uplink, struct link_peer *peer, struct session *session)
{
    enum err err = ERR_OK;
    if (session_has_sm(session) && session->sm->is_ack_due) {
        err = send_record(uplink, peer, session_record_acked, session);
        session->sm->is_ack_due = err != ERR_OK;
    }
    if (err == ERR_OK && session->is_state_due) {
        err = send_record(uplink, peer, session_record_client_state, session);
        session->is_state_due = err != ERR_OK;
    }
    return err;
}

static enum err enable_if_wanted(
        struct uplink *uplink, struct link_peer *peer, struct session *session)
{
    struct sm *sm = session->sm;
    if (session->state != SESSION_LIVE || !sm || sm->phase != SM_WANTED || sm->is_enable_sent) {
        return ERR_OK;
    }
    sm->request = ++uplink->last_enable; /* an answer to an earlier one tells another base */
    enum err err = send_record(uplink, peer, session_record_enable, session);
    sm->is_enable_sent = err == ERR_OK;
    return err;
}

static enum err close_if_ended(
        struct uplink *uplink, struct link_peer *peer, struct session *session)
{
    if (session->state != SESSION_LINGERING || session->is_close_sent) {
        return ERR_OK;
    }
    enum err err = send_record(uplink, peer, session_record_close, session);
    if (err == ERR_OK) {
        session->is_close_sent = true;
        session->close_sent_ms = loop_now_ms(uplink->edge->loop);
    }
    return err;
}

void uplink_pump(struct uplink *uplink, struct session *session)
{
    struct link_peer *owner = owner_of(uplink, session->shard);
    if (!owner) {
        return; /* the shard's next owner, or the peer's return, pumps all its sessions */
    }
    bool was_waiting = session->is_stalled || session->is_state_due;
    enum err err = announce_if_moved(uplink, owner, session);
    if (err == ERR_OK) {
        err = send_news(uplink, owner, session);
    }
    if (err == ERR_OK) {
        err = send_inputs(owner, session);
    }
    if (err == ERR_OK) {
        err = enable_if_wanted(uplink, owner, session);
    }
    if (err == ERR_OK) {
        err = close_if_ended(uplink, owner, session);
    }
    if (err != ERR_OK) {
        stall(uplink, session);
        return;
    }
    unstall(uplink, session);
    if (was_waiting && session->stream) {
        stream_window_changed(session->stream);
    }
}

void uplink_announce_again(struct uplink *uplink, struct session *session)
{
    session->generation = 0; /* until it has left, nobody is its home */
    uplink_pump(uplink, session);
}

void uplink_adopt(struct uplink *uplink, struct session *session)
{
    const struct shard_route *route = shard_map_route(uplink->map, session->shard);
    const char *binder = uplink->answering ? link_peer_node(uplink->answering) : route->owner;
    if (binder && route->owner && strcmp(route->owner, binder) == 0) {
        session->generation = route->generation;
        return;
    }
    uplink_announce_again(uplink, session); /* the shard moved meanwhile: its owner knows nothing */
}

static void forget_session(struct uplink *uplink, struct session *session)
{
    unstall(uplink, session);
    unlist_sm(uplink, session);
    session_set_state(uplink->edge->sessions, session, SESSION_ENDED);
    session_destroy(session);
}

static void give_up(struct uplink *uplink, struct session *session)
{
    metric_add(&lingering_lost_total, 1);
    log_warn("uplink",
            "gave up an ended session",
            log_jid("session", session->full),
            log_int("unhandled", session->inputs.count));
    forget_session(uplink, session);
}

static void start_sweep(struct uplink *uplink)
{
    if (!timer_is_running(&uplink->sweep_timer)) {
        timer_start(loop_timers(uplink->edge->loop), &uplink->sweep_timer, LINGER_SWEEP_MS);
    }
}

void uplink_let_go(struct uplink *uplink, struct session *session)
{
    struct stream *stream = session->stream;
    if (stream) {
        downlink_session_ends(uplink->edge->downlink, session, false);
        session->stream = NULL;
        stream->session = NULL;
    }
    forget_session(uplink, session);
    if (stream) {
        stream_fail(stream, STREAM_ERROR_CONFLICT, STR_NULL); /* XEP-0198 §5 */
    }
}

void uplink_end_session(struct uplink *uplink, struct session *session, bool is_ended)
{
    struct session_table *table = uplink->edge->sessions;
    session->stream = NULL;
    session->is_ended = is_ended;
    session_set_state(table, session, SESSION_LINGERING);
    if (table->count[SESSION_LINGERING]
            > (uint32_t)uplink->edge->settings->c2s->max_lingering_sessions) {
        give_up(uplink, table->by_state[SESSION_LINGERING]);
    }
    /* The oldest was another one: the list is ordered and its ceiling at least one. */
    uplink_pump(uplink, session);
    start_sweep(uplink);
}

/* Time runs only once a router has been asked: while none can be reached, sessions stay (F06). */
static void on_sweep(struct timer *timer, void *context)
{
    (void)timer;
    struct uplink *uplink = context;
    struct session_table *table = uplink->edge->sessions;
    int64_t oldest_ms =
            loop_now_ms(uplink->edge->loop) - uplink->edge->settings->c2s->linger_timeout_ms;
    struct session *session = NULL;
    struct session *next = NULL;
    DL_FOREACH_SAFE2(table->by_state[SESSION_LINGERING], session, next, state_next)
    {
        if (session->is_close_sent && session->close_sent_ms < oldest_ms) {
            give_up(uplink, session);
        }
    }
    if (table->by_state[SESSION_LINGERING]) {
        start_sweep(uplink);
    }
}

/* Each one once, in order; pumping may end sessions and free others than the one pumped, so the
 * list is turned instead of walked. */
static void pump_stalled(struct uplink *uplink)
{
    struct session *session = NULL;
    unsigned left = 0;
    DL_COUNT2(uplink->stalled, session, left, stalled_next);
    for (; left > 0 && uplink->stalled; left--) {
        session = uplink->stalled;
        DL_DELETE2(uplink->stalled, session, stalled_prev, stalled_next);
        DL_APPEND2(uplink->stalled, session, stalled_prev, stalled_next);
        uplink_pump(uplink, session);
    }
}

static void repeat_shard(struct uplink *uplink, unsigned shard)
{
    requests_repeat(uplink->requests, shard);
    struct session *session = NULL;
    DL_FOREACH2(uplink->edge->sessions->by_shard[shard], session, shard_next)
    {
        uplink_pump(uplink, session);
    }
}

static void block_shard(struct uplink *uplink, struct link_peer *peer, unsigned shard)
{
    metric_add(&not_owner_total, 1);
    if (shard_map_block(uplink->map, shard, link_peer_node(peer))
            && !timer_is_running(&uplink->retry_timer)) {
        timer_start(loop_timers(uplink->edge->loop), &uplink->retry_timer, NOT_OWNER_RETRY_MS);
    }
}

/* ---- stream management */

void uplink_enable(struct uplink *uplink, struct session *session)
{
    DL_APPEND(uplink->enabling, session->sm);
    uplink_pump(uplink, session);
}

static void take_enable_reply(
        struct uplink *uplink, struct link_peer *peer, const Wire__EnableReply *reply)
{
    struct sm *sm = NULL;
    DL_FOREACH(uplink->enabling, sm) /* answers come in order: it is among the first */
    {
        if (sm->is_enable_sent && sm->request == reply->request) {
            break;
        }
    }
    if (!sm) {
        return;
    }
    struct session *session = sm->session;
    if (reply->status == WIRE__STATUS__STATUS_NOT_OWNER) {
        sm->is_enable_sent = false;
        block_shard(uplink, peer, session->shard);
        return;
    }
    DL_DELETE(uplink->enabling, sm);
    sm->phase = SM_ON;
    sm->may_resume = reply->resume_id.len > 0;
    sm->sequence_base = sm->written = sm->acked = reply->sequence;
    sm->counter_base = reply->counter;
    sm->attach = SM_FIRST_ATTACH;
    if (reply->status != WIRE__STATUS__STATUS_OK) {
        session->sm = NULL;
    }
    if (session->stream) {
        sm->enabled(session, reply);
    }
    if (!session->sm) {
        free(sm);
    }
}

static void tell_acks(void *context)
{
    struct uplink *uplink = context;
    while (uplink->acked) {
        struct sm *sm = uplink->acked;
        unlist_acked(uplink, sm);
        uplink_pump(uplink, sm->session); /* what does not leave now leaves with a later one */
    }
}

void uplink_acked(struct uplink *uplink, struct session *session)
{
    session->sm->is_ack_due = true;
    if (!session->sm->is_listed) {
        session->sm->is_listed = true;
        DL_APPEND(uplink->acked, session->sm);
    }
    loop_defer(uplink->edge->loop, LOOP_PHASE_WORK, &uplink->acks_task);
}

/* ---- shards */

static void on_retry(struct timer *timer, void *context)
{
    (void)timer;
    struct uplink *uplink = context;
    for (unsigned shard = 0; shard < shard_map_shards(uplink->map); shard++) {
        if (shard_map_route(uplink->map, shard)->is_blocked) {
            shard_map_unblock(uplink->map, shard);
            repeat_shard(uplink, shard);
        }
    }
}

static void dial_routers(struct uplink *uplink, const Wire__ShardMap *message)
{
    for (size_t i = 0; i < message->n_routers; i++) {
        char *name = str_to_cstr(wire_str(message->routers[i]->name));
        char *address = str_to_cstr(wire_str(message->routers[i]->address));
        if (address[0] != '\0') {
            (void)link_dial(uplink->edge->link, name, LINK_ROLE_ROUTER, address);
        }
        free(name);
        free(address);
    }
}

static void take_map(struct uplink *uplink, const Wire__ShardMap *message)
{
    bool is_first = shard_map_version(uplink->map) == 0;
    if (!shard_map_update(uplink->map, message, uplink->changed)) {
        return;
    }
    log_info("uplink", "shard map", log_int("version", message->version));
    dial_routers(uplink, message);
    for (unsigned shard = 0; shard < shard_map_shards(uplink->map); shard++) {
        if (uplink->changed[shard]) {
            repeat_shard(uplink, shard);
        }
    }
    if (is_first && uplink->on_first_map) {
        uplink->on_first_map(uplink->first_map_context);
    }
}

static bool is_owned_by(struct uplink *uplink, unsigned shard, const char *router)
{
    const char *owner = shard_map_route(uplink->map, shard)->owner;
    return owner && strcmp(owner, router) == 0;
}

void uplink_peer_up(struct uplink *uplink, struct link_peer *peer)
{
    for (unsigned shard = 0; shard < shard_map_shards(uplink->map); shard++) {
        if (is_owned_by(uplink, shard, link_peer_node(peer))) {
            repeat_shard(uplink, shard);
        }
    }
}

void uplink_peer_down(struct uplink *uplink, struct link_peer *peer, bool is_dead)
{
    if (is_dead) {
        /* What was under way to it is gone: announce and send again, to whoever owns the shards
         * by then. */
        shard_map_router_died(uplink->map, link_peer_node(peer));
    }
}

void uplink_peer_room(struct uplink *uplink)
{
    pump_stalled(uplink);
}

/* ---- requests */

static bool send_request(void *context, unsigned shard, struct str record)
{
    struct uplink *uplink = context;
    struct link_peer *owner = owner_of(uplink, shard);
    return owner && link_send(owner, record) == ERR_OK;
}

struct request *uplink_ask(struct uplink *uplink,
        struct str bare,
        Wire__Envelope *envelope,
        request_answered answered,
        void *context)
{
    unsigned shard = jid_shard(bare, shard_map_shards(uplink->map));
    return requests_add(uplink->requests, shard, envelope, answered, context);
}

void uplink_cancel(struct uplink *uplink, struct request *request)
{
    requests_cancel(uplink->requests, request);
}

bool uplink_send(struct uplink *uplink, unsigned shard, const Wire__Envelope *envelope)
{
    struct link_peer *owner = owner_of(uplink, shard);
    return owner && send_envelope(uplink, owner, envelope) == ERR_OK;
}

static void take_answer(
        struct uplink *uplink, struct link_peer *peer, uint64_t id, const Wire__Envelope *reply)
{
    unsigned shard = 0;
    uplink->answering = peer;
    bool is_waiting = requests_find_shard(uplink->requests, id, &shard);
    bool is_waiting_still = false;
    if (requests_answer(uplink->requests, id, reply)) {
        is_waiting_still = is_waiting && requests_find_shard(uplink->requests, id, &shard);
    } else if (reply->verb_case == WIRE__ENVELOPE__VERB_BIND_REPLY) {
        unasked_bound(uplink->edge, shard_map_shards(uplink->map), reply->bind_reply);
    } else if (reply->verb_case == WIRE__ENVELOPE__VERB_RESUME_REPLY) {
        unasked_resumed(uplink->edge, shard_map_shards(uplink->map), reply->resume_reply);
    }
    uplink->answering = NULL;
    if (is_waiting_still) {
        block_shard(uplink, peer, shard);
    }
}

/* All shards: the router had given this edge up and ended its sessions, whether or not we noticed.
 */
static void take_not_owner(struct uplink *uplink, struct link_peer *peer, unsigned shard)
{
    if (shard != WIRE_ALL_SHARDS) {
        block_shard(uplink, peer, shard);
        return;
    }
    metric_add(&not_owner_total, 1);
    shard_map_router_died(uplink->map, link_peer_node(peer));
    uplink_peer_up(uplink, peer);
}

static void take_close_reply(struct uplink *uplink, const Wire__CloseReply *reply)
{
    struct session *session = session_table_find(uplink->edge->sessions, wire_id(reply->session));
    if (session && session_is_meant(session, reply->attach) && session->is_close_sent) {
        forget_session(uplink, session);
    }
}

/* Handled is true whoever says it. `answered` has its truth from an error that was delivered
 * before, and a former home's are not. */
static void take_handled(
        struct uplink *uplink, const struct link_peer *peer, const Wire__Handled *handled)
{
    struct session_table *table = uplink->edge->sessions;
    struct session *session = session_table_find(table, wire_id(handled->session));
    if (!session) {
        return;
    }
    session_handled(table, session, handled->counter);
    bool is_home = uplink_is_home(uplink, session, peer);
    for (size_t i = 0; is_home && i < handled->n_answered; i++) {
        session_answered(table, session, handled->answered[i]);
    }
    bool is_news = (int32_t)(handled->counter - session->handled) >= 0; /* not of a former home */
    if (handled->carbons != WIRE__SWITCH__SWITCH_NOT_SAID && is_news) {
        session->has_carbons = handled->carbons == WIRE__SWITCH__SWITCH_ON;
    }
    if (session->stream) {
        if (session_has_sm(session)) {
            sm_acks_handled(session->stream);
        }
        stream_window_changed(session->stream);
    }
}

void uplink_take(struct uplink *uplink, struct link_peer *peer, const Wire__Envelope *envelope)
{
    switch ((int)envelope->verb_case) {
    case WIRE__ENVELOPE__VERB_SHARD_MAP: take_map(uplink, envelope->shard_map); break;
    case WIRE__ENVELOPE__VERB_NOT_OWNER:
        take_not_owner(uplink, peer, envelope->not_owner->shard);
        break;
    case WIRE__ENVELOPE__VERB_HANDLED: take_handled(uplink, peer, envelope->handled); break;
    case WIRE__ENVELOPE__VERB_CLOSE_REPLY: take_close_reply(uplink, envelope->close_reply); break;
    case WIRE__ENVELOPE__VERB_ENABLE_REPLY:
        take_enable_reply(uplink, peer, envelope->enable_reply);
        break;
    case WIRE__ENVELOPE__VERB_RESUME_REPLY:
        take_answer(uplink, peer, envelope->resume_reply->request, envelope);
        break;
    case WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY:
        take_answer(uplink, peer, envelope->auth_lookup_reply->request, envelope);
        break;
    case WIRE__ENVELOPE__VERB_AUTH_RESULT:
        take_answer(uplink, peer, envelope->auth_result->request, envelope);
        break;
    case WIRE__ENVELOPE__VERB_BIND_REPLY:
        take_answer(uplink, peer, envelope->bind_reply->request, envelope);
        break;
    case WIRE__ENVELOPE__VERB_REGISTER_REPLY:
        take_answer(uplink, peer, envelope->register_reply->request, envelope);
        break;
    default: break; /* bus.c counts what nobody takes */
    }
}

/* ---- life */
struct uplink *uplink_create(struct edge *edge)
{
    struct uplink *uplink = MEM_NEW(struct uplink);
    uplink->edge = edge;
    uplink->map = shard_map_create(edge->settings->shards);
    uplink->changed = mem_calloc(edge->settings->shards, sizeof(bool));
    uplink->requests =
            requests_create(loop_timers(edge->loop), REQUEST_TIMEOUT_MS, send_request, uplink);
    timer_init(&uplink->retry_timer, on_retry, uplink);
    timer_init(&uplink->sweep_timer, on_sweep, uplink);
    uplink->acks_task = (struct loop_task){ .run = tell_acks, .context = uplink };
    uplink->last_enable = random_u64(); /* an answer meant for an earlier life is not ours */
    buf_init(&uplink->scratch, 0);
    metric_register(&announces_total);
    metric_register(&not_owner_total);
    metric_register(&lingering_lost_total);
    return uplink;
}

void uplink_destroy(struct uplink *uplink)
{
    if (!uplink) {
        return;
    }
    timer_stop(&uplink->retry_timer);
    timer_stop(&uplink->sweep_timer);
    loop_task_cancel(uplink->edge->loop, &uplink->acks_task);
    requests_destroy(uplink->requests);
    shard_map_destroy(uplink->map);
    buf_fini(&uplink->scratch);
    free(uplink->changed);
    free(uplink);
}

void uplink_on_first_map(struct uplink *uplink, void (*fn)(void *context), void *context)
{
    uplink->on_first_map = fn;
    uplink->first_map_context = context;
}

uint64_t uplink_map_version(const struct uplink *uplink)
{
    return shard_map_version(uplink->map);
}

/* Stream management at the home of a session (XEP-0198): numbers what is sent, keeps it until the
 * client has it, lets the session outlive its connection. */
#include "router/entity/sm.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "proto/xmpp/stanza_error.h"
#include "router/entity/entity.h"
#include "router/entity/send.h"
#include "router/entity/sessions.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/signer.h"
#include "router/turn.h"

#define FIRST_POSITION   (UINT64_C(1) << 32) /* numbers may fall back a little */
#define UNACKED_CEILING  4                   /* times max_unacked_stanzas, however short a burst */
#define ASK_TABLE_MS     250                 /* by then the shard table has been asked */
#define ANNOUNCE_WAIT_MS 15000 /* then the edge a former home knew of does not hold it any more */

static struct metric detached_gauge =
        METRIC_GAUGE_INIT("sessions_detached", "Sessions that wait to be resumed", NULL);
static struct metric_family ended = {
    .name = "sm_sessions_ended_total",
    .help = "Sessions with stream management that ended without their client's word",
    .label = "why",
};

/* ---- the state */

static void check_limits(struct entity *entity, struct resource *resource);

static void on_due(struct timer *timer, void *context)
{
    struct sm_session *sm = context;
    struct router *router = sm->entity->router;
    if (sm->is_detached && !shard_may_give_up(router->shards)) {
        /* We have slept: the session may live on elsewhere, and its contacts must not hear an end.
         */
        timer_start(loop_timers(router->loop), timer, ASK_TABLE_MS);
    } else if (sm->is_detached) {
        metric_family_add(&ended, "timeout", 1);
        sessions_end(sm->entity, sm->resource);
    } else if (!sm->resource->is_told) {
        sm_detach(sm->entity, sm->resource);
    } else {
        check_limits(sm->entity, sm->resource);
    }
}

static int64_t longest_wait_ms(const struct entity *entity)
{
    const struct settings *settings = entity->router->settings;
    const struct host *host = settings_find_host(settings, entity->domain);
    return host && host->resume_timeout_ms > 0 ? host->resume_timeout_ms
                                               : settings->resume_timeout_ms;
}

struct sm_session *sm_session_create(
        struct entity *entity, struct resource *resource, uint32_t base_sequence)
{
    struct sm_session *sm = MEM_NEW(struct sm_session);
    sm->entity = entity;
    sm->resource = resource;
    sm->attach = 1;
    sm->base_sequence = base_sequence;
    sm->sent = base_sequence;
    sm->reached = base_sequence;
    sm->position = FIRST_POSITION + base_sequence;
    sm->trimmed = base_sequence;
    sm->max_ms = longest_wait_ms(entity);
    sm_queue_init(&sm->queue, base_sequence);
    timer_init(&sm->timer, on_due, sm);
    sm_spool_init(sm);
    return sm;
}

static void resume_free(struct sm_session *sm)
{
    if (sm->resume) {
        free(sm->resume->edge);
        free(sm->resume);
        sm->resume = NULL;
    }
    if (sm->failed) {
        free(sm->failed->edge);
        free(sm->failed);
        sm->failed = NULL;
    }
}

void sm_session_destroy(struct sm_session *sm)
{
    if (!sm) {
        return;
    }
    timer_stop(&sm->timer);
    timer_stop(&sm->trim_timer);
    metric_add(&detached_gauge, sm->is_detached ? -1 : 0);
    resume_free(sm);
    sm_queue_fini(&sm->queue);
    free(sm);
}

void sm_note_unknown(struct sm_session *sm, uint32_t until)
{
    if (sm_sequence_is_after(until, sm->queue.last)) {
        sm->has_unknown = true;
        sm->unknown_until = until;
        sm_queue_skip(&sm->queue, until);
    }
}

void sm_note_reached(struct sm_session *sm, uint32_t sequence)
{
    if (sm_sequence_is_after(sequence, sm->reached)) {
        sm->reached = sequence;
    }
}

bool sm_session_is_attached(const struct sm_session *sm)
{
    return !sm->is_detached && !sm->resume && sm->resource->is_told;
}

bool sm_session_is_current(const struct sm_session *sm, uint32_t attach)
{
    return attach == 0 || attach == sm->attach;
}

static struct timer_wheel *timers_of(const struct entity *entity)
{
    return loop_timers(entity->router->loop);
}

/* ---- enable */

void sm_resume_id(const struct entity *entity, const struct sm_session *sm, struct buf *out)
{
    struct signer_resume resume = {
        .session = sm->resource->session,
        .sequence = sm->base_sequence,
        .counter = sm->base_counter,
    };
    signer_resume_id(entity->router->signer, entity->bare, &resume, out);
}

static void answer_enable(struct entity *entity, const struct resource *resource, uint64_t request)
{
    const struct sm_session *sm = resource->sm;
    struct buf id;
    buf_init(&id, 0);
    Wire__EnableReply reply = WIRE__ENABLE_REPLY__INIT;
    reply.request = request;
    if (sm->is_resumable) {
        sm_resume_id(entity, sm, &id);
        reply.resume_id = wire_bytes(buf_view(&id));
        reply.max_s = (uint32_t)(sm->max_ms / 1000);
    }
    reply.sequence = sm->base_sequence;
    reply.counter = sm->base_counter;
    egress_enable_reply(entity->router->egress, resource->edge, &reply);
    buf_fini(&id);
}

static void refuse_enable(struct entity *entity, const struct item *item)
{
    Wire__EnableReply reply = WIRE__ENABLE_REPLY__INIT;
    reply.request = item->request;
    reply.status = WIRE__STATUS__STATUS_NOT_FOUND;
    egress_enable_reply(entity->router->egress, item->edge, &reply);
}

static int64_t granted_ms(const struct entity *entity, uint32_t wish_s)
{
    int64_t longest_ms = longest_wait_ms(entity);
    int64_t wish_ms = (int64_t)wish_s * 1000;
    return wish_s > 0 && wish_ms < longest_ms ? wish_ms : longest_ms;
}

void sm_begin(struct entity *entity, struct resource *resource, bool may_resume, uint32_t max_s)
{
    struct sm_session *sm = sm_session_create(entity, resource, 0);
    sm->base_counter = resource->handled;
    sm->is_resumable = may_resume;
    sm->max_ms = granted_ms(entity, max_s);
    resource->sm = sm;
    sm_spool_open(entity);
}

void sm_handle_enable(struct entity *entity, const struct item *item)
{
    struct resource *resource = entity_find_session(entity, item->session);
    if (!resource || resource->is_closing || strcmp(resource->edge, item->edge) != 0) {
        refuse_enable(entity, item);
        return;
    }
    if (resource->sm) { /* the answer to a former request got lost */
        answer_enable(entity, resource, item->request);
        return;
    }
    resource->enable = (struct enable_request){
        .is_open = true,
        .may_resume = item->sm.is_resumable,
        .max_s = item->sm.max_s,
        .request = item->request,
    };
    entity_mark_dirty(entity); /* finished there, when nothing is at work */
}

void sm_finish_enable(struct entity *entity, struct resource *resource)
{
    const struct enable_request enable = resource->enable;
    resource->enable.is_open = false;
    sm_begin(entity, resource, enable.may_resume, enable.max_s);
    sessions_write_record(entity->router, entity, resource);
    answer_enable(entity, resource, enable.request);
}

/* ---- sending */

/* An edge cuts off who does not read, and what it has for such a client is gone: it gets a little
 * at a time, more when that is acknowledged. One always goes, or nothing would be; the edge asks
 * for its acknowledgement, and ends the stream of who does not answer. */
static bool is_window_open(const struct entity *entity, const struct sm_session *sm)
{
    return !sm_sequence_is_after(sm->sent, sm->queue.acked)
            || (int64_t)sm_queue_in_flight(&sm->queue)
            < entity->router->settings->send_window_bytes;
}

static void note_sent(struct sm_session *sm, struct sm_entry *entry)
{
    sm->sent = entry->sequence;
    sm_note_reached(sm, entry->sequence);
    sm_queue_note_sent(&sm->queue, entry, loop_now_ms(sm->entity->router->loop));
}

static void mark_lost(struct entity *entity, struct resource *resource)
{
    resource->is_lost = true;
    entity->has_lost_sessions = true;
    entity_wake(entity);
}

void sm_give_up(struct entity *entity, struct resource *resource, enum stream_condition condition)
{
    if (!resource->is_lost && !resource->is_closing) {
        resource->sm->over = condition;
        mark_lost(entity, resource);
    }
}

/* How much longer the client may owe acknowledgements for more than max_unacked_stanzas. What was
 * not sent it does not owe. A client that is away acknowledges nothing: its queue is a store, and
 * that is its size. */
static int64_t patience_left_ms(const struct entity *entity, const struct sm_session *sm)
{
    int64_t patience_ms = entity->router->settings->ack_patience_ms;
    const struct sm_entry *oldest = sm->queue.unacked;
    if (sm->is_detached && !sm->resume) {
        return 0;
    }
    /* Nor may it be heard while nobody has announced it here or its edge does not read it because
     * of inputs at work, and after a sleep of ours its word may still wait for its turn. */
    bool may_be_heard = sm_session_is_attached(sm) && resource_is_settled(sm->resource)
            && shard_may_give_up(entity->router->shards);
    if (!may_be_heard || !oldest || sm_sequence_is_after(oldest->sequence, sm->sent)) {
        return patience_ms;
    }
    /* On a slow line it may be old while acknowledgements come all the time. */
    int64_t since_ms = oldest->sent_ms > sm->progress_ms ? oldest->sent_ms : sm->progress_ms;
    return since_ms + patience_ms - loop_now_ms(entity->router->loop);
}

static void check_limits(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    const struct settings *settings = entity->router->settings;
    int64_t count = (int64_t)sm->queue.count;
    bool is_too_much = count > UNACKED_CEILING * settings->max_unacked_stanzas
            || (int64_t)sm->queue.bytes > settings->max_unacked_bytes;
    if (!is_too_much && count <= settings->max_unacked_stanzas) {
        return;
    }
    int64_t left_ms = is_too_much ? 0 : patience_left_ms(entity, sm);
    if (left_ms <= 0) {
        sm_give_up(entity, resource, STREAM_ERROR_POLICY_VIOLATION);
    } else if (sm_session_is_attached(sm) && !timer_is_running(&sm->timer)) {
        timer_start(loop_timers(entity->router->loop), &sm->timer, left_ms);
    }
}

/* The client has had it from a former home, and has said so: the log is told behind this send. */
void sm_confirm_later(struct entity *entity, const struct resource *resource, int64_t log_id)
{
    struct item *item =
            item_create(ITEM_DELIVERED, NULL, strlen(resource->edge) + 2 * sizeof(item->ids[0]));
    item->edge = str_dup(&item->arena, str_from_cstr(resource->edge)).ptr;
    item->session = resource->session;
    int64_t *ids = arena_alloc(&item->arena, sizeof(ids[0]));
    ids[0] = log_id;
    item->ids = ids;
    item->id_count = 1;
    entity_post(entity, item);
}

void sm_send(struct entity *entity,
        struct resource *resource,
        const struct stanza *stanza,
        int64_t log_id)
{
    struct sm_session *sm = resource->sm;
    struct sm_entry *former = sm_queue_find_log(&sm->queue, log_id);
    if (former && sm_queue_is_acked(&sm->queue, former)) {
        sm_confirm_later(entity, resource, log_id);
        return;
    }
    if (former) {
        sm_queue_fill(&sm->queue, former, stanza);
    } else {
        sm_spool_push(entity, resource, sm_queue_push(&sm->queue, stanza, log_id));
    }
    sm_flush(entity, resource);
    check_limits(entity, resource);
}

static void on_send_failed(struct entity *entity, struct resource *resource, enum err err)
{
    if (err == ERR_UNAVAILABLE && resource->sm->is_resumable) {
        sm_detach(entity, resource);
    } else if (err == ERR_UNAVAILABLE) {
        mark_lost(entity, resource);
    } else if (err != ERR_OK) {
        entity_retry_soon(entity);
    }
}

void sm_rewind(struct sm_session *sm, uint32_t sequence)
{
    sm->sent = sequence;
    sm_queue_rewind(&sm->queue, sequence);
}

uint32_t sm_number(struct entity *entity, struct resource *resource, const struct stanza *stanza)
{
    struct sm_session *sm = resource->sm;
    struct sm_entry *entry = sm_queue_push(&sm->queue, stanza, 0);
    sm_spool_push(entity, resource, entry);
    check_limits(entity, resource);
    bool is_next = sm_session_is_attached(sm) && !resource->is_lost
            && entry->sequence == sm->sent + 1 && is_window_open(entity, sm);
    if (!is_next) {
        sm_flush(entity, resource);
        return 0;
    }
    note_sent(sm, entry);
    return entry->sequence;
}

void sm_not_sent(struct entity *entity, struct resource *resource, uint32_t sequence, enum err err)
{
    struct sm_session *sm = resource->sm;
    if (!sm_sequence_is_after(sequence, sm->sent)) {
        sm_rewind(sm, sequence - 1);
    }
    if (!sm_sequence_is_after(sequence, sm->reached)) {
        sm->reached = sequence - 1;
    }
    on_send_failed(entity, resource, err);
}

/* False: not now. */
static bool send_entry(
        struct entity *entity, struct resource *resource, const struct sm_entry *entry)
{
    struct egress_target target = {
        .session = resource->session,
        .bare = entity->bare,
        .sequence = entry->sequence,
        .attach = resource->sm->attach,
    };
    enum err err = egress_deliver(
            entity->router->egress, resource->edge, &entry->stanza, entry->log_id, &target, 1);
    on_send_failed(entity, resource, err);
    return err == ERR_OK;
}

void sm_flush(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    if (!sm_session_is_attached(sm) || resource->is_closing || resource->is_lost) {
        return;
    }
    struct sm_entry *entry =
            is_window_open(entity, sm) ? sm_queue_after(&sm->queue, sm->sent) : NULL;
    for (; entry && is_window_open(entity, sm); entry = entry->next) {
        if (!entry->has_stanza) {
            sm_fill(entity, entry->log_id);
            return;
        }
        if (!send_entry(entity, resource, entry)) {
            return;
        }
        note_sent(sm, entry);
    }
}

void sm_flush_all(struct entity *entity)
{
    for (struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (resource->sm) {
            sm_flush(entity, resource);
        }
    }
}

/* ---- acknowledgements */

struct acked_by {
    struct entity *entity;
    struct id128 session;
};

static void on_acked(void *context, int64_t log_id)
{
    const struct acked_by *by = context;
    account_log_on_delivered(&by->entity->log, by->session, log_id);
}

void sm_ack(struct entity *entity, struct resource *resource, uint32_t sequence)
{
    struct sm_session *sm = resource->sm;
    struct acked_by by = { entity, resource->session };
    bool is_news = sm_sequence_is_after(sequence, sm->queue.acked);
    if (sm_queue_ack(&sm->queue, sequence, on_acked, &by) != ERR_OK) {
        log_warn("sm", "edge acknowledges what was never sent", log_cstr("edge", resource->edge));
        return;
    }
    if (sm_sequence_is_after(sequence, sm->sent)) {
        sm->sent = sequence; /* a first copy arrived, and the second could not be sent */
    }
    sm_note_reached(sm, sequence);
    sm->progress_ms = is_news ? loop_now_ms(entity->router->loop) : sm->progress_ms;
    sm_spool_acked(entity, resource);
    if (sm->has_unknown && !sm_sequence_is_after(sm->unknown_until, sequence)) {
        sm->has_unknown = false;
    }
}

static bool speaks_for(const struct resource *resource, const struct item *item)
{
    return resource && !resource->is_closing && resource->sm && sm_session_is_attached(resource->sm)
            && strcmp(resource->edge, item->edge) == 0
            && sm_session_is_current(resource->sm, item->sm.attach);
}

void sm_handle_acked(struct entity *entity, const struct item *item)
{
    struct resource *resource = entity_find_session(entity, item->session);
    if (speaks_for(resource, item)) {
        sm_ack(entity, resource, item->sm.acked);
        sm_flush(entity, resource);
    }
}

/* The client itself confirms what was numbered; the edge speaks only for what went before. */
bool sm_is_numbered(const struct entity *entity, struct id128 session, int64_t log_id)
{
    const struct resource *resource = entity_find_session(entity, session);
    const struct sm_entry *entry =
            resource && resource->sm ? sm_queue_find_log(&resource->sm->queue, log_id) : NULL;
    return entry && !sm_queue_is_acked(&resource->sm->queue, entry);
}

/* ---- detached and back */

void sm_detach(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    if (sm->is_detached || sm->resume) {
        return;
    }
    sm->is_detached = true;
    sm->detached_ms = loop_now_ms(entity->router->loop);
    sm->detached_wall_ms = loop_wall_us(entity->router->loop) / 1000;
    metric_add(&detached_gauge, 1);
    timer_start(timers_of(entity), &sm->timer, sm->max_ms);
    sessions_write_record(entity->router, entity, resource);
    account_log_on_link(&entity->log);
}

void sm_attach(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    timer_stop(&sm->timer);
    if (sm->is_detached) {
        sm->is_detached = false;
        metric_add(&detached_gauge, -1);
    }
    resource->is_told = true;
    sm->progress_ms = loop_now_ms(entity->router->loop);
    sessions_write_record(entity->router, entity, resource);
    account_log_on_link(&entity->log);
}

void sm_restore_detached(struct entity *entity, struct resource *resource, int64_t since_ms)
{
    resource->sm->is_detached = true;
    resource->sm->detached_ms = since_ms;
    metric_add(&detached_gauge, 1);
    sm_resume_timer(entity, resource);
}

void sm_resume_timer(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    int64_t left_ms = sm->detached_ms + sm->max_ms - loop_now_ms(entity->router->loop);
    timer_start(timers_of(entity), &sm->timer, left_ms > 0 ? left_ms : 0);
}

/* Nobody has spoken for it here yet. */
void sm_await_announce(struct entity *entity, struct resource *resource)
{
    timer_start(timers_of(entity), &resource->sm->timer, ANNOUNCE_WAIT_MS);
}

/* A message no log has. */
static bool is_nowhere_else(const struct sm_entry *entry)
{
    return entry->has_stanza && entry->log_id == 0 && stanza_is_durable(&entry->stanza);
}

/* messages.durability: routed. No log has them: they look for other sessions, or are kept (P5), in
 * front of what came later (P3). */
static void route_again(struct entity *entity, const struct sm_queue *queue)
{
    struct mailbox older;
    mailbox_init(&older);
    for (const struct sm_entry *entry = queue->unacked; entry; entry = entry->next) {
        if (is_nowhere_else(entry) && !entry->is_shared) {
            mailbox_push(&older, item_create(ITEM_ROUTE, &entry->stanza, 0));
        }
    }
    entity_post_first(entity, &older);
}

/* Requests that nobody will answer any more (P5). */
static void answer_request(struct entity *entity, const struct stanza *stanza)
{
    bool is_request = stanza->kind == STANZA_IQ
            && (stanza->type == STANZA_TYPE_GET || stanza->type == STANZA_TYPE_SET);
    if (!is_request) {
        return;
    }
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, stanza);
    struct stanza_error error = { .condition = STANZA_ERROR_SERVICE_UNAVAILABLE };
    turn_reply_error(&turn, stanza, &error);
    effects_apply(&turn);
    arena_fini(&arena);
}

/* RFC 6120 §8.2.3 wants an answer to each request, and XEP-0198 §4 an error for what was not
 * acknowledged, also when the client itself has closed its stream: one that had handled a request
 * acknowledges it first. If it did not, the requester has had its answer, which went out before the
 * end, and knows no request by the id of the second one. */
static void answer_requests(struct entity *entity, const struct sm_queue *queue)
{
    for (const struct sm_entry *entry = queue->unacked; entry; entry = entry->next) {
        if (entry->has_stanza && entry->log_id == 0) {
            answer_request(entity, &entry->stanza);
        }
    }
}

/* The edge never heard that it was on, so what was numbered did not leave for its client, as far as
 * anybody knows. What the log has comes again from there. */
void sm_end_management(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    sm_spool_close(entity, resource);
    resource->sm = NULL;
    for (const struct sm_entry *entry = sm->queue.unacked; entry; entry = entry->next) {
        if (is_nowhere_else(entry) && entry->is_shared) {
            send_past_csi(entity, resource, &entry->stanza); /* other sessions have it already */
        }
    }
    route_again(entity, &sm->queue);
    answer_requests(entity, &sm->queue);
    sm_session_destroy(sm);
}

/* ---- the end */

void sm_share_newest(struct entity *entity, const struct id128 *sessions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct resource *resource = entity_find_session(entity, sessions[i]);
        struct sm_entry *newest = resource && resource->sm ? resource->sm->queue.tail : NULL;
        if (newest && newest->log_id == 0) {
            newest->is_shared = true;
        }
    }
}

void sm_end(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    timer_stop(&sm->timer);
    timer_stop(&sm->trim_timer);
    sm_spool_close(entity, resource);
    if (sm->resume) {
        sm_refuse_resume(entity, resource);
    }
    if (sm->is_detached) {
        sm->is_detached = false;
        metric_add(&detached_gauge, -1);
    }
    struct sm_queue queue = sm->queue;
    sm_queue_init(&sm->queue, queue.last);
    route_again(entity, &queue);
    answer_requests(entity, &queue);
    sm_queue_fini(&queue);
}

void sm_end_over(struct entity *entity, struct resource *resource)
{
    bool owes_acks = resource->sm->over == STREAM_ERROR_POLICY_VIOLATION;
    metric_family_add(&ended, owes_acks ? "owes-acks" : "lost-content", 1);
    sessions_kick(entity,
            resource,
            resource->sm->over,
            owes_acks ? STR("Too many stanzas are not acknowledged") : STR_NULL);
}

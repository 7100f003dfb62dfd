/* The turn of a recipient: duplicates, on_inbound, RFC 6121 §8, the log entry, and delivery after
 * its commit. */
#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "proto/xmpp/delay.h"
#include "proto/xmpp/stanza_error.h"
#include "proto/xmpp/stanza_id.h"
#include "router/commit.h"
#include "router/deliver.h"
#include "router/entity/carbons.h"
#include "router/entity/entity.h"
#include "router/entity/send.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/entity/stamps.h"
#include "router/log_client.h"
#include "router/pipeline.h"
#include "router/router.h"

#define READ_RETRY_MS 1000

static struct metric duplicates_total = METRIC_COUNTER_INIT(
        "duplicates_total", "Durable stanzas that came again and had no second effect", NULL);

static struct metric overtaken_total = METRIC_COUNTER_INIT("routes_overtaken_total",
        "Messages that came back: a former home took them back, and later ones were kept",
        NULL);

static struct metric offline_full_total = METRIC_COUNTER_INIT("offline_full_total",
        "Messages that came back because too many wait for their recipient",
        NULL);

/* ---- where to */

static enum deliver_state state_of(const struct entity *entity)
{
    if (entity->account.state != ACCOUNT_ACTIVE || entity->account.id == 0) {
        return DELIVER_NO_ACCOUNT;
    }
    for (const struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (resource_is_eligible(resource) && !resource->is_lost) {
            return DELIVER_ONLINE;
        }
    }
    return DELIVER_OFFLINE;
}

static enum deliver_action decide(const struct entity *entity, const struct stanza *stanza)
{
    struct jid to;
    enum deliver_address address = DELIVER_TO_BARE;
    if (jid_split(stanza->to, &to) == ERR_OK && !jid_is_bare(&to)) {
        address =
                entity_find_resource(entity, to.resource) ? DELIVER_TO_MATCH : DELIVER_TO_NO_MATCH;
    }
    return deliver_decide(stanza, address, state_of(entity));
}

/* Who did not take it himself may want a copy. Without anybody but them it waits: the copies come
 * when it is sent again. */
static size_t send_with_carbons(struct entity *entity,
        const struct stanza *stanza,
        int64_t id,
        enum send_group group,
        struct id128 targets_out[ACCOUNT_LOG_MAX_TARGETS])
{
    size_t count = send_to_group(entity, stanza, id, group, targets_out);
    if (stanza->kind == STANZA_MESSAGE && (count > 0 || entity->send_except_count > 0)) {
        count += carbons_send_received(
                entity, stanza, id, targets_out + count, ACCOUNT_LOG_MAX_TARGETS - count);
    }
    return count;
}

static size_t send_as_decided(struct entity *entity,
        const struct stanza *stanza,
        int64_t id,
        struct id128 targets_out[ACCOUNT_LOG_MAX_TARGETS])
{
    switch (decide(entity, stanza)) {
    case DELIVER_ONE: return send_with_carbons(entity, stanza, id, SEND_TO_MATCH, targets_out);
    case DELIVER_ALL: return send_with_carbons(entity, stanza, id, SEND_TO_ELIGIBLE, targets_out);
    case DELIVER_ALL_AVAILABLE:
        return send_to_group(entity, stanza, id, SEND_TO_AVAILABLE, targets_out);
    case DELIVER_IGNORE:
    case DELIVER_ERROR:
    case DELIVER_STORE:
    case DELIVER_ACCOUNT: return 0;
    }
    return 0;
}

static void answer_error(
        struct entity *entity, const struct stanza *stanza, const struct stanza_error *error)
{
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, stanza);
    turn_reply_error(&turn, stanza, error);
    effects_apply(&turn);
    arena_fini(&arena);
}

static void answer_condition(
        struct entity *entity, const struct stanza *stanza, enum stanza_condition condition)
{
    struct stanza_error error = { .condition = condition };
    answer_error(entity, stanza, &error);
}

/* ---- the log's view of us */

/* As far as we know: an edge that has not announced it yet probably will. */
static bool is_live(const struct resource *resource)
{
    const struct sm_session *sm = resource->sm;
    return !resource->is_lost && !resource->is_closing && !(sm && (sm->is_detached || sm->resume));
}

static enum account_log_audience log_audience(void *context)
{
    const struct entity *entity = context;
    enum account_log_audience audience = ACCOUNT_LOG_NO_SESSION;
    if (state_of(entity) != DELIVER_ONLINE) {
        return audience;
    }
    for (const struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (resource_is_eligible(resource) && is_live(resource)) {
            return ACCOUNT_LOG_LIVE;
        }
    }
    return ACCOUNT_LOG_AWAY;
}

static bool log_is_live(void *context, struct id128 session)
{
    const struct resource *resource = entity_find_session(context, session);
    return resource && is_live(resource);
}

static void on_page(void *context, enum err err, const Wire__LogReadReply *reply)
{
    struct entity *entity = entity_ref_take(context);
    if (!entity) {
        return;
    }
    entity->read_request = 0;
    entity->read_ref = NULL;
    account_log_on_page(&entity->log, err == ERR_OK ? reply : NULL);
    if (err != ERR_OK && !timer_is_running(&entity->retry_timer)) {
        timer_start(loop_timers(entity->router->loop), &entity->retry_timer, READ_RETRY_MS);
    }
    entity_mark_dirty(entity);
}

void routes_on_retry(struct timer *timer, void *context)
{
    (void)timer;
    struct entity *entity = context;
    sm_flush_all(entity);
    account_log_poke(&entity->log);
}

static uint32_t least(int64_t a, int64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* One page and a half may be unconfirmed at a time: that has to fit what a session may owe. */
static void log_read_page(void *context, int64_t after_id)
{
    struct entity *entity = context;
    const struct settings *settings = entity->router->settings;
    entity->read_ref = entity_ref_create(entity);
    entity->read_request = log_read(entity->router->log,
            entity->account.id,
            after_id,
            least(settings->catch_up_page_entries, settings->max_unacked_stanzas / 2),
            least(settings->catch_up_page_bytes, settings->max_unacked_bytes / 2),
            on_page,
            entity->read_ref);
}

static void log_cancel_page(void *context)
{
    routes_cancel_read(context);
}

void routes_cancel_read(struct entity *entity)
{
    if (!entity->read_ref) {
        return;
    }
    log_cancel(entity->router->log, entity->read_request);
    (void)entity_ref_take(entity->read_ref); /* no callback will */
    entity->read_request = 0;
    entity->read_ref = NULL;
}

static void log_write_watermark(void *context, int64_t id)
{
    struct entity *entity = context;
    commit_watermark(entity->router->commit, entity->shard, entity->account.id, id);
}

/* A replayed entry carries when it came (XEP-0203); forged stamps of ours were removed before it
 * was kept (C15). */
static size_t deliver_replay(
        struct entity *entity, const struct account_log_send *send, struct id128 *targets_out)
{
    struct buf children;
    buf_init(&children, 0);
    buf_append_str(&children, send->stanza->children);
    delay_write(&children, entity->domain, send->id);
    struct stanza stamped = *send->stanza;
    stamped.children = buf_view(&children);
    stamped.child_count++;
    size_t count = send_as_decided(entity, &stamped, send->id, targets_out);
    buf_fini(&children);
    return count;
}

/* Nothing later changes that, as it does for an account that is switched off or offline. */
static bool is_for_nobody(const struct entity *entity, const struct stanza *stanza)
{
    if (state_of(entity) == DELIVER_NO_ACCOUNT) {
        return false;
    }
    enum deliver_action action = decide(entity, stanza);
    return action == DELIVER_IGNORE || action == DELIVER_ERROR || action == DELIVER_ACCOUNT;
}

static size_t log_deliver(
        void *context, const struct account_log_send *send, struct id128 *targets_out)
{
    struct entity *entity = context;
    if (is_for_nobody(entity, send->stanza)) {
        return ACCOUNT_LOG_NOBODY;
    }
    entity->send_except = send->except;
    entity->send_except_count = send->except_count;
    size_t count = send->is_replay ? deliver_replay(entity, send, targets_out)
                                   : send_as_decided(entity, send->stanza, send->id, targets_out);
    entity->send_except = NULL;
    entity->send_except_count = 0;
    return count;
}

const struct account_log_ops routes_log_ops = {
    .audience = log_audience,
    .is_live = log_is_live,
    .read = log_read_page,
    .cancel_read = log_cancel_page,
    .deliver = log_deliver,
    .watermark = log_write_watermark,
};

/* ---- volatile stanzas */

void routes_deliver_volatile(struct entity *entity, const struct stanza *stanza)
{
    struct id128 reached[ACCOUNT_LOG_MAX_TARGETS];
    (void)send_as_decided(entity, stanza, 0, reached);
}

/* P3: never before an entry of the same sender that still waits for its commit. */
static void deliver_in_order(struct entity *entity, const struct stanza *stanza)
{
    if (outbox_has_sender(&entity->outbox, stanza->from)) {
        (void)outbox_push(&entity->outbox, stanza, 0);
    } else {
        routes_deliver_volatile(entity, stanza);
    }
}

/* What is not kept has no mark of ours, so one that claims to be ours is forged, too (C15). */
static void deliver_unmarked(struct entity *entity, const struct stanza *stanza)
{
    if (stanza->kind != STANZA_MESSAGE || !stamps_may_be_there(stanza->children)) {
        deliver_in_order(entity, stanza);
        return;
    }
    struct buf children;
    buf_init(&children, 0);
    stamps_copy_unforged(&children, stanza->children, entity->bare, entity->domain);
    struct stanza unforged = *stanza;
    unforged.children = buf_view(&children);
    deliver_in_order(entity, &unforged);
    buf_fini(&children);
}

/* ---- durable stanzas */

struct entry_commit {
    struct entity_ref *ref;
    int64_t id;
};

static void flush_outbox(struct entity *entity)
{
    while (entity->outbox.head && (entity->outbox.head->is_decided || !entity->outbox.head->id)) {
        struct outbox_item *item = outbox_pop(&entity->outbox);
        if (!item->id) {
            routes_deliver_volatile(entity, &item->stanza);
        } else {
            account_log_on_committed(&entity->log, item->id, &item->stanza);
            outbox_tell_waiters(item, ERR_OK);
        }
        outbox_item_destroy(item);
    }
    entity_mark_dirty(entity);
}

/* Certainly not written. The home of the sender answers it (P5): an error from here could miss a
 * session that moves. The sender may try again (G01), which is another input; a repeat of this one
 * hears the same. */
static void withdraw(struct entity *entity, struct outbox_item *item)
{
    origins_add(&entity->origins, &item->origin, ORIGIN_REFUSED);
    account_log_on_withdrawn(&entity->log, stanza_bytes(&item->stanza));
    if (item->waiters) {
        outbox_tell_waiters(item, ERR_DENIED);
    } else {
        answer_condition(entity, &item->stanza, STANZA_ERROR_INTERNAL_SERVER_ERROR);
    }
    outbox_remove(&entity->outbox, item);
}

static void on_entry_decided(void *context, enum err err)
{
    struct entry_commit commit = *(struct entry_commit *)context;
    free(context);
    struct entity *entity = entity_ref_take(commit.ref);
    struct outbox_item *item = entity ? outbox_find(&entity->outbox, commit.id) : NULL;
    if (!item) {
        return;
    }
    if (err == ERR_FENCED || err == ERR_CLOSED) {
        entity_drop(entity);
        return;
    }
    if (err == ERR_OK) {
        item->is_decided = true;
    } else {
        withdraw(entity, item);
    }
    flush_outbox(entity);
}

static void append_entry(struct entity *entity, const struct item *item, struct stanza *stanza)
{
    struct router *router = entity->router;
    int64_t id = account_log_next_id(&entity->log, loop_wall_us(router->loop));
    struct buf children;
    buf_init(&children, 0);
    stamps_copy_unforged(&children, stanza->children, entity->bare, entity->domain);
    stanza_id_write(&children, entity->bare, id);
    stanza->children = buf_view(&children);
    stanza->child_count++;
    commit_entry(router->commit, entity->shard, entity->account.id, id, &item->origin, stanza);

    struct outbox_item *waiting = outbox_push(&entity->outbox, stanza, id);
    waiting->origin = item->origin;
    account_log_on_appended(&entity->log, stanza_bytes(stanza));
    if (item->done) {
        outbox_add_waiter(waiting, item->done, item->context);
    }
    origins_add(&entity->origins, &item->origin, id);
    struct entry_commit *context = MEM_NEW(struct entry_commit);
    context->ref = entity_ref_create(entity);
    context->id = id;
    commit_wait(router->commit, entity->shard, on_entry_decided, context);
    if (item->appended) {
        item->appended(item->context);
    }
    buf_fini(&children);
}

static void keep(struct entity *entity, const struct item *item)
{
    if (!commit_has_room(entity->router->commit)) {
        if (item->done) {
            item->done(item->context, ERR_DENIED);
        } else {
            answer_condition(entity, &item->stanza, STANZA_ERROR_RESOURCE_CONSTRAINT);
        }
        return;
    }
    struct stanza stanza = item->stanza;
    append_entry(entity, item, &stanza);
}

/* messages.durability: routed. Behind older ones that are in the log, or on their way into it, the
 * log is the way for a message, too (P3). False: it has to be kept. */
static bool deliver_unkept(struct entity *entity, const struct item *item)
{
    if (!entity->router->settings->is_routed || entity->log.has_backlog || entity->outbox.head) {
        return false;
    }
    struct id128 reached[ACCOUNT_LOG_MAX_TARGETS];
    struct stanza stanza = item->stanza;
    struct buf children;
    buf_init(&children, 0);
    if (stamps_may_be_there(stanza.children)) {
        stamps_copy_unforged(&children, stanza.children, entity->bare, entity->domain);
        stanza.children = buf_view(&children);
    }
    size_t count = send_as_decided(entity, &stanza, 0, reached);
    buf_fini(&children);
    if (count == 0) {
        return false;
    }
    if (count > 1) {
        sm_share_newest(entity, reached, count);
    }
    origins_add(&entity->origins,
            &item->origin,
            account_log_next_id(&entity->log, loop_wall_us(entity->router->loop)));
    return true;
}

static bool has_room(const struct entity *entity, const struct stanza *stanza)
{
    const struct settings *settings = entity->router->settings;
    return account_log_has_room(&entity->log,
            stanza_bytes(stanza),
            settings->offline_max_messages,
            settings->offline_max_bytes);
}

/* True: `item->done` is answered by it, now or later. */
static bool deliver_or_keep(struct turn *turn, const struct item *item, enum verdict *verdict_out)
{
    struct entity *entity = turn->entity;
    if (!stanza_is_durable(&item->stanza)) {
        deliver_unmarked(entity, &item->stanza);
        return false;
    }
    if (deliver_unkept(entity, item)) {
        return false;
    }
    if (!has_room(entity, &item->stanza)) { /* C34, in the words of an account that keeps nothing */
        metric_add(&offline_full_total, 1);
        *verdict_out = turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL);
        return false;
    }
    keep(entity, item);
    return true;
}

/* ---- the turn */

/* A repeat is answered when the first one is decided. True: answered, now or later. */
static bool handle_duplicate(struct entity *entity, const struct item *item, int64_t id)
{
    metric_add(&duplicates_total, 1);
    if (id == ORIGIN_REFUSED) {
        item->done(item->context, ERR_DENIED);
        return true;
    }
    struct outbox_item *first = outbox_find(&entity->outbox, id);
    if (first && item->done) {
        outbox_add_waiter(first, item->done, item->context);
        return true;
    }
    return false;
}

/* A former home took it back for want of a store and its sender's home was lost with the news,
 * while what the same session said later was kept: behind that it would be out of order (P3), so
 * its sender hears now that it was not kept (P5). */
static bool is_overtaken(struct entity *entity, const struct item *item)
{
    if (entity->router->settings->is_routed) { /* not in the log, and perhaps delivered */
        return false;
    }
    if (!entity_is_young(entity) || !origins_has_younger(&entity->origins, &item->origin)) {
        return false;
    }
    metric_add(&overtaken_total, 1);
    return true;
}

/* A request to the bare JID from elsewhere: strangers learn nothing, not even whether the account
 * exists (C09). */
static enum verdict answer_for_account(struct turn *turn)
{
    if (str_equal(turn->from.bare, turn->entity->bare)) {
        return pipeline_iq(turn, TO_ACCOUNT);
    }
    return pipeline_iq(turn, TO_ACCOUNT_BY_OTHERS);
}

/* What RFC 6121 §8 says. True: `done` is answered later. */
static bool act(struct turn *turn, struct item *item, enum verdict *verdict_out)
{
    struct entity *entity = turn->entity;
    *verdict_out = VERDICT_HANDLED;
    switch (decide(entity, &item->stanza)) {
    case DELIVER_IGNORE: return false;
    case DELIVER_ERROR:
        *verdict_out = turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL);
        return false;
    case DELIVER_ACCOUNT: *verdict_out = answer_for_account(turn); return false;
    case DELIVER_STORE:
    case DELIVER_ONE:
    case DELIVER_ALL:
    case DELIVER_ALL_AVAILABLE: return deliver_or_keep(turn, item, verdict_out);
    }
    return false;
}

bool routes_handle(struct entity *entity, struct item *item)
{
    int64_t id;
    bool is_durable = item->done && stanza_is_durable(&item->stanza);
    bool is_later = false;
    enum verdict verdict = VERDICT_HANDLED;
    if (is_durable && origins_find(&entity->origins, &item->origin, &id)) {
        is_later = handle_duplicate(entity, item, id);
    } else if (is_durable && is_overtaken(entity, item)) {
        item->done(item->context, ERR_DENIED);
        is_later = true;
    } else {
        struct arena arena;
        struct turn turn;
        arena_init(&arena, 0);
        effects_begin(&turn, &arena, entity, &item->stanza);
        turn.origin = item->origin;
        verdict = pipeline_inbound(&turn);
        if (verdict == VERDICT_PASS) {
            is_later = act(&turn, item, &verdict);
        }
        if (verdict == VERDICT_REJECT) {
            turn_reply_error(&turn, &item->stanza, &turn.error);
        }
        effects_apply(&turn);
        if (verdict == VERDICT_WAIT) {
            account_request_start(entity, item, &turn.request);
        }
        arena_fini(&arena);
    }
    if (verdict == VERDICT_WAIT) {
        return false;
    }
    if (item->done && !is_later) {
        item->done(item->context, ERR_OK);
    }
    return true;
}

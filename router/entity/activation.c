/* What an entity reads before its first turn: account row, roster, sessions, then the tail of its
 * log. A store that is away is asked again with backoff; meanwhile what waits too long is answered
 * (G01). While Redis counts as connected, or has just been lost, its word is waited for, since
 * clients that cannot resume lose more than that; one that is away is not. */
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/redis.h"
#include "proto/xmpp/stanza_error.h"
#include "router/commit.h"
#include "router/entity/blocklist.h"
#include "router/entity/data_request.h"
#include "router/entity/entity.h"
#include "router/entity/roster_access.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/log_client.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/shard.h"
#include "router/spool.h"
#include "router/turn.h"

#define REDIS_GRACE_MS    1500 /* a connection that is lost comes back by then, or Redis is away */
#define REDIS_LIMIT_MS    6000 /* for one that comes and goes */
#define REDIS_POLL_MS     50
#define UNTOLD_WAIT_MS    15000 /* edges announce what they hold as soon as they see a new home */
#define BACKOFF_FIRST_MS  100
#define BACKOFF_DOUBLINGS 6               /* to 6.4 s */
#define YOUNG_MS          INT64_C(120000) /* by then nobody repeats what a former home had */
#define ORIGINS_WINDOW_US \
    INT64_C(150000000) /* repeats come within the time-outs of edges and routers */

static void open_log(struct entity *entity);

/* ---- giving up, for now */

static void answer_expired_input(struct entity *entity, struct item *item)
{
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, &item->stanza);
    struct stanza_error error = { .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    if (!item->is_answered) {
        turn_reply_error(&turn, &item->stanza, &error);
    }
    struct egress_target target = { .session = item->session, .bare = entity->bare };
    if (turn.effects
            && egress_deliver(
                       entity->router->egress, item->edge, &turn.effects->stanza, 0, &target, 1)
                    != ERR_OK) {
        log_debug("entity", "late error not delivered");
    }
    arena_fini(&arena);
    sessions_answered_input(entity, item->session, item->counter);
    egress_handled(entity->router->egress,
            item->edge,
            item->session,
            item->counter,
            WIRE__SWITCH__SWITCH_NOT_SAID);
}

static void answer_expired_route(struct entity *entity, struct item *item)
{
    if (item->done) {
        origins_add(&entity->origins, &item->origin, ORIGIN_REFUSED); /* and so is a copy of it */
        item->done(item->context, ERR_DENIED);
        return;
    }
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, &item->stanza);
    struct stanza_error error = { .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    turn_reply_error(&turn, &item->stanza, &error);
    effects_apply(&turn);
    arena_fini(&arena);
}

/* Handled is cumulative: an input is answered only when nothing before it is undecided. Else it
 * stays, and its turn comes. */
static bool may_expire_input(const struct entity *entity, const struct item *item)
{
    const struct resource *resource = entity_find_session(entity, item->session);
    if (!resource) {
        return true;
    }
    return !resource->works && !counter_is_after(resource->last_durable, resource->input_committed)
            && !counter_is_after(item->counter, resource->taken + 1);
}

/* An account that cannot be opened at all answers whatever it may have kept. */
static bool is_store_away(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_TIMEOUT || err == ERR_LIMIT;
}

/* An answer outside the numbers would break them: its edge and its client know that it waits. What
 * may be a repeat waits, too, and whatever is behind it, since Handled is cumulative. */
static bool must_wait(const struct entity *entity, const struct item *input, enum err err)
{
    if (input->kind != ITEM_INPUT) {
        return false;
    }
    const struct resource *resource = entity_find_session(entity, input->session);
    bool is_waiting = resource && resource->sm;
    /* Of what is older only that which stays is there; an Announce always does. */
    for (const struct item *item = entity->mailbox.head; item; item = item->next) {
        if (!id128_equal(item->session, input->session)) {
            continue;
        }
        if (item->kind == ITEM_ANNOUNCE) {
            bool may_repeat = input->posted_ms - item->posted_ms < RESOURCE_REPEATS_MS;
            is_waiting = item->sm.has_sm || (may_repeat && is_store_away(err));
        } else if (item->kind == ITEM_INPUT) {
            is_waiting = true;
        }
    }
    return is_waiting;
}

/* Its stream has ended behind it: nobody would hear an error, so it waits for the store instead. */
static bool is_of_ended_stream(const struct item *input)
{
    if (input->kind != ITEM_INPUT) {
        return false;
    }
    for (const struct item *item = input->next; item; item = item->next) {
        if (item->kind == ITEM_CLOSE && id128_equal(item->session, input->session)) {
            return true;
        }
    }
    return false;
}

/* Nobody can say that it was not kept before the log was read. */
static bool may_be_kept(const struct item *route, enum err err)
{
    return is_store_away(err) && route->done && route->origin.is_repeat;
}

/* What is too old and asks for an answer gets one; the rest stays in order. */
static void expire_items(struct entity *entity, enum err err)
{
    int64_t oldest_ms =
            loop_now_ms(entity->router->loop) - entity->router->settings->commit_timeout_ms;
    struct mailbox old = entity->mailbox;
    if (!old.head || old.head->posted_ms > oldest_ms) {
        return;
    }
    mailbox_init(&entity->mailbox);
    struct item *next;
    for (struct item *item = old.head; item; item = next) {
        next = item->next;
        bool is_old = item->posted_ms <= oldest_ms && !must_wait(entity, item, err)
                && !is_of_ended_stream(item);
        if (is_old && item->kind == ITEM_BIND) {
            sessions_answer_failed_bind(entity, item, WIRE__STATUS__STATUS_TEMPORARY);
        } else if (is_old && item->kind == ITEM_INPUT && may_expire_input(entity, item)) {
            answer_expired_input(entity, item);
        } else if (is_old && item->kind == ITEM_ROUTE && !may_be_kept(item, err)) {
            answer_expired_route(entity, item);
        } else {
            mailbox_push(&entity->mailbox, item);
            continue;
        }
        item_destroy(item);
    }
}

static void on_load_due(struct timer *timer, void *context)
{
    (void)timer;
    struct entity *entity = context;
    entity->load_again(entity);
}

static void load_later(
        struct entity *entity, void (*again)(struct entity *entity), int64_t delay_ms)
{
    entity->load_again = again;
    timer_start(loop_timers(entity->router->loop), &entity->load_timer, delay_ms);
}

static void back_off(struct entity *entity, const char *what, enum err err)
{
    log_at(entity->load_tries == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
            "entity",
            "activation waits for a store",
            log_cstr("what", what),
            log_cstr("err", err_name(err)),
            log_jid("jid", entity->bare));
    entity->state = ENTITY_BACKING_OFF;
    unsigned doublings =
            entity->load_tries < BACKOFF_DOUBLINGS ? entity->load_tries : BACKOFF_DOUBLINGS;
    entity->load_tries++;
    expire_items(entity, err);
    load_later(entity, entity_activate, (int64_t)BACKOFF_FIRST_MS << doublings);
}

/* ---- the log */

/* Redis named it among those to be woken, and it has no such session. */
static void settle_revived(struct entity *entity)
{
    bool is_live = sessions_is_live(entity);
    if (entity->is_revived && !is_live && entity->router->redis) {
        spool_remove_live(entity->router->redis, entity->shard, entity->bare);
    }
    entity->is_live = is_live;
    entity->is_revived = false;
}

/* Neither resumable nor announced: its edge is gone, too, and nobody else will say so (RFC 6121
 * §4.5.3). One that is announced after all is available again then. */
static void on_untold(struct timer *timer, void *context)
{
    struct entity *entity = context;
    struct resource *next;
    if (!shard_may_give_up(entity->router->shards)) { /* we have slept: others may know better */
        timer_start(loop_timers(entity->router->loop), timer, UNTOLD_WAIT_MS);
        return;
    }
    for (struct resource *resource = entity->resources; resource; resource = next) {
        next = resource->next;
        if (!resource->is_told && !resource->is_closing && !resource->sm) {
            sessions_end(entity, resource);
        }
    }
}

/* Behind a reload, too: what is waited for already is not waited for longer. */
static void await_announces(struct entity *entity)
{
    for (const struct resource *resource = entity->resources;
            resource && !timer_is_running(&entity->untold_timer);
            resource = resource->next) {
        if (!resource->is_told && !resource->is_closing && !resource->sm) {
            timer_start(loop_timers(entity->router->loop), &entity->untold_timer, UNTOLD_WAIT_MS);
        }
    }
}

void entity_init_loading(struct entity *entity)
{
    timer_init(&entity->load_timer, on_load_due, entity);
    timer_init(&entity->untold_timer, on_untold, entity);
}

static void finish(struct entity *entity, enum entity_state state)
{
    entity->state = state;
    entity->load_tries = 0;
    entity->has_settled = true;
    settle_revived(entity);
    await_announces(entity);
    if (state == ENTITY_ACTIVE) {
        account_log_poke(&entity->log);
    }
    entity_mark_dirty(entity); /* settles the idle list, too */
    entity_wake(entity);
}

static void on_log(void *context, enum err err, const Wire__LogOpenReply *reply)
{
    struct entity *entity = entity_ref_take(context);
    if (!entity || entity->state != ENTITY_LOADING_LOG) {
        return;
    }
    if (err != ERR_OK) {
        back_off(entity, "log", err);
        return;
    }
    if (entity->is_nobody) {
        roster_clear(&entity->roster);
        finish(entity, ENTITY_UNKNOWN);
        return;
    }
    for (size_t i = 0; i < reply->n_origins && i < reply->n_origin_ids; i++) {
        const Wire__Origin *from = reply->origins[i];
        struct origin origin = origin_of_wire(from);
        if (reply->origin_ids[i] > 0) {
            origins_add(&entity->origins, &origin, reply->origin_ids[i]);
        }
    }
    for (size_t i = reply->n_inputs;
            i-- > 0;) { /* newest first: the oldest ones may be forgotten */
        sessions_store_input(entity, wire_id(reply->inputs[i]->session), reply->inputs[i]->h);
    }
    entity->is_log_open = true;
    entity->opened_ms = loop_now_ms(entity->router->loop);
    int64_t watermark = entity->pending_watermark > reply->watermark ? entity->pending_watermark
                                                                     : reply->watermark;
    account_log_open(&entity->log, reply->last_id, watermark);
    account_log_set_waiting(&entity->log, reply->waiting_entries, reply->waiting_bytes);
    finish(entity, ENTITY_ACTIVE);
}

bool entity_is_young(const struct entity *entity)
{
    return loop_now_ms(entity->router->loop) - entity->opened_ms <= YOUNG_MS;
}

static void open_log(struct entity *entity)
{
    entity->state = ENTITY_LOADING_LOG;
    int64_t after = loop_wall_us(entity->router->loop) - ORIGINS_WINDOW_US;
    entity->pending_watermark =
            commit_pending_watermark(entity->router->commit, entity->account.id);
    log_open_owner(
            entity->router->log, entity->account.id, after, on_log, entity_ref_create(entity));
}

/* ---- sessions */

static void restore_sm(
        struct entity *entity, struct resource *resource, const struct session_record_sm *record)
{
    int64_t now_ms = loop_now_ms(entity->router->loop);
    int64_t wall_ms = loop_wall_us(entity->router->loop) / 1000;
    struct sm_session *sm = sm_session_create(entity, resource, record->acked);
    resource->sm = sm;
    sm->base_sequence = record->base_sequence;
    sm->base_counter = record->base_counter;
    sm->is_resumable = record->is_resumable;
    sm->attach = sm_attach_of(record->attach);
    sm->granted = record->granted;
    sm->max_ms = (int64_t)record->max_s * 1000;
    if (record->is_detached) {
        int64_t since_ms = wall_ms - record->detached_wall_ms;
        sm_restore_detached(entity, resource, now_ms - (since_ms > 0 ? since_ms : 0));
        sm->detached_wall_ms = record->detached_wall_ms;
    } else {
        sm_await_announce(entity, resource);
    }
}

static void restore_presence(struct resource *resource, const struct session_record *record)
{
    resource_set_presence(resource, record->presence, record->presence_child_count);
    struct str rest = record->directed;
    while (rest.len > 0) {
        resource_add_directed(resource, str_cut(&rest, '\0'));
    }
    resource->is_presence_stored = record->presence.len > 0 || record->directed.len > 0;
}

static void restore_session(struct entity *entity, const struct session_record *record)
{
    char *edge = str_to_cstr(record->edge);
    struct resource *resource =
            resource_create(record->session, edge, entity->bare, record->resource);
    free(edge);
    resource->is_available = record->is_available;
    resource->has_blocklist = record->has_blocklist;
    resource->has_carbons = record->has_carbons;
    resource->moved_ms = loop_now_ms(entity->router->loop);
    resource->is_initialised = record->is_available;
    resource->is_interested = record->is_interested;
    resource->priority = record->priority;
    restore_presence(resource, record);
    resource_set_handled(resource, record->handled);
    sessions_add(entity, resource);
    if (record->has_sm) {
        restore_sm(entity, resource, &record->sm);
    }
}

static void ask_sessions(struct entity *entity);
static void load_spools(struct entity *entity);

static bool may_ask_again(const struct entity *entity)
{
    int64_t asked_ms = loop_now_ms(entity->router->loop) - entity->redis_asked_ms;
    return asked_ms < REDIS_LIMIT_MS && redis_down_ms(entity->router->redis) < REDIS_GRACE_MS;
}

static bool has_unread_spool(const struct entity *entity)
{
    for (const struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (resource->sm && !resource->sm->is_spool_read) {
            return true;
        }
    }
    return false;
}

static void on_spool(struct entity *entity)
{
    if (--entity->spools_loading > 0) {
        return;
    }
    if (has_unread_spool(entity) && may_ask_again(entity)) {
        load_later(entity, load_spools, REDIS_POLL_MS);
    } else {
        open_log(entity);
    }
}

static void load_spools(struct entity *entity)
{
    entity->spools_loading = 1; /* this call */
    for (struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (resource->sm && !resource->sm->is_spool_read) {
            entity->spools_loading++;
            sm_spool_load(entity, resource, on_spool);
        }
    }
    on_spool(entity);
}

static void on_sessions(
        void *context, enum err err, const struct session_record *records, size_t count)
{
    struct entity *entity = entity_ref_take(context);
    if (!entity || entity->state != ENTITY_LOADING_SESSIONS) {
        return;
    }
    bool is_away = err == ERR_UNAVAILABLE || err == ERR_TIMEOUT;
    if (is_away && may_ask_again(entity)) {
        load_later(entity, ask_sessions, REDIS_POLL_MS);
        return;
    }
    entity->knows_sessions = err == ERR_OK && !entity->is_nobody;
    for (size_t i = 0; entity->knows_sessions && i < count; i++) {
        const struct session_record *record = &records[i];
        if (entity_find_session(entity, record->session)
                || entity_find_resource(entity, record->resource)) {
            continue;
        }
        restore_session(entity, record);
    }
    load_spools(entity);
}

static void ask_sessions(struct entity *entity)
{
    const struct router *router = entity->router;
    if (redis_is_up(router->redis)) {
        session_registry_load(router->redis, entity->bare, on_sessions, entity_ref_create(entity));
    } else if (may_ask_again(entity)) {
        load_later(entity, ask_sessions, REDIS_POLL_MS);
    } else {
        log_info("entity", "activation without Redis", log_jid("jid", entity->bare));
        open_log(entity);
    }
}

static void load_sessions(struct entity *entity)
{
    struct router *router = entity->router;
    if (entity->resources || !router->redis) {
        open_log(entity);
        return;
    }
    entity->state = ENTITY_LOADING_SESSIONS;
    entity->redis_asked_ms = loop_now_ms(router->loop);
    ask_sessions(entity);
}

/* ---- the account */

void entity_set_blocklist(struct entity *entity, struct str stored)
{
    blocklist_destroy(entity->blocklist);
    entity->blocklist = blocklist_create(stored);
}

static void go_on(struct entity *entity)
{
    if (entity->is_log_open) {
        finish(entity, ENTITY_ACTIVE); /* a reload: sessions and log are known */
    } else {
        load_sessions(entity);
    }
}

static void on_roster(struct entity *entity, enum err err)
{
    if (entity->state != ENTITY_LOADING_ROSTER) {
        return;
    }
    if (err != ERR_OK) {
        back_off(entity, "roster", err);
    } else {
        go_on(entity);
    }
}

static void load_roster(struct entity *entity)
{
    entity->state = ENTITY_LOADING_ROSTER;
    roster_access_load(entity, on_roster);
}

/* C08: nobody takes the reads of somebody, one after the other; they find nothing. So a stranger
 * does not learn from the time whether there is an account. A reload does not wait for that. */
static void settle_nobody(struct entity *entity)
{
    if (entity->has_settled) {
        finish(entity, ENTITY_UNKNOWN);
    } else {
        entity->is_nobody = true;
        load_roster(entity);
    }
}

static const struct account_row no_account = { .state = ACCOUNT_DELETED };

/* Its key opens what it keeps. */
static enum err take_account(struct entity *entity, const struct account_row *row)
{
    struct account_row former = entity->account;
    entity->account = (struct account_row){ .id = row->id, .state = row->state };
    enum err err = data_take_key(entity, row->wrapped_key);
    if (err == ERR_OK) {
        err = data_take_blocklist(entity, row);
    }
    if (err != ERR_OK) {
        entity->account = former;
    }
    return err;
}

static void on_account(void *context, enum err err, const struct account_row *row)
{
    struct entity *entity = entity_ref_take(context);
    if (!entity || entity->state != ENTITY_LOADING_ACCOUNT) {
        return;
    }
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        back_off(entity, "account", err);
        return;
    }
    int64_t former_id = entity->is_log_open ? entity->account.id : 0;
    err = take_account(entity, err == ERR_OK ? row : &no_account);
    if (err != ERR_OK) { /* without its block list it would hear whom it has blocked */
        back_off(entity, "account key", err);
        return;
    }
    if (entity->account.state != ACCOUNT_ACTIVE) {
        sessions_kick_all(entity, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL);
        entity->account.id = 0;
        entity->is_log_open = false; /* should it come back, the log is opened anew */
        roster_clear(&entity->roster);
        data_forget_key(entity);
        settle_nobody(entity);
        return;
    }
    entity->is_nobody = false;
    entity->is_log_open = former_id == entity->account.id;
    if (entity->roster.is_loaded && entity->is_log_open) {
        go_on(entity);
    } else {
        load_roster(entity);
    }
}

void entity_activate(struct entity *entity)
{
    entity->state = ENTITY_LOADING_ACCOUNT;
    account_load(entity->router->accounts, entity->bare, on_account, entity_ref_create(entity));
}

void entity_reload(struct entity *entity)
{
    entity_activate(entity);
}

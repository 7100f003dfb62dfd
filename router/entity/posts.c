/* The doors of entity_table.h: each message becomes an item in a mailbox, with everything it needs
 * copied. */
#include "router/entity/posts.h"

#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "proto/xmpp/stanza_error.h"
#include "router/entity/components.h"
#include "router/entity/entity.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/turn.h"

static struct metric_family refused = {
    .name = "entity_refused_total",
    .help = "Stanzas a full mailbox did not take",
    .label = "kind",
};

static struct item *from_edge(
        enum item_kind kind, const char *edge, const Wire__Id *session, struct str resource)
{
    struct item *item = item_create(kind, NULL, strlen(edge) + resource.len);
    item->edge = str_dup(&item->arena, str_from_cstr(edge)).ptr;
    item->session = wire_id(session);
    item->resource = str_dup(&item->arena, resource);
    return item;
}

void entity_on_bind(struct entity_table *table, const char *edge, const Wire__Bind *bind)
{
    struct item *item = from_edge(ITEM_BIND, edge, NULL, wire_str(bind->resource));
    item->request = bind->request;
    item->bind.client = wire_id(bind->client);
    item->bind.tag = str_dup(&item->arena, wire_str(bind->tag));
    item->bind.wants_sm = bind->wants_sm;
    item->bind.has_carbons = bind->has_carbons;
    item->sm.is_resumable = bind->may_resume;
    item->sm.max_s = bind->max_s;
    item->sm.is_inactive = bind->is_inactive;
    entity_post(entity_get(table, wire_str(bind->bare)), item);
}

static void copy_written(struct item *item, const Wire__Announce *announce)
{
    size_t count = announce->n_log_ids;
    uint32_t *sequences = arena_alloc(&item->arena, count * sizeof(sequences[0]));
    int64_t *ids = arena_alloc(&item->arena, count * sizeof(ids[0]));
    for (size_t i = 0; i < count; i++) {
        sequences[i] = announce->sequences[i];
        ids[i] = announce->log_ids[i];
    }
    item->sm.sequences = sequences;
    item->ids = ids;
    item->id_count = count;
}

void entity_on_announce(
        struct entity_table *table, const char *edge, const Wire__Announce *announce)
{
    struct jid jid;
    if (jid_split(wire_str(announce->full), &jid) != ERR_OK || jid_is_bare(&jid)) {
        return;
    }
    struct item *item = from_edge(ITEM_ANNOUNCE, edge, announce->session, jid.resource);
    item->counter = announce->handled;
    item->is_available = announce->is_available;
    item->priority = (int8_t)announce->priority;
    item->sm.has_sm = announce->has_sm;
    item->sm.acked = announce->acked;
    item->sm.written = announce->written;
    item->sm.attach = announce->attach;
    item->sm.is_proved = announce->attach <= 1 || announce->attach_token.len > 0;
    item->bind.has_carbons = announce->has_carbons;
    copy_written(item, announce);
    entity_post(entity_get(table, jid.bare), item);
}

void entity_on_input(struct entity_table *table,
        const char *edge,
        const Wire__Input *input,
        const struct stanza *stanza)
{
    struct item *item = item_create(ITEM_INPUT, stanza, strlen(edge) + input->answer_from.len);
    item->edge = str_dup(&item->arena, str_from_cstr(edge)).ptr;
    item->session = wire_id(input->session);
    item->counter = input->counter;
    item->sm.attach = input->attach;
    item->is_answered = input->is_answered;
    item->answer_from = str_dup(&item->arena, wire_str(input->answer_from));
    entity_post(entity_get(table, wire_str(input->bare)), item);
}

void entity_on_close(struct entity_table *table, const char *edge, const Wire__Close *close)
{
    struct item *item = from_edge(ITEM_CLOSE, edge, close->session, STR_NULL);
    item->sm.is_resumable = close->is_resumable;
    item->sm.attach = close->attach;
    entity_post(entity_get(table, wire_str(close->bare)), item);
}

void entity_on_acked(struct entity_table *table, const char *edge, const Wire__Acked *acked)
{
    struct entity *entity = entity_find(table, wire_str(acked->bare));
    if (!entity) {
        return; /* a new activation is told with Announce */
    }
    struct item *item = from_edge(ITEM_ACKED, edge, acked->session, STR_NULL);
    item->sm.acked = acked->sequence;
    item->sm.attach = acked->attach;
    entity_post(entity, item);
}

void entity_on_enable(struct entity_table *table, const char *edge, const Wire__Enable *enable)
{
    struct item *item = from_edge(ITEM_ENABLE, edge, enable->session, STR_NULL);
    item->request = enable->request;
    item->sm.is_resumable = enable->may_resume;
    item->sm.max_s = enable->max_s;
    entity_post(entity_get(table, wire_str(enable->bare)), item);
}

void entity_on_resume(struct entity_table *table,
        const char *edge,
        const Wire__Resume *resume,
        int64_t authenticated_us)
{
    struct item *item = from_edge(ITEM_RESUME, edge, NULL, wire_str(resume->resume_id));
    item->request = resume->request;
    item->sm.resume_id = item->resource;
    item->sm.h = resume->h;
    item->sm.asked_us = loop_wall_us(entity_table_router(table)->loop);
    item->sm.authenticated_us = authenticated_us;
    entity_post(entity_get(table, wire_str(resume->bare)), item);
}

void entity_on_client_state(
        struct entity_table *table, const char *edge, const Wire__ClientState *state)
{
    struct item *item = from_edge(ITEM_CLIENT_STATE, edge, state->session, STR_NULL);
    item->sm.is_inactive = state->is_inactive;
    item->sm.attach = state->attach;
    entity_post(entity_get(table, wire_str(state->bare)), item);
}

void entity_on_delivered(
        struct entity_table *table, const char *edge, const Wire__Delivered *delivered)
{
    struct entity *entity = entity_find(table, wire_str(delivered->bare));
    if (!entity) {
        return; /* a new activation sends again and hears again */
    }
    struct item *item = item_create(
            ITEM_DELIVERED, NULL, strlen(edge) + delivered->n_ids * sizeof(item->ids[0]));
    item->edge = str_dup(&item->arena, str_from_cstr(edge)).ptr;
    item->session = wire_id(delivered->session);
    int64_t *ids = arena_alloc(&item->arena, delivered->n_ids * sizeof(ids[0]) + 1);
    for (size_t i = 0; i < delivered->n_ids; i++) {
        ids[i] = delivered->ids[i];
    }
    item->ids = ids;
    item->id_count = delivered->n_ids;
    entity_post(entity, item);
}

void entity_on_session_gone(
        struct entity_table *table, const char *edge, const Wire__SessionGone *gone)
{
    struct entity *entity = entity_find(table, wire_str(gone->bare));
    if (entity) { /* of a session nobody remembers there is nothing to end */
        struct item *item = from_edge(ITEM_SESSION_GONE, edge, gone->session, STR_NULL);
        item->sm.attach = gone->attach;
        entity_post(entity, item);
    }
}

/* A full mailbox answers requests instead of swallowing them (P5, P7). */
static void refuse_route(
        struct entity *entity, const struct stanza *stanza, entity_route_done done, void *context)
{
    metric_family_add(&refused, stanza_kind_name(stanza->kind), 1);
    if (done) {
        done(context, ERR_DENIED);
        return;
    }
    if (stanza->kind != STANZA_IQ) {
        return;
    }
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, stanza);
    struct stanza_error error = { .condition = STANZA_ERROR_RESOURCE_CONSTRAINT };
    turn_reply_error(&turn, stanza, &error);
    effects_apply(&turn);
    arena_fini(&arena);
}

void entity_on_route(struct entity_table *table,
        const struct origin *origin,
        const struct stanza *stanza,
        entity_route_done done,
        void *context)
{
    struct jid to;
    if (jid_split(stanza->to, &to) != ERR_OK) {
        if (done) {
            done(context, ERR_OK); /* a neighbour's mistake: repeating it helps nobody */
        }
        return;
    }
    struct router *router = entity_table_router(table);
    if (settings_find_component(router->settings, to.domain)) {
        components_on_route(router->components, origin, stanza, done, context);
        return;
    }
    struct entity *entity = entity_get(table, to.bare);
    /* Nobody can say what became of a repeat before the log was read. There are no more of them
     * than the windows of their senders' sessions let through. */
    bool is_full = (int64_t)entity->mailbox.count >= entity->router->settings->max_mailbox;
    if (is_full && !(done && origin->is_repeat)) {
        refuse_route(entity, stanza, done, context);
        return;
    }
    struct item *item = item_create(ITEM_ROUTE, stanza, 0);
    item->origin = *origin;
    item->done = done;
    item->context = context;
    entity_post(entity, item);
}

static bool has_session_on(const struct entity *entity, const char *edge)
{
    for (const struct resource *resource = entity->resources; resource; resource = resource->next) {
        bool is_resuming = resource->sm && resource->sm->resume
                && strcmp(resource->sm->resume->edge, edge) == 0;
        if (is_resuming || strcmp(resource->edge, edge) == 0) {
            return true;
        }
    }
    return false;
}

/* It may just be reading such a session, or have one made by what that edge has asked for and waits
 * for its turn: whoever asked will not end it. */
static bool may_get_session(const struct entity *entity)
{
    bool is_loading = entity->state != ENTITY_ACTIVE && entity->state != ENTITY_UNKNOWN;
    return is_loading || entity->mailbox.head || entity->waiting;
}

void entity_on_edge_dead(struct entity_table *table, const char *edge)
{
    for (struct entity *entity = entity_table_first(table); entity; entity = entity->hh.next) {
        if (has_session_on(entity, edge) || may_get_session(entity)) {
            entity_post(entity, from_edge(ITEM_EDGE_DEAD, edge, NULL, STR_NULL));
        }
    }
}

void entity_on_end_sessions(struct entity_table *table, struct str bare)
{
    struct entity *entity = entity_find(table, bare);
    if (entity) {
        entity_post(entity, item_create(ITEM_END_SESSIONS, NULL, 0));
    }
}

void entity_on_account_changed(struct entity_table *table, struct str bare)
{
    struct entity *entity = entity_find(table, bare);
    if (entity) {
        entity_post(entity, item_create(ITEM_ACCOUNT_CHANGED, NULL, 0));
    }
}

bool entity_let_go(struct entity_table *table, struct str bare)
{
    struct entity *entity = entity_find(table, bare);
    if (!entity) {
        return true;
    }
    if (!entity_is_quiet(entity) || entity->state == ENTITY_BACKING_OFF) {
        return false;
    }
    if (entity->state == ENTITY_UNKNOWN && !entity->resources) {
        entity_drop(entity);
        return true;
    }
    entity_post(entity, item_create(ITEM_ACCOUNT_CHANGED, NULL, 0));
    return false;
}

bool entity_has_taken(struct entity_table *table, struct str bare, const struct origin *origin)
{
    const struct entity *entity = entity_find(table, bare);
    int64_t id;
    return entity && origins_find(&entity->origins, origin, &id) && id != ORIGIN_REFUSED;
}

bool entity_is_in_use(struct entity_table *table, struct str bare)
{
    const struct entity *entity = entity_find(table, bare);
    return entity && entity->resource_count > 0;
}

void entity_list_in_use(struct entity_table *table, struct str host, struct buf *out)
{
    for (struct entity *entity = entity_table_first(table); entity; entity = entity->hh.next) {
        if (entity->resource_count > 0 && str_equal(entity->domain, host)) {
            buf_append_str(out, entity->bare);
            buf_append_char(out, '\0');
        }
    }
}

bool entity_knows_sessions(const struct entity_table *table, unsigned shard)
{
    return entity_table_is_settled(table, shard);
}

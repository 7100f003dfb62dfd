/* Sessions of an account: bind, announce, end. */
#include "router/entity/sessions.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "router/entity/csi_buffer.h"
#include "router/entity/entity.h"
#include "router/entity/sm.h"
#include "router/pipeline.h"
#include "router/router.h"
#include "router/signer.h"

#define MAX_STORED_INPUTS 256
#define ASK_AGAIN_MS      1000
#define RANDOM_RESOURCE   16 /* hex digits */

static struct metric sessions_gauge = METRIC_GAUGE_INIT("sessions", "Sessions at home here", NULL);
static struct metric replaced_total = METRIC_COUNTER_INIT(
        "sessions_replaced_total", "Sessions ended by a newer one of the same resource", NULL);

struct resource *entity_find_session(const struct entity *entity, struct id128 session)
{
    for (struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (id128_equal(resource->session, session)) {
            return resource;
        }
    }
    return NULL;
}

struct resource *entity_find_resource(const struct entity *entity, struct str name)
{
    for (struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (!resource->is_closing && str_equal(resource->name, name)) {
            return resource;
        }
    }
    return NULL;
}

/* ---- what is remembered of input counters */

static struct stored_input *find_stored(
        const struct entity *entity, struct id128 session, bool is_answered)
{
    for (size_t i = 0; i < entity->stored_input_count; i++) {
        struct stored_input *stored = &entity->stored_inputs[i];
        if (id128_equal(stored->session, session) && stored->is_answered == is_answered) {
            return stored;
        }
    }
    return NULL;
}

static void store_input(struct entity *entity, struct id128 session, uint32_t h, bool is_answered)
{
    struct stored_input *stored = find_stored(entity, session, is_answered);
    if (stored) {
        stored->h = counter_is_after(h, stored->h) ? h : stored->h;
        return;
    }
    if (entity->stored_input_count == entity->stored_input_capacity
            && entity->stored_input_capacity < MAX_STORED_INPUTS) {
        entity->stored_input_capacity =
                entity->stored_input_capacity ? 2 * entity->stored_input_capacity : 2;
        entity->stored_inputs = mem_realloc(entity->stored_inputs,
                entity->stored_input_capacity * sizeof(entity->stored_inputs[0]));
    }
    if (entity->stored_input_count == MAX_STORED_INPUTS) { /* the oldest one leaves */
        memmove(entity->stored_inputs,
                entity->stored_inputs + 1,
                (MAX_STORED_INPUTS - 1) * sizeof(entity->stored_inputs[0]));
        entity->stored_input_count--;
    }
    entity->stored_inputs[entity->stored_input_count++] =
            (struct stored_input){ session, h, is_answered };
}

void sessions_store_input(struct entity *entity, struct id128 session, uint32_t h)
{
    struct resource *resource = entity_find_session(entity, session);
    if (resource) {
        resource->input_is_stored = true;
    }
    store_input(entity, session, h, false);
}

bool sessions_find_input(const struct entity *entity, struct id128 session, uint32_t *h_out)
{
    const struct stored_input *stored = find_stored(entity, session, false);
    if (stored) {
        *h_out = stored->h;
    }
    return stored != NULL;
}

void sessions_answered_input(struct entity *entity, struct id128 session, uint32_t h)
{
    struct resource *resource = entity_find_session(entity, session);
    if (resource) {
        resource_set_handled(resource, h);
    }
    store_input(entity, session, h, true);
}

/* What the edge has heard as handled, or was answered behind its back. */
static uint32_t announced_counter(const struct entity *entity, const struct item *item)
{
    const struct stored_input *answered = find_stored(entity, item->session, true);
    return answered && counter_is_after(answered->h, item->counter) ? answered->h : item->counter;
}

/* ---- the set of sessions */

void sessions_changed(struct entity *entity, struct resource *resource)
{
    sessions_write_record(entity->router, entity, resource);
    sessions_write_presence(entity, resource);
    sessions_update_live(entity);
    bool is_new_target = resource_is_eligible(resource) && !resource->has_caught_up;
    resource->has_caught_up = resource_is_eligible(resource);
    if (is_new_target) {
        account_log_on_eligible(&entity->log);
    }
}

void sessions_add(struct entity *entity, struct resource *resource)
{
    resource->next = entity->resources;
    entity->resources = resource;
    entity->resource_count++;
    entity_note_online(entity);
    resource->input_is_stored = find_stored(entity, resource->session, false) != NULL;
    metric_add(&sessions_gauge, 1);
}

static void run_close_hooks(struct entity *entity, struct resource *resource)
{
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, NULL);
    pipeline_session_close(&turn, resource);
    effects_apply(&turn);
    arena_fini(&arena);
}

void sessions_end(struct entity *entity, struct resource *resource)
{
    if (resource->is_closing) {
        return;
    }
    resource->is_closing = true;
    entity->resource_count--;
    entity_note_online(entity);
    metric_add(&sessions_gauge, -1);
    run_close_hooks(entity, resource); /* first: should we die in between, the next home tells it */
    if (!entity_find_resource(entity, resource->name)) {
        sessions_remove_record(entity, resource);
    }
    sessions_write_presence(entity, resource);
    if (resource->sm) {
        sm_end(entity, resource);
    }
    sessions_update_live(entity);
    account_log_on_session_end(&entity->log, resource->session);
    entity_mark_dirty(entity); /* it is freed when its inputs are done */
}

void sessions_end_lost(struct entity *entity)
{
    entity->has_lost_sessions = false;
    struct resource *next;
    for (struct resource *resource = entity->resources; resource; resource = next) {
        next = resource->next;
        if (!resource->is_lost || resource->is_closing) {
            continue;
        }
        resource->is_lost = false;
        if (resource->sm && resource->sm->over) {
            sm_end_over(entity, resource);
        } else {
            log_debug("entity", "session ended with its edge", log_cstr("edge", resource->edge));
            sessions_end(entity, resource);
        }
    }
}

static bool was_kicked(const struct entity *entity, struct id128 session)
{
    for (size_t i = 0; i < entity->kicked_count; i++) {
        if (id128_equal(entity->kicked[i], session)) {
            return true;
        }
    }
    return false;
}

static void remember_kicked(struct entity *entity, struct id128 session)
{
    if ((int64_t)entity->kicked_count < entity->router->settings->max_resources) {
        size_t count = ++entity->kicked_count;
        entity->kicked = mem_realloc(entity->kicked, count * sizeof(entity->kicked[0]));
        entity->kicked[count - 1] = session;
    } else {
        entity->kicked[entity->kicked_next++ % entity->kicked_count] = session;
    }
}

void sessions_kick(struct entity *entity,
        struct resource *resource,
        enum stream_condition condition,
        struct str text)
{
    if (!resource->sm || (!resource->sm->is_detached && !resource->sm->resume)) {
        egress_kick(entity->router->egress,
                resource->edge,
                resource->session,
                entity->bare,
                condition,
                text);
    }
    remember_kicked(entity, resource->session);
    sessions_end(entity, resource);
}

void sessions_kick_all(struct entity *entity, enum stream_condition condition, struct str text)
{
    struct resource *next;
    for (struct resource *resource = entity->resources; resource; resource = next) {
        next = resource->next;
        if (!resource->is_closing) {
            sessions_kick(entity, resource, condition, text);
        }
    }
}

/* ---- bind */

void sessions_answer_failed_bind(
        struct entity *entity, const struct item *item, Wire__Status status)
{
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.request = item->request;
    reply.status = status;
    egress_bind_reply(entity->router->egress, item->edge, &reply);
}

static void answer_bind(
        struct entity *entity, const struct item *item, const struct resource *resource)
{
    struct buf token;
    struct buf resume_id;
    buf_init(&token, 0);
    buf_init(&resume_id, 0);
    const struct signer_session session = {
        .session = resource->session,
        .full = resource->full,
        .edge = str_from_cstr(resource->edge),
        .attach = 1,
    };
    signer_token(entity->router->signer, &session, &token);
    Wire__Id id = WIRE_ID_INIT(resource->session);
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.request = item->request;
    reply.status = WIRE__STATUS__STATUS_OK;
    reply.session = &id;
    reply.full = wire_bytes(resource->full);
    reply.token = wire_bytes(buf_view(&token));
    reply.has_sm = resource->sm != NULL;
    reply.has_carbons = resource->has_carbons;
    if (resource->sm && resource->sm->is_resumable) {
        sm_resume_id(entity, resource->sm, &resume_id);
        reply.resume_id = wire_bytes(buf_view(&resume_id));
        reply.max_s = (uint32_t)(resource->sm->max_ms / 1000);
    }
    egress_bind_reply(entity->router->egress, item->edge, &reply);
    buf_fini(&token);
    buf_fini(&resume_id);
}

/* RFC 6120 §7.7.2.2: the host decides who wins. */
static bool may_replace(const struct entity *entity)
{
    const struct host *host = settings_find_host(entity->router->settings, entity->domain);
    return !host || !host->resource_conflict || strcmp(host->resource_conflict, "refuse") != 0;
}

/* Clients that come back without resuming leave sessions behind: those make room first. */
static void end_oldest_detached(struct entity *entity)
{
    struct resource *oldest = NULL;
    for (struct resource *resource = entity->resources; resource; resource = resource->next) {
        bool is_detached = !resource->is_closing && resource->sm && resource->sm->is_detached
                && !resource->sm->resume;
        if (is_detached && (!oldest || resource->sm->detached_ms < oldest->sm->detached_ms)) {
            oldest = resource;
        }
    }
    if (oldest) {
        sessions_end(entity, oldest);
    }
}

static bool is_full(const struct entity *entity)
{
    return (int64_t)entity->resource_count >= entity->router->settings->max_resources;
}

static Wire__Status check_bind(struct entity *entity, struct str name)
{
    if (entity->state == ENTITY_UNKNOWN) {
        return entity->account.state == ACCOUNT_DISABLED ? WIRE__STATUS__STATUS_DISABLED
                                                         : WIRE__STATUS__STATUS_NOT_AUTHORIZED;
    }
    bool is_taken = entity_find_resource(entity, name);
    if (is_taken && !may_replace(entity)) {
        return WIRE__STATUS__STATUS_CONFLICT;
    }
    if (!is_taken && is_full(entity)) {
        end_oldest_detached(entity);
    }
    if (!is_taken && is_full(entity)) {
        return WIRE__STATUS__STATUS_LIMIT;
    }
    return WIRE__STATUS__STATUS_OK;
}

static void run_open_hooks(struct entity *entity, struct resource *resource)
{
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, NULL);
    pipeline_session_open(&turn, resource);
    effects_apply(&turn);
    arena_fini(&arena);
}

/* XEP-0386 §3.2.1: "tag/end". A client that has told its id has always the same end, and nobody
 * learns the id by it. */
static struct str name_of(const struct entity *entity, struct item *item)
{
    if (item->resource.len > 0) {
        return item->resource;
    }
    char end[ID128_TEXT_SIZE];
    _Static_assert(SIGNER_RESOURCE_BYTES == RANDOM_RESOURCE, "both are told alike");
    if (id128_is_zero(item->bind.client)) {
        id128_format(id128_random(), end);
    } else {
        signer_resource(entity->router->signer, entity->bare, item->bind.client, end);
    }
    struct buf name;
    buf_init(&name, 0);
    if (item->bind.tag.len > 0) {
        buf_append_str(&name, item->bind.tag);
        buf_append_char(&name, '/');
    }
    buf_append(&name, end, RANDOM_RESOURCE);
    struct str kept = str_dup(&item->arena, buf_view(&name));
    buf_fini(&name);
    return kept;
}

static struct str end_of(struct str name)
{
    size_t len = name.len < RANDOM_RESOURCE ? name.len : RANDOM_RESOURCE;
    return str_from(name.ptr + name.len - len, len);
}

/* XEP-0386 §3.2: what the same client had before, under another tag, too. */
static void end_former(struct entity *entity, const struct item *item, struct str name)
{
    bool has_client = !id128_is_zero(item->bind.client);
    struct resource *next;
    for (struct resource *resource = entity->resources; resource; resource = next) {
        next = resource->next;
        bool is_former = str_equal(resource->name, name)
                || (has_client && str_equal(end_of(resource->name), end_of(name)));
        if (is_former && !resource->is_closing) {
            metric_add(&replaced_total, 1);
            sessions_kick(
                    entity, resource, STREAM_ERROR_CONFLICT, STR("Replaced by a new connection"));
        }
    }
}

static void begin_inline(struct entity *entity, struct resource *resource, const struct item *item)
{
    resource->has_carbons = item->bind.has_carbons;
    if (item->sm.is_inactive) {
        resource->csi = csi_buffer_create();
    }
    if (item->bind.wants_sm) {
        sm_begin(entity, resource, item->sm.is_resumable, item->sm.max_s);
    }
}

void sessions_handle_bind(struct entity *entity, struct item *item)
{
    struct str name = name_of(entity, item);
    if (entity->state != ENTITY_UNKNOWN && !id128_is_zero(item->bind.client)) {
        end_former(entity, item, name); /* before anybody asks whether there is room */
    }
    Wire__Status status = check_bind(entity, name);
    if (status != WIRE__STATUS__STATUS_OK) {
        sessions_answer_failed_bind(entity, item, status);
        return;
    }
    end_former(entity, item, name);
    struct resource *resource = resource_create(id128_random(), item->edge, entity->bare, name);
    resource->is_told = true;
    sessions_add(entity, resource);
    begin_inline(entity, resource, item);
    sessions_write_record(entity->router, entity, resource);
    answer_bind(entity, item, resource);
    run_open_hooks(entity, resource);
}

/* ---- announce */

static void adopt(struct entity *entity, const struct item *item)
{
    struct resource *former = entity_find_resource(entity, item->resource);
    if (former) { /* a stale record: the edge's token is newer than what Redis kept */
        sessions_kick(entity, former, STREAM_ERROR_CONFLICT, STR_NULL);
    }
    struct resource *resource =
            resource_create(item->session, item->edge, entity->bare, item->resource);
    resource_set_handled(resource, announced_counter(entity, item));
    resource->is_told = true;
    resource->moved_ms = loop_now_ms(entity->router->loop);
    resource->is_available = item->is_available;
    resource->priority = item->priority;
    resource->is_adopted = !entity->knows_sessions;
    resource->has_carbons = item->bind.has_carbons;
    resource->is_interested = true; /* a push too many is better than one that is missing */
    resource->has_blocklist = true; /* likewise */
    sessions_add(entity, resource);
    if (item->sm.has_sm) {
        sm_announce(entity, resource, item);
    }
    sessions_changed(entity, resource);
    run_open_hooks(entity, resource);
}

void sessions_ask_announce(struct entity *entity, const char *edge, struct id128 session)
{
    int64_t now_ms = loop_now_ms(entity->router->loop);
    bool is_asked =
            id128_equal(entity->asked_session, session) && now_ms - entity->asked_ms < ASK_AGAIN_MS;
    if (is_asked || was_kicked(entity, session)) {
        return;
    }
    entity->asked_session = session;
    entity->asked_ms = now_ms;
    egress_ask_announce(entity->router->egress, edge, entity->shard);
}

/* False: it is not to be adopted, not now or not ever. */
static bool may_adopt(
        struct entity *entity, const struct item *item, const struct resource *resource)
{
    if (was_kicked(entity, item->session)) {
        egress_kick(entity->router->egress,
                item->edge,
                item->session,
                entity->bare,
                STREAM_ERROR_CONFLICT,
                STR_NULL);
        return false;
    }
    if (resource
            && !resource->owes_close_reply) { /* its edge was given up: again when it is gone */
        egress_ask_announce(entity->router->egress, item->edge, entity->shard);
    }
    return !resource;
}

/* What was sent to the session and is not confirmed may be lost, or its confirmation: once more;
 * the edge tells what its client has. */
static void repeat_unconfirmed(struct entity *entity, struct id128 session)
{
    account_log_on_session_end(&entity->log, session);
    account_log_on_eligible(&entity->log);
}

static void announce_counter(
        struct entity *entity, struct resource *resource, const struct item *item)
{
    uint32_t counter = announced_counter(entity, item);
    if (!resource->is_told && !resource->works) {
        resource_reset_handled(resource, counter);
    } else {
        resource_set_handled(resource, counter);
    }
    resource->is_told = true;
    if (counter_is_after(resource->handled, item->counter)) {
        resource->handled_sent = item->counter; /* our word got lost: say it again */
        entity_mark_dirty(entity);
    }
}

static void announce_again(
        struct entity *entity, struct resource *resource, const struct item *item)
{
    /* The edge tells what its client has said, worked off or not: what was not comes again. Only
     * "available" is taken from it at once, lest messages wait for a presence that got lost. */
    bool is_back = item->is_available && !resource->is_available;
    bool is_news = strcmp(resource->edge, item->edge) != 0 || is_back;
    if (!resource->is_told && item->bind.has_carbons && !resource->has_carbons) {
        resource->has_carbons = true; /* Redis had not heard of it */
        is_news = true;
    }
    resource_set_edge(resource, item->edge);
    resource_repeats_from(resource, loop_now_ms(entity->router->loop));
    announce_counter(entity, resource, item);
    if (is_back) {
        resource->is_available = true;
        resource->priority = item->priority;
    }
    if (resource->sm || item->sm.has_sm) {
        sm_announce(entity, resource, item);
    }
    if (is_news) {
        sessions_changed(entity, resource);
    }
    if (!resource->sm) { /* stream management has numbers for that */
        repeat_unconfirmed(entity, item->session);
    }
}

void sessions_handle_announce(struct entity *entity, const struct item *item)
{
    struct resource *resource = entity_find_session(entity, item->session);
    if (entity->state == ENTITY_UNKNOWN) {
        egress_kick(entity->router->egress,
                item->edge,
                item->session,
                entity->bare,
                STREAM_ERROR_NOT_AUTHORIZED,
                STR_NULL);
        return;
    }
    if (!resource && !item->sm.is_proved) {
        egress_kick_moved(
                entity->router->egress, item->edge, item->session, entity->bare, item->sm.attach);
    } else if (!resource || resource->is_closing) {
        if (may_adopt(entity, item, resource)) {
            adopt(entity, item);
        }
    } else if (sm_may_announce(entity, resource, item)) {
        announce_again(entity, resource, item);
    }
    account_log_poke(&entity->log);
}

/* ---- ends */

static bool has_moved_on(const struct resource *resource, const struct item *item)
{
    const struct sm_session *sm = resource->sm;
    return strcmp(resource->edge, item->edge) != 0
            || (sm && (sm->resume || (sm->attach != sm_attach_of(item->sm.attach))));
}

void sessions_handle_close(struct entity *entity, const struct item *item)
{
    struct resource *resource = entity_find_session(entity, item->session);
    if (!resource || has_moved_on(resource, item)) {
        egress_close_reply(entity->router->egress, item->edge, item->session, item->sm.attach);
        return;
    }
    resource->owes_close_reply = true;
    resource->close_attach = item->sm.attach;
    bool is_resumable = item->sm.is_resumable && resource->sm && resource->sm->is_resumable;
    if (is_resumable && !resource->is_closing) {
        sm_detach(entity, resource);
    } else {
        sessions_end(entity, resource);
    }
    entity_mark_dirty(entity);
}

/* The edge does not hold the stream any more. */
static void lose_stream(struct entity *entity, struct resource *resource)
{
    if (resource->sm && resource->sm->is_resumable && !resource->is_closing) {
        sm_detach(entity, resource);
    } else {
        sessions_end(entity, resource);
    }
}

void sessions_handle_gone(struct entity *entity, const struct item *item)
{
    struct resource *resource = entity_find_session(entity, item->session);
    bool is_meant = resource && strcmp(resource->edge, item->edge) == 0
            && (!resource->sm || sm_session_is_current(resource->sm, item->sm.attach));
    if (is_meant) {
        lose_stream(entity, resource);
    }
}

void sessions_handle_edge_dead(struct entity *entity, const struct item *item)
{
    struct resource *next;
    for (struct resource *resource = entity->resources; resource; resource = next) {
        next = resource->next;
        if (strcmp(resource->edge, item->edge) == 0) {
            resource->owes_close_reply = false;
            lose_stream(entity, resource);
        }
        struct sm_session *sm = resource->sm;
        if (sm && sm->resume && strcmp(sm->resume->edge, item->edge) == 0) {
            sm_cancel_resume(entity, resource);
        }
    }
}

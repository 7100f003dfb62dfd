/* The turn of a sender: what a session of this account sent, in the order of its counters, and when
 * it is handled (P1). */
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "router/commit.h"
#include "router/entity/entity.h"
#include "router/entity/quotas.h"
#include "router/entity/send.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/pipeline.h"
#include "router/router.h"

static struct metric_family ignored = {
    .name = "inputs_ignored_total",
    .help = "Stanzas from edges that had no effect",
    .label = "why",
};

/* ---- handled */

struct input_commit {
    struct entity_ref *ref;
    struct id128 session;
    uint32_t counter;
};

static void on_input_committed(void *context, enum err err)
{
    struct input_commit commit = *(struct input_commit *)context;
    free(context);
    struct entity *entity = entity_ref_take(commit.ref);
    if (!entity) {
        return;
    }
    if (err == ERR_FENCED) {
        entity_drop(entity);
        return;
    }
    struct resource *resource = entity_find_session(entity, commit.session);
    if (!resource) {
        return;
    }
    if (err == ERR_OK) {
        if (counter_is_after(commit.counter, resource->input_committed)) {
            resource->input_committed = commit.counter;
        }
        if (counter_is_after(resource->input_committed, resource->input_asked)) {
            resource->input_asked = resource->input_committed;
        }
    } else {
        resource->input_asked = resource->input_committed; /* not written: asked again */
    }
    entity_mark_dirty(entity);
}

/* What is not handled has entries in groups that are not decided. Should one of them be fenced, its
 * part goes to another home, and a counter in the log that covers it would be a lie (P1). */
static void commit_counter(struct entity *entity, struct resource *resource, uint32_t counter)
{
    const struct commit_input input = {
        .session = resource->session,
        .h = counter,
        .is_ahead = counter_is_after(counter, resource->handled),
    };
    struct input_commit *context = MEM_NEW(struct input_commit);
    context->ref = entity_ref_create(entity);
    context->session = resource->session;
    context->counter = counter;
    resource->input_asked = counter;
    resource->input_is_stored = true;
    commit_input(entity->router->commit, entity->shard, entity->account.id, &input);
    commit_wait_input(entity->router->commit, entity->shard, on_input_committed, context);
}

/* The stream has ended and its last input is decided. */
static void finish_closing(struct entity *entity, struct resource *resource)
{
    sm_answer_failed(entity, resource);
    bool is_kept = resource->sm && resource->sm->is_resumable;
    if ((resource->input_is_stored || is_kept) && entity->account.state == ACCOUNT_ACTIVE) {
        /* Who comes too late to resume still learns how far it came (XEP-0198 §5). */
        const struct commit_input input = {
            .session = resource->session, .h = resource->handled, .is_closed = !is_kept
        };
        commit_input(entity->router->commit, entity->shard, entity->account.id, &input);
    }
    if (is_kept) {
        sessions_store_input(entity, resource->session, resource->handled);
    }
    if (resource->owes_close_reply) {
        egress_close_reply(
                entity->router->egress, resource->edge, resource->session, resource->close_attach);
    }
    struct resource **at = &entity->resources;
    while (*at != resource) {
        at = &(*at)->next;
    }
    *at = resource->next;
    resource_destroy(resource);
}

static void tell_handled(const struct entity *entity, const struct resource *resource)
{
    egress_handled(entity->router->egress,
            resource->edge,
            resource->session,
            resource->handled_sent,
            resource->has_carbons ? WIRE__SWITCH__SWITCH_ON : WIRE__SWITCH__SWITCH_OFF);
}

void inputs_flush(struct entity *entity)
{
    struct resource *next;
    for (struct resource *resource = entity->resources; resource; resource = next) {
        next = resource->next;
        resource_advance(resource);
        if (resource->is_closing) {
            if (!resource->works) {
                finish_closing(entity, resource);
            }
            continue;
        }
        uint32_t counter;
        if (resource_next_commit(resource, &counter)) {
            commit_counter(entity, resource, counter);
        }
        if (resource_is_settled(resource)) {
            sm_answer_failed(entity, resource);
        }
        if (resource->sm && resource->sm->resume && resource_is_settled(resource)) {
            sm_finish_resume(entity, resource);
        }
        if (resource_may_tell_handled(resource)) {
            resource->handled_sent = resource->handled;
            tell_handled(entity, resource);
        }
        if (resource->enable.is_open && resource_is_settled(resource)) {
            sm_finish_enable(entity, resource);
        }
        if (resource->owes_close_reply && resource_is_settled(resource)) {
            resource->owes_close_reply = false; /* detached: its edge may forget it now */
            egress_close_reply(entity->router->egress,
                    resource->edge,
                    resource->session,
                    resource->close_attach);
        }
    }
}

/* ---- a turn */

/* RFC 6121 §8.1 and RFC 6120 §10.5.3: to the server itself. */
static enum verdict route_to_host(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    bool is_request = stanza->type == STANZA_TYPE_GET || stanza->type == STANZA_TYPE_SET;
    if (stanza->kind == STANZA_PRESENCE || (stanza->kind == STANZA_IQ && !is_request)) {
        return VERDICT_HANDLED; /* nobody there listens */
    }
    if (stanza->kind == STANZA_MESSAGE || !jid_is_bare(&turn->to)) {
        return turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL);
    }
    return pipeline_iq(turn, TO_HOST);
}

static enum verdict route_to_self(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    if (stanza->kind == STANZA_IQ) {
        bool is_request = stanza->type == STANZA_TYPE_GET || stanza->type == STANZA_TYPE_SET;
        return is_request ? pipeline_iq(turn, TO_ACCOUNT) : VERDICT_HANDLED;
    }
    if (stanza->kind == STANZA_PRESENCE) {
        return VERDICT_HANDLED; /* the presence feature has taken what has no `to` */
    }
    return VERDICT_PASS;
}

static enum verdict route_outbound(struct turn *turn)
{
    bool is_to_self = turn->to.full.len == 0
            || (turn->stanza->kind == STANZA_IQ && str_equal(turn->to.full, turn->entity->bare));
    if (is_to_self) {
        return route_to_self(turn);
    }
    if (settings_find_component(turn->settings, turn->to.domain)) {
        return VERDICT_PASS;
    }
    if (!settings_find_host(turn->settings, turn->to.domain)) {
        return turn_reject(turn, STANZA_ERROR_REMOTE_SERVER_NOT_FOUND, STR_NULL);
    }
    return turn->to.local.len == 0 ? route_to_host(turn) : VERDICT_PASS;
}

static void pass_on(struct turn *turn, const struct origin *origin, struct input_work *work)
{
    struct stanza stanza = *turn->stanza;
    if (stanza.to.len == 0) {
        stanza.to = turn->entity->bare; /* RFC 6120 §8.1.1.1 */
    }
    forward_stanza(turn->entity, origin, &stanza, stanza_is_durable(&stanza) ? work : NULL);
}

struct origin inputs_origin(const struct resource *resource, const struct item *item)
{
    return (struct origin){
        .session = item->session,
        .counter = item->counter,
        .is_repeat = resource && resource_may_repeat(resource, item->posted_ms),
    };
}

static bool run_outbound(struct entity *entity,
        struct item *item,
        struct resource *resource,
        struct input_work *work)
{
    struct arena arena;
    struct turn turn;
    struct origin origin = inputs_origin(resource, item);
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, &item->stanza);
    turn.session = resource;
    turn.origin = origin;
    enum verdict verdict = pipeline_outbound(&turn);
    if (verdict == VERDICT_PASS) {
        verdict = route_outbound(&turn);
    }
    if (verdict == VERDICT_PASS) {
        pass_on(&turn, &origin, work);
    } else if (verdict == VERDICT_REJECT) {
        turn_reply_error(&turn, &item->stanza, &turn.error);
    }
    effects_apply(&turn);
    if (verdict == VERDICT_WAIT) {
        account_request_start(entity, item, &turn.request);
    }
    arena_fini(&arena);
    return verdict != VERDICT_WAIT;
}

/* The edge itself answers what its client has sent, and with stream management that has a number.
 * To nobody else, whatever it says (F04). Over its limits it is answered all the same, like a
 * client without stream management; the edge reads so many stanzas a second only. */
static void give_back_answer(
        struct entity *entity, const struct item *item, struct resource *resource)
{
    struct stanza answer = item->stanza;
    answer.from = item->answer_from;
    answer.to = resource->full;
    (void)entity_take_quota(entity, QUOTA_STANZAS, 1);
    send_to_session(entity, resource, &answer);
}

/* F04: only the edge that holds the session speaks for it, and only with its address. */
static struct resource *find_speaker(struct entity *entity, const struct item *item)
{
    struct resource *resource = entity_find_session(entity, item->session);
    if (!resource || resource->is_closing) {
        metric_family_add(&ignored, "no-session", 1);
        sessions_ask_announce(entity, item->edge, item->session);
        return NULL;
    }
    if (resource->sm && !sm_session_is_attached(resource->sm)) {
        metric_family_add(&ignored, "detached", 1); /* the client repeats what we do not have */
        return NULL;
    }
    if (resource->sm && !sm_session_is_current(resource->sm, item->sm.attach)) {
        /* Of the stream that was resumed, also when the same edge holds the new one. */
        metric_family_add(&ignored, "former-stream", 1);
        return NULL;
    }
    bool is_its_address = item->is_answered || str_equal(resource->full, item->stanza.from);
    if (strcmp(resource->edge, item->edge) != 0 || !is_its_address) {
        metric_family_add(&ignored, "not-its-session", 1);
        log_warn("entity",
                "edge speaks for a session it does not hold",
                log_cstr("edge", item->edge));
        return NULL;
    }
    return resource;
}

bool inputs_handle(struct entity *entity, struct item *item)
{
    struct resource *resource = find_speaker(entity, item);
    if (!resource) {
        return true;
    }
    switch (resource_take_input(resource, item->counter)) {
    case RESOURCE_TAKEN: break;
    case RESOURCE_IN_WORK: metric_family_add(&ignored, "in-work", 1); return true;
    case RESOURCE_GAP:
        metric_family_add(&ignored, "gap", 1);
        log_info("entity", "input with a gap before it", log_int("counter", item->counter));
        sessions_ask_announce(entity, item->edge, item->session);
        return true;
    case RESOURCE_REPEATED:
        if (!counter_is_after(item->counter, resource->handled_sent)) {
            tell_handled(entity, resource);
        }
        return true;
    }
    struct input_work *work = resource_find_work(resource, item->counter);
    work->pending = 1; /* the turn itself */
    work->unappended = 1;
    if (item->answer_from.len > 0) {
        give_back_answer(entity, item, resource);
    } else if (!item->is_answered && !run_outbound(entity, item, resource, work)) {
        return false;
    }
    inputs_part_done(entity, item->session, item->counter);
    return true;
}

void inputs_part_appended(struct entity *entity, struct id128 session, uint32_t counter)
{
    struct resource *resource = entity_find_session(entity, session);
    struct input_work *work = resource ? resource_find_work(resource, counter) : NULL;
    if (work && work->unappended > 0) {
        work->unappended--;
        entity_mark_dirty(entity);
    }
}

void inputs_part_fenced(struct entity *entity, struct id128 session, uint32_t counter)
{
    struct resource *resource = entity_find_session(entity, session);
    struct input_work *work = resource ? resource_find_work(resource, counter) : NULL;
    if (work && work->unappended < work->pending) {
        work->unappended++;
    }
}

void inputs_part_done(struct entity *entity, struct id128 session, uint32_t counter)
{
    struct resource *resource = entity_find_session(entity, session);
    struct input_work *work = resource ? resource_find_work(resource, counter) : NULL;
    if (work && work->pending > 0) {
        work->pending--;
        work->unappended = work->unappended > work->pending ? work->pending : work->unappended;
        entity_mark_dirty(entity);
        if (work->pending == 0 && work->was_answered) {
            egress_answered(entity->router->egress,
                    resource->edge,
                    session,
                    resource->handled_sent,
                    counter);
        }
    }
}

void inputs_part_answered(struct entity *entity, struct id128 session, uint32_t counter)
{
    struct resource *resource = entity_find_session(entity, session);
    struct input_work *work = resource ? resource_find_work(resource, counter) : NULL;
    if (work) {
        work->was_answered = true;
    }
    inputs_part_done(entity, session, counter);
}

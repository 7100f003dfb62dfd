/* <resume/> (XEP-0198 §5): a stream on any edge takes a session over. It waits until the inputs at
 * work are decided, so that our h is exact; the former edge has to let go at once. */
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "router/entity/entity.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/signer.h"

/* How far apart two that were asked at once may come: an edge waits so long for an answer. */
#define RACE_US INT64_C(10000000)

static struct metric_family resumes = {
    .name = "sm_resumes_total",
    .help = "Attempts to resume a session",
    .label = "result",
};

struct refusal {
    const char *edge;
    uint64_t request;
    Wire__Status status;
    bool has_h;
    uint32_t handled;
    uint32_t counter;
};

static void refuse(struct entity *entity, const struct refusal *refusal)
{
    metric_family_add(&resumes,
            refusal->status == WIRE__STATUS__STATUS_NOT_FOUND ? "not-found" : "refused",
            1);
    Wire__ResumeReply reply = WIRE__RESUME_REPLY__INIT;
    reply.request = refusal->request;
    reply.status = refusal->status;
    reply.has_h = refusal->has_h;
    reply.handled = refusal->handled;
    reply.counter = refusal->counter;
    egress_resume_reply(entity->router->egress, refusal->edge, &reply);
}

static void refuse_item(struct entity *entity, const struct item *item, Wire__Status status)
{
    refuse(entity, &(struct refusal){ item->edge, item->request, status, false, 0, 0 });
}

/* A session nobody has spoken for here: the log may know more than the record in Redis. */
static uint32_t handled_of(const struct entity *entity, const struct resource *resource)
{
    uint32_t stored;
    bool is_newer = !resource->is_told && sessions_find_input(entity, resource->session, &stored)
            && counter_is_after(stored, resource->handled);
    return is_newer ? stored : resource->handled;
}

void sm_answer_failed(struct entity *entity, struct resource *resource)
{
    struct sm_failed *failed = resource->sm ? resource->sm->failed : NULL;
    if (!failed) {
        return;
    }
    resource->sm->failed = NULL;
    refuse(entity,
            &(struct refusal){
                    .edge = failed->edge,
                    .request = failed->request,
                    .status = WIRE__STATUS__STATUS_NOT_FOUND,
                    .has_h = true,
                    .handled = counter_at_least(handled_of(entity, resource), failed->counter),
                    .counter = failed->counter,
            });
    free(failed->edge);
    free(failed);
}

/* Inputs are at work whose fate its client has to know, and none come any more. */
static bool is_about_to_settle(const struct resource *resource)
{
    const struct sm_session *sm = resource->sm;
    return sm && !resource_is_settled(resource)
            && (resource->is_closing || resource->is_lost || sm->is_detached);
}

/* One at a time: who asked before has given up, or gets no h. */
static void answer_when_settled(struct entity *entity,
        struct resource *resource,
        const struct item *item,
        const struct signer_resume *resume)
{
    struct sm_session *sm = resource->sm;
    if (sm->failed && sm->failed->request == item->request
            && strcmp(sm->failed->edge, item->edge) == 0) {
        return; /* asked again: the link was away */
    }
    if (sm->failed) {
        refuse(entity,
                &(struct refusal){
                        .edge = sm->failed->edge,
                        .request = sm->failed->request,
                        .status = WIRE__STATUS__STATUS_NOT_FOUND,
                });
        free(sm->failed->edge);
    } else {
        sm->failed = MEM_NEW(struct sm_failed);
    }
    *sm->failed = (struct sm_failed){
        .edge = str_to_cstr(str_from_cstr(item->edge)),
        .request = item->request,
        .counter = resume->counter,
    };
    entity_mark_dirty(entity); /* answered there */
}

/* A client that resumes in vain is what this server promises not to do, so it says why. */
static void log_refusal(
        const struct entity *entity, const struct resource *resource, uint32_t acked)
{
    const struct sm_session *sm = resource ? resource->sm : NULL;
    if (!sm) {
        log_info("sm", "resume of no session", log_jid("account", entity->bare));
        return;
    }
    log_info("sm",
            "resume refused",
            log_jid("session", resource->full),
            log_int("acked", acked),
            log_int("queue_acked", sm->queue.acked),
            log_int("queue_last", sm->queue.last),
            log_int("sent", sm->sent),
            log_int("reached", sm->reached),
            log_int("unknown_until", sm->has_unknown ? (int64_t)sm->unknown_until : -1),
            log_int("inherited", sm->is_inherited),
            log_int("queue_lost", sm->is_queue_lost),
            log_int("ended", resource->is_closing || resource->is_lost));
}

/* The session is gone, or what it was sent is, or the client has lost count: it learns how far its
 * own stanzas came, and need not send them twice (XEP-0198 §5). */
static void refuse_with_h(struct entity *entity,
        const struct item *item,
        const struct signer_resume *resume,
        Wire__Status status)
{
    struct refusal refusal = {
        .edge = item->edge,
        .request = item->request,
        .status = status,
        .counter = resume->counter,
    };
    struct resource *resource = entity_find_session(entity, resume->session);
    log_refusal(entity, resource, resume->sequence + item->sm.h);
    if (resource && status == WIRE__STATUS__STATUS_NOT_FOUND && is_about_to_settle(resource)) {
        answer_when_settled(entity, resource, item, resume);
        return;
    }
    if (resource) {
        refusal.has_h = resource_is_settled(resource);
        refusal.handled = handled_of(entity, resource);
    } else {
        refusal.has_h = sessions_find_input(entity, resume->session, &refusal.handled);
    }
    refusal.handled = counter_at_least(refusal.handled, resume->counter);
    refuse(entity, &refusal);
}

void sm_refuse_resume(struct entity *entity, struct resource *resource)
{
    struct sm_resume *resume = resource->sm->resume;
    refuse(entity,
            &(struct refusal){
                    resume->edge, resume->request, WIRE__STATUS__STATUS_NOT_FOUND, false, 0, 0 });
    free(resume->edge);
    free(resume);
    resource->sm->resume = NULL;
}

/* ---- taking over */

static bool is_same_edge(const struct resource *resource, const char *edge)
{
    return strcmp(resource->edge, edge) == 0;
}

static void begin(struct entity *entity,
        struct resource *resource,
        const struct item *item,
        const struct signer_resume *ids)
{
    struct sm_session *sm = resource->sm;
    /* The same edge replaces the stream itself when it has our answer. */
    if (!sm->is_detached && !is_same_edge(resource, item->edge)) {
        egress_kick_moved(entity->router->egress,
                resource->edge,
                resource->session,
                entity->bare,
                sm->attach);
    }
    uint32_t stored;
    if (!resource->is_told && sessions_find_input(entity, resource->session, &stored)) {
        resource_set_handled(resource, stored); /* no edge can repeat what is missing */
    }
    sm->base_sequence = ids->sequence;
    sm->base_counter = ids->counter;
    sm->resume = MEM_NEW(struct sm_resume);
    *sm->resume = (struct sm_resume){
        .edge = str_to_cstr(str_from_cstr(item->edge)),
        .request = item->request,
        .acked = ids->sequence + item->sm.h,
        .is_granted = !sm->is_detached && sm->granted != 0 && sm->granted == (uint32_t)item->request
                && is_same_edge(resource, item->edge),
    };
    sm->winner = (struct sm_winner){ item->sm.asked_us, item->sm.authenticated_us, item->request };
    timer_stop(&sm->timer);
    entity_mark_dirty(entity); /* finished there, when nothing is at work */
}

static void answer(
        struct entity *entity, const struct resource *resource, const struct sm_resume *resume)
{
    const struct sm_session *sm = resource->sm;
    Wire__Id id = WIRE_ID_INIT(resource->session);
    Wire__ResumeReply reply = WIRE__RESUME_REPLY__INIT;
    reply.request = resume->request;
    reply.status = WIRE__STATUS__STATUS_OK;
    reply.session = &id;
    reply.full = wire_bytes(resource->full);
    reply.handled = resource->handled;
    reply.counter = sm->base_counter;
    reply.sequence = sm->base_sequence;
    reply.acked = resume->acked;
    reply.attach = sm->attach;
    reply.is_available = resource->is_available;
    reply.priority = resource->priority;
    reply.is_inactive = resource->csi != NULL;
    reply.has_carbons = resource->has_carbons;
    egress_resume_reply(entity->router->egress, resume->edge, &reply);
}

void sm_finish_resume(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    struct sm_resume *resume = sm->resume;
    sm->resume = NULL;
    if (resource->owes_close_reply) {
        resource->owes_close_reply = false;
        egress_close_reply(
                entity->router->egress, resource->edge, resource->session, resource->close_attach);
    }
    /* Inputs from before <enable/> that died with router and edge are not counted by anybody. */
    resource_set_handled(resource, counter_at_least(resource->handled, sm->base_counter));
    sm->attach += resume->is_granted ? 0 : 1;
    sm->granted = (uint32_t)resume->request;
    resource_set_edge(resource, resume->edge);
    resource_repeats_from(resource, loop_now_ms(entity->router->loop));
    resource->handled_sent = resource->handled;
    sm_spool_inherit(entity, resource);
    sm_ack(entity, resource, resume->acked);
    sm_rewind(sm, resume->acked);
    metric_family_add(&resumes, "resumed", 1);
    answer(entity, resource, resume);
    free(resume->edge);
    free(resume);
    sm_attach(entity, resource);
    sm_flush(entity, resource);
    account_log_poke(&entity->log);
}

void sm_cancel_resume(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    free(sm->resume->edge);
    free(sm->resume);
    sm->resume = NULL;
    if (sm->is_detached) { /* what is left of its time began when it was detached */
        sm_resume_timer(entity, resource);
    } else {
        sm_detach(entity, resource);
    }
}

/* ---- the request */

/* What the client has beyond the queue of a former home is not what was numbered here since. What
 * was numbered here and waits for its turn it cannot have. */
static Wire__Status check_h(const struct sm_session *sm, uint32_t acked)
{
    bool is_beyond = sm_sequence_is_after(acked, sm->reached);
    if (sm->is_queue_lost || (sm->is_inherited && is_beyond)) {
        return WIRE__STATUS__STATUS_NOT_FOUND;
    }
    if (is_beyond || sm_sequence_is_after(sm->queue.acked, acked)) {
        return WIRE__STATUS__STATUS_INVALID;
    }
    bool is_unknown = sm->has_unknown && sm_sequence_is_after(sm->unknown_until, acked);
    return is_unknown ? WIRE__STATUS__STATUS_NOT_FOUND : WIRE__STATUS__STATUS_OK;
}

static bool is_held_at(const struct resource *resource, const char *edge)
{
    const struct sm_session *sm = resource->sm;
    return sm->resume ? strcmp(sm->resume->edge, edge) == 0
                      : !sm->is_detached && is_same_edge(resource, edge);
}

/* The edge asks again when the router or the link to it was away. */
static bool is_repeat(const struct resource *resource, const struct item *item)
{
    const struct sm_session *sm = resource->sm;
    if (sm->winner.asked_us == 0 || sm->winner.request != item->request) {
        return false;
    }
    return is_held_at(resource, item->edge);
}

/* The same stream, whose edge has given up waiting for the answer to its first question. */
static bool is_asked_anew(const struct resource *resource, const struct item *item)
{
    const struct sm_winner *winner = &resource->sm->winner;
    return winner->asked_us != 0 && winner->authenticated_us != 0
            && winner->authenticated_us == item->sm.authenticated_us
            && is_held_at(resource, item->edge);
}

/* The client opened both streams before it asked on one of them, so neither is the later one: the
 * first to come wins. Who authenticated after the winner had asked has seen the winner's stream die
 * and takes over, however young that stream is; and so does anybody when nobody holds it. */
static bool is_in_race(const struct sm_session *sm, const struct item *item)
{
    bool is_held = sm->resume || !sm->is_detached;
    if (!is_held || sm->winner.asked_us == 0) {
        return false;
    }
    if (item->sm.authenticated_us == 0) {
        return sm->resume != NULL; /* a router of the version before: at work only */
    }
    /* Negative: the clock was set back and tells nothing. */
    int64_t since_us = item->sm.asked_us - sm->winner.asked_us;
    return item->sm.authenticated_us <= sm->winner.asked_us && since_us >= 0 && since_us < RACE_US;
}

/* Nobody will ever resume it: no target any more. Its edge may not have announced it yet, and is
 * not to bring it back beside the client's next one. */
static void give_up(struct entity *entity, struct resource *resource)
{
    if (resource->sm->resume) {
        return; /* another stream is about to have it */
    }
    if (resource->sm->is_detached) {
        sessions_end(entity, resource);
    } else if (!resource->is_told) {
        sessions_kick(entity, resource, STREAM_ERROR_CONFLICT, STR_NULL);
    }
}

void sm_handle_resume(struct entity *entity, const struct item *item)
{
    struct signer_resume ids;
    if (entity->state == ENTITY_UNKNOWN) {
        refuse_item(entity, item, WIRE__STATUS__STATUS_NOT_AUTHORIZED);
        return;
    }
    if (signer_open_resume_id(entity->router->signer, entity->bare, item->sm.resume_id, &ids)
            != ERR_OK) {
        refuse_item(entity, item, WIRE__STATUS__STATUS_NOT_FOUND);
        return;
    }
    struct resource *resource = entity_find_session(entity, ids.session);
    if (!resource || resource->is_closing || resource->is_lost || !resource->sm
            || !resource->sm->is_resumable) {
        refuse_with_h(entity, item, &ids, WIRE__STATUS__STATUS_NOT_FOUND);
        return;
    }
    if (is_repeat(resource, item)) {
        return; /* its answer comes, or is on its way */
    }
    bool is_anew = is_asked_anew(resource, item);
    if (is_anew && resource->sm->resume) {
        resource->sm->resume->request = item->request; /* nobody waits for the other answer */
        resource->sm->winner.request = item->request;
        return;
    }
    if (!is_anew && is_in_race(resource->sm, item)) { /* exactly one wins (C23) */
        refuse_item(entity, item, WIRE__STATUS__STATUS_NOT_FOUND);
        return;
    }
    Wire__Status status = check_h(resource->sm, ids.sequence + item->sm.h);
    if (status == WIRE__STATUS__STATUS_NOT_FOUND) {
        refuse_with_h(entity, item, &ids, status);
        give_up(entity, resource);
    } else if (status != WIRE__STATUS__STATUS_OK) {
        refuse_with_h(entity, item, &ids, status); /* nobody is hurt by a wrong number */
    } else {
        if (resource->sm->resume) {
            sm_refuse_resume(entity, resource); /* its client has given it up */
        }
        begin(entity, resource, item, &ids);
    }
}

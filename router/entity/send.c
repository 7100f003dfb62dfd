/* From an entity to its sessions: targets grouped by edge, one envelope for each. */
#include "router/entity/send.h"

#include "chassis/loop.h"
#include "router/entity/entity.h"
#include "router/entity/sm.h"
#include "router/router.h"

#define RETRY_MS 500

bool send_is_excepted(const struct entity *entity, const struct resource *resource)
{
    for (size_t i = 0; i < entity->send_except_count; i++) {
        if (id128_equal(entity->send_except[i], resource->session)) {
            return true;
        }
    }
    return false;
}

static bool is_in_group(
        const struct resource *resource, const struct stanza *stanza, enum send_group group)
{
    if (resource->is_closing || resource->is_lost) {
        return false;
    }
    switch (group) {
    case SEND_TO_MATCH: return str_equal(resource->full, stanza->to);
    case SEND_TO_ELIGIBLE: return resource_is_eligible(resource);
    case SEND_TO_AVAILABLE: return resource->is_available;
    }
    return false;
}

void entity_retry_soon(struct entity *entity)
{
    if (!timer_is_running(&entity->retry_timer)) {
        timer_start(loop_timers(entity->router->loop), &entity->retry_timer, RETRY_MS);
    }
}

void send_failed(struct entity *entity, struct resource *resource, enum err err)
{
    if (err == ERR_UNAVAILABLE) {
        resource->is_lost = true;
        entity->has_lost_sessions = true;
        entity_wake(entity);
    } else { /* its link is full: soon again */
        entity_retry_soon(entity);
    }
}

struct group_send {
    const struct stanza *stanza;
    int64_t log_id;
    struct resource **members; /* the first one names the edge; those served become NULL */
    size_t count;
};

static size_t send_to_edge(
        struct entity *entity, const struct group_send *send, struct id128 *targets_out)
{
    struct egress_target targets[ACCOUNT_LOG_MAX_TARGETS];
    struct resource *served[ACCOUNT_LOG_MAX_TARGETS];
    const char *edge = send->members[0]->edge;
    size_t count = 0;
    for (size_t i = 0; i < send->count; i++) {
        struct resource *member = send->members[i];
        if (member && !member->sm && strcmp(member->edge, edge) == 0) {
            targets[count] =
                    (struct egress_target){ .session = member->session, .bare = entity->bare };
            served[count++] = member;
            send->members[i] = NULL;
        }
    }
    enum err err = egress_deliver(
            entity->router->egress, edge, send->stanza, send->log_id, targets, count);
    for (size_t i = 0; i < count; i++) {
        if (err == ERR_OK) {
            targets_out[i] = targets[i].session;
        } else {
            send_failed(entity, served[i], err);
        }
    }
    return err == ERR_OK ? count : 0;
}

size_t send_to_group(struct entity *entity,
        const struct stanza *stanza,
        int64_t log_id,
        enum send_group group,
        struct id128 targets_out[ACCOUNT_LOG_MAX_TARGETS])
{
    struct resource *members[ACCOUNT_LOG_MAX_TARGETS];
    size_t member_count = 0;
    for (struct resource *resource = entity->resources;
            resource && member_count < ACCOUNT_LOG_MAX_TARGETS;
            resource = resource->next) {
        if (is_in_group(resource, stanza, group) && !send_is_excepted(entity, resource)) {
            members[member_count++] = resource;
        }
    }
    size_t reached = 0;
    for (size_t i = 0; i < member_count; i++) {
        if (members[i] && csi_hold_back(entity, members[i], stanza, log_id)) {
            targets_out[reached++] = members[i]->session;
            members[i] = NULL;
        }
    }
    for (size_t i = 0; i < member_count; i++) {
        if (members[i] && members[i]->sm) {
            targets_out[reached++] = members[i]->session;
            sm_send(entity, members[i], stanza, log_id);
        } else if (members[i]) {
            reached += send_to_edge(entity,
                    &(struct group_send){ stanza, log_id, members + i, member_count - i },
                    targets_out + reached);
        }
    }
    return reached;
}

static bool send_to_one(struct entity *entity,
        struct resource *resource,
        const struct stanza *stanza,
        int64_t log_id)
{
    if (resource->sm) {
        sm_send(entity, resource, stanza, log_id);
        return true;
    }
    struct egress_target target = { .session = resource->session, .bare = entity->bare };
    enum err err =
            egress_deliver(entity->router->egress, resource->edge, stanza, log_id, &target, 1);
    if (err != ERR_OK) {
        send_failed(entity, resource, err);
    }
    return err == ERR_OK;
}

bool send_copy(struct entity *entity,
        struct resource *resource,
        const struct stanza *stanza,
        int64_t log_id)
{
    return csi_hold_back(entity, resource, stanza, log_id)
            || send_to_one(entity, resource, stanza, log_id);
}

void send_to_session(struct entity *entity, struct resource *resource, const struct stanza *stanza)
{
    (void)send_copy(entity, resource, stanza, 0);
}

void send_past_csi(struct entity *entity, struct resource *resource, const struct stanza *stanza)
{
    (void)send_to_one(entity, resource, stanza, 0);
}

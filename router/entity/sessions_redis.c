/* What Redis knows of an entity's sessions, for its next home. Queues are sm_spool's. */
#include "router/entity/entity.h"
#include "router/entity/handover.h"
#include "router/entity/sessions.h"
#include "router/entity/sm_session.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/spool.h"

void sessions_write_record(
        struct router *router, const struct entity *entity, const struct resource *resource)
{
    if (!router->redis) {
        return;
    }
    struct session_record record = {
        .resource = resource->name,
        .session = resource->session,
        .edge = str_from_cstr(resource->edge),
        .is_available = resource->is_available,
        .has_blocklist = resource->has_blocklist,
        .has_carbons = resource->has_carbons,
        .priority = resource->priority,
        .handled = resource->handled_sent,
        .is_interested = resource->is_interested,
    };
    const struct sm_session *sm = resource->sm;
    if (sm) {
        record.has_sm = true;
        record.sm = (struct session_record_sm){
            .is_resumable = sm->is_resumable,
            .is_detached = sm->is_detached,
            .base_sequence = sm->base_sequence,
            .base_counter = sm->base_counter,
            .acked = sm->queue.acked,
            .attach = sm->attach,
            .granted = sm->granted,
            .max_s = (uint32_t)(sm->max_ms / 1000),
            .detached_wall_ms = sm->detached_wall_ms,
        };
    }
    session_registry_write(router->redis, entity->bare, &record);
    handover_note_written(entity);
}

void sessions_remove_record(const struct entity *entity, const struct resource *resource)
{
    if (entity->router->redis) {
        session_registry_remove(entity->router->redis, entity->bare, resource->name);
        handover_note_written(entity);
    }
}

void sessions_write_presence(struct entity *entity, struct resource *resource)
{
    struct session_record record = {
        .session = resource->session,
        .presence = resource->presence,
        .presence_child_count = resource->presence_child_count,
        .directed = buf_view(&resource->directed),
    };
    bool has_any = record.presence.len > 0 || record.directed.len > 0;
    if (entity->router->redis && (has_any || resource->is_presence_stored)) {
        session_registry_write_presence(entity->router->redis, entity->bare, &record);
        handover_note_written(entity);
        resource->is_presence_stored = has_any;
    }
}

bool sessions_is_live(const struct entity *entity)
{
    for (const struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (!resource->is_closing
                && (resource->sm || resource->is_available || resource->directed_count > 0)) {
            return true;
        }
    }
    return false;
}

/* The next home of the account is to wake it, so that its contacts hear when a session ends. */
void sessions_update_live(struct entity *entity)
{
    bool is_live = sessions_is_live(entity);
    if (!entity->router->redis || is_live == entity->is_live) {
        return;
    }
    entity->is_live = is_live;
    if (is_live) {
        spool_add_live(entity->router->redis, entity->shard, entity->bare);
    } else {
        spool_remove_live(entity->router->redis, entity->shard, entity->bare);
    }
    handover_note_written(entity);
}

/* Entries whose content the former home had: read from the log when they are to be sent. */
#include "chassis/base/arena.h"
#include "chassis/log.h"
#include "proto/wire/wire.h"
#include "router/entity/carbons.h"
#include "router/entity/entity.h"
#include "router/entity/send.h"
#include "router/entity/sm.h"
#include "router/log_client.h"
#include "router/router.h"

/* The former home may have numbered a copy of it. */
static void fill_with(struct entity *entity,
        struct resource *resource,
        struct sm_entry *wanted,
        const struct stanza *stanza)
{
    struct buf children;
    buf_init(&children, 0);
    struct stanza copy;
    bool is_copy = carbons_make_received(entity, resource, stanza, &children, &copy);
    sm_queue_fill(&resource->sm->queue, wanted, is_copy ? &copy : stanza);
    buf_fini(&children);
}

static void fill_entry(struct entity *entity,
        struct resource *resource,
        const Wire__LogEntry *entry,
        struct arena *arena)
{
    struct stanza stanza;
    struct sm_queue *queue = resource->sm ? &resource->sm->queue : NULL;
    struct sm_entry *wanted = queue ? sm_queue_find_log(queue, entry->id) : NULL;
    if (wanted && !wanted->has_stanza
            && wire_stanza_unpack(arena, wire_str(entry->stanza), &stanza) == ERR_OK) {
        fill_with(entity, resource, wanted, &stanza);
    }
}

/* It is not in the log any more: the numbers cannot go on. */
static void end_unfilled(struct entity *entity, int64_t log_id)
{
    for (struct resource *resource = entity->resources; resource; resource = resource->next) {
        struct sm_entry *entry =
                resource->sm ? sm_queue_find_log(&resource->sm->queue, log_id) : NULL;
        if (entry && !entry->has_stanza && !sm_queue_is_acked(&resource->sm->queue, entry)) {
            sm_give_up(entity, resource, STREAM_ERROR_RESET);
        }
    }
}

static void on_read(void *context, enum err err, const Wire__LogReadReply *reply)
{
    struct entity *entity = entity_ref_take(context);
    if (!entity) {
        return;
    }
    entity->fill_ref = NULL;
    entity->fill_request = 0;
    if (err != ERR_OK) {
        entity_retry_soon(entity);
        return;
    }
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < reply->n_entries; i++) {
        for (struct resource *resource = entity->resources; resource; resource = resource->next) {
            fill_entry(entity, resource, reply->entries[i], &arena);
        }
        arena_reset(&arena);
    }
    arena_fini(&arena);
    end_unfilled(entity, entity->fill_id);
    sm_flush_all(entity);
    entity_mark_dirty(entity);
}

void sm_fill(struct entity *entity, int64_t log_id)
{
    if (entity->fill_ref || !entity->is_log_open) {
        return;
    }
    const struct settings *settings = entity->router->settings;
    entity->fill_id = log_id;
    entity->fill_ref = entity_ref_create(entity);
    entity->fill_request = log_read(entity->router->log,
            entity->account.id,
            log_id - 1,
            (uint32_t)settings->catch_up_page_entries,
            (uint32_t)settings->catch_up_page_bytes,
            on_read,
            entity->fill_ref);
}

void sm_cancel_fill(struct entity *entity)
{
    if (entity->fill_ref) {
        log_cancel(entity->router->log, entity->fill_request);
        (void)entity_ref_take(entity->fill_ref); /* no callback will */
        entity->fill_ref = NULL;
    }
}

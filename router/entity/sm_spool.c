/* Redis as the memory of sessions with stream management: what a next home of the account needs.
 * Best effort: nothing here waits for it, and all of it is written again when Redis comes back. */
#include <stdlib.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "proto/wire/wire.h"
#include "router/commit.h"
#include "router/entity/entity.h"
#include "router/entity/handover.h"
#include "router/entity/posts.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/shard.h"
#include "router/spool.h"

#define TRIM_MS          1000
#define SPOOL_TTL_ADD_S  3600
#define REVIVE_MS        50
#define REVIVE_AT_A_TIME 64

/* ---- writing */

/* With messages.durability: routed a queue dies with its router. */
static bool is_spooling(const struct entity *entity)
{
    return entity->router->redis && !entity->router->settings->is_routed;
}

static struct spool_key key_of(const struct entity *entity, const struct resource *resource)
{
    return (struct spool_key){ entity->bare, resource->session };
}

static void keep_alive(const struct entity *entity, const struct resource *resource)
{
    struct spool_key key = key_of(entity, resource);
    spool_expire(entity->router->redis, &key, resource->sm->max_ms / 1000 + SPOOL_TTL_ADD_S);
}

void sm_spool_open(struct entity *entity)
{
    if (entity->router->redis) {
        entity->is_live = true;
        spool_add_live(entity->router->redis, entity->shard, entity->bare);
    }
}

/* Near the newest one: numbers wrap, positions do not. */
static uint64_t position_of(const struct sm_session *sm, uint32_t sequence)
{
    int32_t ahead = (int32_t)(sequence - (uint32_t)sm->position);
    return sm->position + (uint64_t)(int64_t)ahead;
}

/* Until it is known where the stream is, nobody is sent anything, and a former home may have sent
 * something else under the same number. */
static void push(const struct resource *resource, const struct sm_entry *entry)
{
    struct sm_session *sm = resource->sm;
    struct spool_key key = key_of(sm->entity, resource);
    sm->position = position_of(sm, entry->sequence);
    struct spool_element element = {
        .position = sm->position,
        .log_id = entry->log_id,
        .is_provisional = sm->is_inherited && sm_sequence_is_after(entry->sequence, sm->reached),
    };
    spool_push(sm->entity->router->redis, &key, &element, &entry->stanza);
    handover_note_written(sm->entity);
}

void sm_spool_push(
        struct entity *entity, const struct resource *resource, const struct sm_entry *entry)
{
    if (!is_spooling(entity) || resource->sm->is_queue_lost) {
        return; /* of a lost queue all is written when its edge tells */
    }
    push(resource, entry);
    if (!resource->sm->is_spooled) {
        resource->sm->is_spooled = true;
        keep_alive(entity, resource);
    }
}

void sm_spool_close(struct entity *entity, const struct resource *resource)
{
    if (!entity->router->redis) {
        return;
    }
    struct spool_key key = key_of(entity, resource);
    spool_erase(entity->router->redis, &key);
    handover_note_written(entity);
}

/* A watermark that is on its way into the log; behind it elements may go. */
struct trim {
    struct entity_ref *ref;
    struct id128 session;
    int64_t watermark;
    uint32_t acked; /* as the record says it */
};

static void trim_again(struct sm_session *sm)
{
    struct timer *timer = &sm->trim_timer;
    const struct sm_entry *head = sm->queue.head;
    if (head && head != sm->queue.unacked && head->log_id <= sm->settled_watermark
            && !timer_is_running(timer)) {
        timer_start(loop_timers(sm->entity->router->loop), timer, TRIM_MS);
    }
}

/* What is acknowledged goes, but for what the log may offer again above `watermark`. The client may
 * have acknowledged some of it since the record was written. */
static void trim_behind(struct sm_session *sm, int64_t watermark, uint32_t recorded)
{
    struct entity *entity = sm->entity;
    uint32_t last = sm_queue_forget(&sm->queue, watermark) - 1;
    if (!entity->router->redis || !sm_sequence_is_after(last, sm->trimmed)) {
        return;
    }
    if (sm->queue.acked != recorded) {
        sessions_write_record(entity->router, entity, sm->resource);
    }
    struct spool_key key = key_of(entity, sm->resource);
    spool_trim(entity->router->redis, &key, position_of(sm, last));
    handover_note_written(entity);
    sm->trimmed = last;
    sm->is_spooled = false; /* an empty set forgets its time: the next element renews it */
    keep_alive(entity, sm->resource);
}

static void on_told(void *context, enum err err)
{
    struct trim trim = *(struct trim *)context;
    free(context);
    struct entity *entity = entity_ref_take(trim.ref);
    struct resource *resource = entity ? entity_find_session(entity, trim.session) : NULL;
    if (!resource || !resource->sm) {
        return;
    }
    if (err == ERR_OK) {
        trim_behind(resource->sm, trim.watermark, trim.acked);
    }
    trim_again(resource->sm);
}

/* The record says first what is acknowledged, then the elements go: numbers never fall back. And
 * they go only when the log has been told, however long that takes: a next home knows from them
 * what the client has and the log has not heard of (T04). */
static void on_trim(struct timer *timer, void *context)
{
    (void)timer;
    struct sm_session *sm = context;
    struct entity *entity = sm->entity;
    sessions_write_record(entity->router, entity, sm->resource);
    const struct sm_entry *head = sm->queue.head;
    bool has_settled = head && head != sm->queue.unacked && head->log_id <= sm->settled_watermark;
    int64_t settled = sm->settled_watermark;
    sm->settled_watermark = entity->log.watermark;
    if (!has_settled) {
        trim_behind(sm, 0, sm->queue.acked); /* volatile ones no log knows */
        trim_again(sm);
        return;
    }
    struct trim *trim = MEM_NEW(struct trim);
    *trim = (struct trim){
        entity_ref_create(entity), sm->resource->session, settled, sm->queue.acked
    };
    commit_flush(entity->router->commit, entity->shard, on_told, trim);
}

void sm_spool_init(struct sm_session *sm)
{
    timer_init(&sm->trim_timer, on_trim, sm);
}

void sm_spool_acked(struct entity *entity, struct resource *resource)
{
    struct timer *timer = &resource->sm->trim_timer;
    if (!timer_is_running(timer)) {
        timer_start(loop_timers(entity->router->loop), timer, TRIM_MS);
    }
}

void sm_spool_inherit(struct entity *entity, struct resource *resource)
{
    bool is_inherited = resource->sm->is_inherited;
    resource->sm->is_inherited = false;
    if (is_inherited && entity->router->redis) {
        sm_spool_rewrite(entity, resource);
    }
}

void sm_spool_rewrite(struct entity *entity, struct resource *resource)
{
    struct sm_session *sm = resource->sm;
    if (sm->is_queue_lost) { /* what is there may be better */
        return;
    }
    struct spool_key key = key_of(entity, resource);
    spool_erase(entity->router->redis, &key);
    handover_note_written(entity);
    sm_spool_open(entity);
    for (struct sm_entry *entry = is_spooling(entity) ? sm->queue.head : NULL; entry;
            entry = entry->next) {
        push(resource, entry);
    }
    sm->is_spooled = is_spooling(entity) && sm->queue.head != NULL;
    keep_alive(entity, resource);
}

/* ---- reading */

struct sm_load {
    struct entity_ref *ref;
    struct id128 session;
    void (*done)(struct entity *entity);
};

static enum err append(
        struct sm_session *sm, uint32_t sequence, const struct spool_element *element)
{
    struct arena arena;
    struct stanza stanza;
    arena_init(&arena, 0);
    enum err err = ERR_OK;
    if (element->log_id == 0) {
        err = wire_stanza_unpack(&arena, element->stanza, &stanza);
    }
    if (err == ERR_OK) {
        sm_note_unknown(sm, sequence - 1);
        err = sm_queue_restore(
                &sm->queue, sequence, element->log_id, element->log_id ? NULL : &stanza);
    }
    arena_fini(&arena);
    return err;
}

/* What is missing between two elements is unknown: Redis may have been emptied, or full. The log
 * would offer what was durable again, so only an edge that tells can have the session go on. */
static void restore(struct sm_session *sm, const struct spool_element *element)
{
    uint32_t sequence = (uint32_t)element->position;
    bool has_gap = sm_sequence_is_after(sequence - 1, sm->queue.last);
    enum err err = append(sm, sequence, element);
    sm->is_queue_lost = sm->is_queue_lost || has_gap || err != ERR_OK;
    sm->position = element->position;
}

/* What a former home had for the session and could not send comes behind all that was sent. */
static void restore_provisional(struct sm_session *sm, const struct spool_element *element)
{
    uint32_t sequence = sm->queue.last + 1;
    bool is_known = sm_queue_find_log(&sm->queue, element->log_id) != NULL;
    if (!is_known && append(sm, sequence, element) == ERR_OK) {
        sm->position = element->position;
        sm->position = position_of(sm, sequence);
    }
}

static void take(struct sm_session *sm, const struct spool_element *elements, size_t count)
{
    sm->is_queue_lost = false;
    if (count > 0) {
        sm->trimmed = (uint32_t)elements[0].position - 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (!elements[i].is_provisional) {
            restore(sm, &elements[i]);
        }
    }
    sm->is_spooled = count > 0;
    sm->sent = sm->queue.last;
    sm_note_reached(sm, sm->queue.last);
    for (size_t i = 0; i < count; i++) {
        if (elements[i].is_provisional) {
            restore_provisional(sm, &elements[i]);
        }
    }
}

static void on_spool(
        void *context, enum err err, const struct spool_element *elements, size_t count)
{
    struct sm_load load = *(struct sm_load *)context;
    free(context);
    struct entity *entity = entity_ref_take(load.ref);
    if (!entity || entity->state != ENTITY_LOADING_SESSIONS) {
        return; /* too late: the queue counts as lost */
    }
    struct resource *resource = entity_find_session(entity, load.session);
    if (resource && resource->sm) {
        resource->sm->is_inherited = true;
        resource->sm->is_spool_read = err != ERR_UNAVAILABLE && err != ERR_TIMEOUT;
    }
    if (resource && resource->sm && err == ERR_OK) {
        take(resource->sm, elements, count);
    }
    load.done(entity);
}

void sm_spool_load(
        struct entity *entity, struct resource *resource, void (*done)(struct entity *entity))
{
    resource->sm->is_queue_lost = true; /* until it is here */
    if (!is_spooling(entity)) {
        resource->sm->is_spool_read = true;
        done(entity);
        return;
    }
    struct sm_load *load = MEM_NEW(struct sm_load);
    *load = (struct sm_load){ entity_ref_create(entity), resource->session, done };
    struct spool_key key = key_of(entity, resource);
    spool_load(entity->router->redis, &key, on_spool, load);
}

/* ---- accounts of a shard that has come to us */

struct revival {
    struct revival *next;
    char bare[];
};

static void on_revive(struct timer *timer, void *context)
{
    struct entity_table *table = context;
    struct router *router = entity_table_router(table);
    struct revivals *revivals = entity_table_revivals(table);
    for (int i = 0; revivals->head && i < REVIVE_AT_A_TIME; i++) {
        struct revival *revival = revivals->head;
        struct str bare = str_from_cstr(revival->bare);
        revivals->head = revival->next;
        if (shard_is_owned(router->shards, shard_of(router->shards, bare))) {
            entity_get(table, bare)->is_revived = true;
        }
        free(revival);
    }
    if (revivals->head) {
        timer_start(loop_timers(router->loop), timer, REVIVE_MS);
    }
}

static void on_live(void *context, enum err err, const struct str *bares, size_t count)
{
    struct entity_table *table = entity_table_hold_take(context);
    if (!table || err != ERR_OK) {
        return; /* when Redis is back it is asked again */
    }
    struct revivals *revivals = entity_table_revivals(table);
    for (size_t i = 0; i < count; i++) {
        struct revival *revival = mem_calloc(1, sizeof(*revival) + bares[i].len + 1);
        memcpy(revival->bare, bares[i].ptr, bares[i].len);
        revival->next = revivals->head;
        revivals->head = revival;
    }
    if (revivals->head && !timer_is_running(&revivals->timer)) {
        timer_start(loop_timers(entity_table_router(table)->loop), &revivals->timer, 0);
    }
}

void entity_revive_shard(struct entity_table *table, unsigned shard)
{
    struct router *router = entity_table_router(table);
    entity_table_shard_gained(table, shard);
    if (router->redis) {
        spool_load_live(router->redis, shard, on_live, entity_table_hold(table));
    }
}

void revivals_init(struct revivals *revivals, struct entity_table *table)
{
    *revivals = (struct revivals){ .head = NULL };
    timer_init(&revivals->timer, on_revive, table);
}

void revivals_fini(struct revivals *revivals)
{
    timer_stop(&revivals->timer);
    while (revivals->head) {
        struct revival *revival = revivals->head;
        revivals->head = revival->next;
        free(revival);
    }
}

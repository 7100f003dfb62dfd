/* All entities: finding, running their mailboxes in turns, forgetting the idle ones, and the life
 * cycle of shards. */
#include "router/entity/entity_table.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "router/commit.h"
#include "router/entity/blocklist.h"
#include "router/entity/data_request.h"
#include "router/entity/entity.h"
#include "router/entity/fanout.h"
#include "router/entity/handover.h"
#include "router/entity/posts.h"
#include "router/entity/quotas.h"
#include "router/entity/redis_sweep.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/router.h"
#include "router/shard.h"

#define TURNS_PER_VISIT 32  /* of one mailbox, before the next one has its turn */
#define TURNS_PER_PHASE 512 /* then sockets are looked at again */
#define SWEEP_MS        1000
#define SETTLE_MS       60000 /* edges have announced, Redis was asked */

struct entity_table {
    struct router *router;
    struct entity *by_bare;
    struct entity *run_head;
    struct entity *run_tail;
    struct entity *dirty;
    struct entity *idle_head; /* least recently used */
    struct entity *idle_tail;
    struct loop_task work;
    struct loop_wake *more; /* work is left for the next turn of the loop */
    struct timer sweep_timer;
    struct handovers handovers;
    uint64_t next_serial;
    size_t refs;
    bool is_closed;
    struct revivals revivals;
    uint64_t online; /* accounts with a session */
    struct fanouts fanouts;
    struct redis_sweep redis_sweep;
    int64_t *gained_ms; /* by shard */
};

static struct metric entities_gauge = METRIC_GAUGE_INIT("entities", "Entities in memory", NULL);
static struct metric turns_total =
        METRIC_COUNTER_INIT("turns_total", "Items worked off by entities", NULL);

/* ---- references */

struct entity_ref {
    struct entity_table *table;
    uint64_t serial;
    struct str bare;
    char text[];
};

struct entity_ref *entity_ref_create(struct entity *entity)
{
    struct entity_ref *ref = mem_alloc(sizeof(*ref) + entity->bare.len);
    ref->table = entity->table;
    ref->serial = entity->serial;
    memcpy(ref->text, entity->bare.ptr, entity->bare.len);
    ref->bare = str_from(ref->text, entity->bare.len);
    ref->table->refs++;
    return ref;
}

struct entity *entity_ref_find(const struct entity_ref *ref)
{
    struct entity *entity = ref->table->is_closed ? NULL : entity_find(ref->table, ref->bare);
    return entity && entity->serial == ref->serial ? entity : NULL;
}

struct entity *entity_ref_take(struct entity_ref *ref)
{
    struct entity_table *table = ref->table;
    struct entity *entity = entity_ref_find(ref);
    free(ref);
    table->refs--;
    if (table->is_closed && table->refs == 0) {
        free(table);
    }
    return entity;
}

void *entity_table_hold(struct entity_table *table)
{
    table->refs++;
    return table;
}

struct entity_table *entity_table_hold_take(void *hold)
{
    struct entity_table *table = hold;
    table->refs--;
    if (!table->is_closed) {
        return table;
    }
    if (table->refs == 0) {
        free(table);
    }
    return NULL;
}

/* ---- idle list: least recently used first */

static void idle_remove(struct entity *entity)
{
    if (!entity->is_idle) {
        return;
    }
    struct entity_table *table = entity->table;
    *(entity->idle_prev ? &entity->idle_prev->idle_next : &table->idle_head) = entity->idle_next;
    *(entity->idle_next ? &entity->idle_next->idle_prev : &table->idle_tail) = entity->idle_prev;
    entity->is_idle = false;
}

static void idle_update(struct entity *entity)
{
    idle_remove(entity);
    bool is_settled = entity->state == ENTITY_ACTIVE || entity->state == ENTITY_UNKNOWN;
    if (!is_settled || entity->resources || !entity_is_quiet(entity)) {
        return;
    }
    struct entity_table *table = entity->table;
    entity->idle_since_ms = loop_now_ms(table->router->loop);
    entity->idle_prev = table->idle_tail;
    entity->idle_next = NULL;
    *(table->idle_tail ? &table->idle_tail->idle_next : &table->idle_head) = entity;
    table->idle_tail = entity;
    entity->is_idle = true;
}

static void evict_idle(struct entity_table *table)
{
    const struct settings *settings = table->router->settings;
    int64_t now_ms = loop_now_ms(table->router->loop);
    struct entity *entity = table->idle_head;
    while (entity) {
        struct entity *next = entity->idle_next;
        int64_t idle_ms = now_ms - entity->idle_since_ms;
        bool is_over = (int64_t)HASH_COUNT(table->by_bare) > settings->max_entities;
        if (!is_over && idle_ms < settings->entity_idle_ms) {
            break; /* the rest is younger */
        }
        entity_drop(entity);
        entity = next;
    }
}

static void on_sweep(struct timer *timer, void *context)
{
    struct entity_table *table = context;
    evict_idle(table);
    metric_set(&entities_gauge, (int64_t)HASH_COUNT(table->by_bare));
    timer_start(loop_timers(table->router->loop), timer, SWEEP_MS);
}

/* ---- entities */

struct entity *entity_find(struct entity_table *table, struct str bare)
{
    struct entity *entity = NULL;
    HASH_FIND(hh, table->by_bare, bare.ptr, bare.len, entity);
    return entity;
}

static struct entity *entity_create(struct entity_table *table, struct str bare)
{
    struct entity *entity = MEM_NEW(struct entity);
    struct jid jid = { .domain = bare };
    entity->table = table;
    entity->router = table->router;
    entity->bare_text = str_to_cstr(bare);
    entity->bare = str_from(entity->bare_text, bare.len);
    entity->domain = entity->bare;
    if (jid_split(entity->bare, &jid) == ERR_OK) {
        entity->domain = jid.domain;
    }
    entity->shard = shard_of(table->router->shards, bare);
    entity->serial = ++table->next_serial;
    mailbox_init(&entity->mailbox);
    outbox_init(&entity->outbox);
    origins_init(&entity->origins);
    account_log_init(&entity->log, &routes_log_ops, entity);
    timer_init(&entity->retry_timer, routes_on_retry, entity);
    entity_init_loading(entity);
    HASH_ADD_KEYPTR(hh, table->by_bare, entity->bare.ptr, entity->bare.len, entity);
    return entity;
}

struct entity *entity_get(struct entity_table *table, struct str bare)
{
    struct entity *entity = entity_find(table, bare);
    if (entity) {
        return entity;
    }
    if ((int64_t)HASH_COUNT(table->by_bare) >= table->router->settings->max_entities
            && table->idle_head) {
        entity_drop(table->idle_head);
    }
    entity = entity_create(table, bare);
    entity_activate(entity);
    return entity;
}

bool entity_is_quiet(const struct entity *entity)
{
    if (entity->mailbox.count || entity->waiting || entity->outbox.count || entity->is_dirty
            || entity->log.is_reading) {
        return false;
    }
    for (const struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (resource->works || resource->input_asked != resource->input_committed) {
            return false;
        }
    }
    return true;
}

static void unlink_from(struct entity **at, struct entity *entity, size_t next_offset)
{
    while (*at && *at != entity) {
        at = (struct entity **)(void *)((char *)*at + next_offset);
    }
    if (*at) {
        *at = *(struct entity **)(void *)((char *)entity + next_offset);
    }
}

static void unlink_runnable(struct entity *entity)
{
    struct entity_table *table = entity->table;
    if (entity->is_queued) {
        unlink_from(&table->run_head, entity, offsetof(struct entity, run_next));
        table->run_tail = table->run_head;
        while (table->run_tail && table->run_tail->run_next) {
            table->run_tail = table->run_tail->run_next;
        }
    }
    if (entity->is_dirty) {
        unlink_from(&table->dirty, entity, offsetof(struct entity, dirty_next));
    }
}

static void answer_fenced(struct item *item)
{
    if (item && item->kind == ITEM_ROUTE && item->done) {
        item->done(item->context, ERR_FENCED);
    }
    item_destroy(item);
}

void entity_note_online(struct entity *entity)
{
    bool is_online = entity->resource_count > 0;
    if (is_online != entity->is_online) {
        entity->is_online = is_online;
        entity->table->online += is_online ? 1 : UINT64_MAX; /* or one less */
    }
}

uint64_t entity_count_online(const struct entity_table *table)
{
    return table->online;
}

void entity_drop(struct entity *entity)
{
    struct entity_table *table = entity->table;
    entity->resource_count = 0;
    entity_note_online(entity);
    redis_sweep_forget(&table->redis_sweep, entity);
    HASH_DEL(table->by_bare, entity); /* first: callbacks below must not find it */
    idle_remove(entity);
    unlink_runnable(entity);
    timer_stop(&entity->load_timer);
    timer_stop(&entity->untold_timer);
    timer_stop(&entity->retry_timer);
    routes_cancel_read(entity);
    sm_cancel_fill(entity);
    forward_forget(entity);
    for (struct outbox_item *waiting = entity->outbox.head; waiting; waiting = waiting->next) {
        outbox_tell_waiters(
                waiting, ERR_FENCED); /* oldest first: they are asked again in this order */
    }
    answer_fenced(entity->waiting);
    struct item *item;
    while ((item = mailbox_pop(&entity->mailbox)) != NULL) {
        answer_fenced(item);
    }
    outbox_fini(&entity->outbox);
    while (entity->resources) {
        struct resource *resource = entity->resources;
        entity->resources = resource->next;
        resource_destroy(resource);
    }
    entity_close_quotas(entity);
    free(entity->strangers);
    account_log_fini(&entity->log);
    roster_clear(&entity->roster);
    data_forget_key(entity);
    origins_fini(&entity->origins);
    free(entity->stored_inputs);
    free(entity->kicked);
    free(entity->carbons);
    blocklist_destroy(entity->blocklist);
    free(entity->bare_text);
    free(entity);
}

/* Losing the shard drops all that is in memory of it, after which whoever waited asks elsewhere.
 * The entity's epoch is today's, since it would not have outlived a former one. */
void entity_drop_fenced(struct entity *entity)
{
    struct shard_table *shards = entity->router->shards;
    struct entity_ref *ref = entity_ref_create(entity);
    shard_fenced(shards, entity->shard, shard_epoch(shards, entity->shard));
    entity = entity_ref_take(ref);
    if (entity) {
        entity_drop(entity); /* the shard was lost already */
    }
}

/* ---- running */

static void schedule(struct entity_table *table)
{
    loop_defer(table->router->loop, LOOP_PHASE_WORK, &table->work);
}

void entity_wake(struct entity *entity)
{
    bool may_run = entity->state == ENTITY_ACTIVE || entity->state == ENTITY_UNKNOWN;
    if (!may_run || entity->is_queued || entity->waiting
            || (!entity->mailbox.head && !entity->has_lost_sessions)) {
        return;
    }
    struct entity_table *table = entity->table;
    idle_remove(entity);
    entity->is_queued = true;
    entity->run_next = NULL;
    *(table->run_tail ? &table->run_tail->run_next : &table->run_head) = entity;
    table->run_tail = entity;
    schedule(table);
}

void entity_mark_dirty(struct entity *entity)
{
    if (!entity->is_dirty) {
        entity->is_dirty = true;
        entity->dirty_next = entity->table->dirty;
        entity->table->dirty = entity;
    }
    schedule(entity->table);
}

void entity_post(struct entity *entity, struct item *item)
{
    item->posted_ms = loop_now_ms(entity->router->loop);
    mailbox_push(&entity->mailbox, item);
    idle_remove(entity);
    entity_wake(entity);
}

void entity_post_first(struct entity *entity, struct mailbox *items)
{
    if (!items->head) {
        return;
    }
    for (struct item *item = items->head; item; item = item->next) {
        item->posted_ms = loop_now_ms(entity->router->loop);
    }
    mailbox_push_first(&entity->mailbox, items);
    idle_remove(entity);
    entity_wake(entity);
}

/* False: the item waits for the store and is not ours any more. */
static bool handle_item(struct entity *entity, struct item *item)
{
    switch (item->kind) {
    case ITEM_BIND: sessions_handle_bind(entity, item); break;
    case ITEM_ANNOUNCE: sessions_handle_announce(entity, item); break;
    case ITEM_INPUT: return inputs_handle(entity, item);
    case ITEM_CLOSE: sessions_handle_close(entity, item); break;
    case ITEM_DELIVERED:
        for (size_t i = 0; i < item->id_count; i++) {
            if (!sm_is_numbered(entity, item->session, item->ids[i])) {
                account_log_on_delivered(&entity->log, item->session, item->ids[i]);
            }
        }
        break;
    case ITEM_SESSION_GONE: sessions_handle_gone(entity, item); break;
    case ITEM_ROUTE: return routes_handle(entity, item);
    case ITEM_EDGE_DEAD: sessions_handle_edge_dead(entity, item); break;
    case ITEM_ACCOUNT_CHANGED: entity_reload(entity); break;
    case ITEM_END_SESSIONS:
        sessions_kick_all(entity, STREAM_ERROR_POLICY_VIOLATION, STR("Ended by an administrator"));
        break;
    case ITEM_ACKED: sm_handle_acked(entity, item); break;
    case ITEM_ENABLE: sm_handle_enable(entity, item); break;
    case ITEM_RESUME: sm_handle_resume(entity, item); break;
    case ITEM_CLIENT_STATE: csi_handle_state(entity, item); break;
    }
    return true;
}

static bool is_runnable(const struct entity *entity)
{
    return !entity->waiting && (entity->state == ENTITY_ACTIVE || entity->state == ENTITY_UNKNOWN);
}

/* Bind at an unknown account: somebody has just proved to be it, so the cache is stale. */
static bool needs_reload(const struct entity *entity, struct item *item)
{
    if (entity->state != ENTITY_UNKNOWN || item->kind != ITEM_BIND || item->counter) {
        return false;
    }
    item->counter = 1; /* once */
    return true;
}

static unsigned run_entity(struct entity *entity)
{
    unsigned turns = 0;
    if (entity->has_lost_sessions) {
        sessions_end_lost(entity);
    }
    while (turns < TURNS_PER_VISIT && is_runnable(entity)) {
        struct item *item = mailbox_pop(&entity->mailbox);
        if (!item) {
            break;
        }
        turns++;
        if (needs_reload(entity, item)) {
            mailbox_unpop(&entity->mailbox, item);
            entity_reload(entity);
        } else if (handle_item(entity, item)) {
            item_destroy(item);
        }
        if (entity->has_lost_sessions) {
            sessions_end_lost(entity);
        }
        fanouts_run(entity->table);
    }
    metric_add(&turns_total, turns);
    return turns;
}

static void flush_dirty(struct entity_table *table)
{
    while (table->dirty) {
        struct entity *entity = table->dirty;
        table->dirty = entity->dirty_next;
        entity->is_dirty = false;
        inputs_flush(entity);
        idle_update(entity);
    }
}

static void on_work(void *context)
{
    struct entity_table *table = context;
    unsigned turns = 0;
    fanouts_run(table);
    while (table->run_head && turns < TURNS_PER_PHASE) {
        struct entity *entity = table->run_head;
        table->run_head = entity->run_next;
        table->run_tail = table->run_head ? table->run_tail : NULL;
        entity->is_queued = false;
        turns += run_entity(entity);
        entity_wake(entity);
        idle_update(entity);
    }
    fanouts_run(table);
    flush_dirty(table);
    if (table->run_head) {
        loop_task_cancel(table->router->loop, &table->work);
        loop_wake_signal(table->more);
    }
}

static void on_more(void *context)
{
    schedule(context);
}

/* ---- shards */

void entity_drop_shard(struct entity_table *table, unsigned shard)
{
    handover_forget(&table->handovers, shard);
    struct entity *entity;
    struct entity *next;
    HASH_ITER(hh, table->by_bare, entity, next)
    {
        if (entity->shard == shard) {
            entity_drop(entity);
        }
    }
}

/* ---- the table */

struct entity *entity_table_first(struct entity_table *table)
{
    return table->by_bare;
}

struct router *entity_table_router(struct entity_table *table)
{
    return table->router;
}

struct fanouts *entity_table_fanouts(struct entity_table *table)
{
    return &table->fanouts;
}

struct redis_sweep *entity_table_redis_sweep(struct entity_table *table)
{
    return &table->redis_sweep;
}

struct handovers *entity_table_handovers(struct entity_table *table)
{
    return &table->handovers;
}

void entity_table_schedule(struct entity_table *table)
{
    schedule(table);
}

bool entity_table_is_settled(const struct entity_table *table, unsigned shard)
{
    int64_t held_ms = loop_now_ms(table->router->loop) - table->gained_ms[shard];
    return held_ms >= SETTLE_MS && !table->revivals.head;
}

void entity_table_shard_gained(struct entity_table *table, unsigned shard)
{
    table->gained_ms[shard] = loop_now_ms(table->router->loop);
}

struct revivals *entity_table_revivals(struct entity_table *table)
{
    return &table->revivals;
}

enum err entity_table_create(struct router *router, struct entity_table **table_out)
{
    struct entity_table *table = MEM_NEW(struct entity_table);
    table->router = router;
    table->gained_ms = mem_calloc(router->settings->shards, sizeof(table->gained_ms[0]));
    fanouts_init(&table->fanouts);
    handovers_init(&table->handovers, table);
    table->work = (struct loop_task){ .run = on_work, .context = table };
    table->more = loop_wake_create(router->loop, on_more, table);
    timer_init(&table->sweep_timer, on_sweep, table);
    timer_start(loop_timers(router->loop), &table->sweep_timer, SWEEP_MS);
    revivals_init(&table->revivals, table);
    redis_sweep_init(&table->redis_sweep, table);
    metric_register(&entities_gauge);
    metric_register(&turns_total);
    *table_out = table;
    return ERR_OK;
}

void entity_table_destroy(struct entity_table *table)
{
    if (!table) {
        return;
    }
    table->is_closed = true;
    struct entity *entity;
    struct entity *next;
    HASH_ITER(hh, table->by_bare, entity, next)
    {
        entity_drop(entity);
    }
    revivals_fini(&table->revivals);
    redis_sweep_fini(&table->redis_sweep);
    fanouts_fini(&table->fanouts);
    handovers_fini(&table->handovers);
    free(table->gained_ms);
    timer_stop(&table->sweep_timer);
    loop_task_cancel(table->router->loop, &table->work);
    loop_wake_destroy(table->more);
    if (table->refs == 0) {
        free(table); /* else the last reference does */
    }
}

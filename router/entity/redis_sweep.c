/* The table keeps entities in the order they came in, so a cursor meets each one that is there from
 * the first step to the last, and those that come meanwhile. What an entity writes between two
 * steps is written a second time. */
#include "router/entity/redis_sweep.h"

#include "chassis/loop.h"
#include "chassis/redis.h"
#include "router/entity/entity.h"
#include "router/entity/entity_table.h"
#include "router/entity/posts.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/spool.h"

#define ROUND_MS      INT64_C(14400000) /* four hours; keys live for two days without it */
#define ROUND_TICK_MS 10000
#define STEP_MS       10
#define STEP_WRITTEN  100  /* entities, so that the loop turns on */
#define STEP_VISITED  1000 /* most have no session */

/* ---- everything */

/* So says an empty Redis; one that was away may still name who has ended meanwhile. What an entity
 * has not heard from Redis yet it does not know to have ended. */
static void write_live(struct router *router, struct entity *entity)
{
    bool is_settled = entity->state == ENTITY_ACTIVE || entity->state == ENTITY_UNKNOWN;
    entity->is_live = false;
    sessions_update_live(entity);
    if (is_settled && entity->knows_sessions && !entity->is_live) {
        spool_remove_live(router->redis, entity->shard, entity->bare);
    }
}

static void write_entity(struct router *router, struct entity *entity)
{
    write_live(router, entity);
    for (struct resource *resource = entity->resources; resource; resource = resource->next) {
        if (resource->is_closing) {
            continue;
        }
        sessions_write_record(router, entity, resource);
        sessions_write_presence(entity, resource);
        if (resource->sm) {
            sm_spool_rewrite(entity, resource);
        }
    }
}

/* Until Redis has as much to do as it should, and not for long. */
static void on_write(struct timer *timer, void *context)
{
    struct entity_table *table = context;
    struct redis_sweep *sweep = entity_table_redis_sweep(table);
    struct router *router = entity_table_router(table);
    int written = 0;
    for (int i = 0; sweep->to_write && i < STEP_VISITED && written < STEP_WRITTEN
            && redis_has_room(router->redis);
            i++) {
        struct entity *entity = sweep->to_write;
        sweep->to_write = entity->hh.next;
        write_entity(router, entity);
        written += entity->resources ? 1 : 0;
    }
    if (!redis_is_up(router->redis)) {
        sweep->to_write = NULL; /* it begins anew with the next connection */
    } else if (sweep->to_write) {
        timer_start(loop_timers(router->loop), timer, STEP_MS);
    }
}

void entity_on_redis_up(struct entity_table *table)
{
    struct redis_sweep *sweep = entity_table_redis_sweep(table);
    if (entity_table_router(table)->redis) {
        sweep->to_write = entity_table_first(table);
        timer_stop(&sweep->write_timer);
        on_write(&sweep->write_timer, table);
    }
}

bool entity_is_writing_redis(struct entity_table *table)
{
    return entity_table_redis_sweep(table)->to_write != NULL;
}

/* ---- signs of life */

/* Spread over the round. */
static void on_renew(struct timer *timer, void *context)
{
    struct entity_table *table = context;
    struct redis_sweep *sweep = entity_table_redis_sweep(table);
    struct router *router = entity_table_router(table);
    struct entity *first = entity_table_first(table);
    int64_t now_ms = loop_now_ms(router->loop);
    if (!sweep->to_renew && now_ms - sweep->renewed_ms >= ROUND_MS) {
        sweep->to_renew = first;
        sweep->renewed_ms = now_ms;
    }
    size_t share = 1 + HASH_COUNT(first) / (size_t)(ROUND_MS / ROUND_TICK_MS);
    for (; sweep->to_renew && share > 0 && redis_has_room(router->redis); share--) {
        const struct entity *entity = sweep->to_renew;
        sweep->to_renew = entity->hh.next;
        if (entity->resources) {
            session_registry_renew(router->redis, entity->bare);
        }
    }
    timer_start(loop_timers(router->loop), timer, ROUND_TICK_MS);
}

/* ---- life */

void redis_sweep_init(struct redis_sweep *sweep, struct entity_table *table)
{
    *sweep = (struct redis_sweep){ .to_write = NULL };
    timer_init(&sweep->write_timer, on_write, table);
    timer_init(&sweep->renew_timer, on_renew, table);
    const struct router *router = entity_table_router(table);
    if (router->redis) {
        sweep->renewed_ms = loop_now_ms(router->loop);
        timer_start(loop_timers(router->loop), &sweep->renew_timer, ROUND_TICK_MS);
    }
}

void redis_sweep_fini(struct redis_sweep *sweep)
{
    timer_stop(&sweep->write_timer);
    timer_stop(&sweep->renew_timer);
}

void redis_sweep_forget(struct redis_sweep *sweep, const struct entity *entity)
{
    if (sweep->to_write == entity) {
        sweep->to_write = entity->hh.next;
    }
    if (sweep->to_renew == entity) {
        sweep->to_renew = entity->hh.next;
    }
}

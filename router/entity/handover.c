/* The memory of a home is all there is of what it numbered and could not leave in Redis: a lease
 * that is late, a connection that was lost, a sweep under way. So it is kept until Redis has
 * answered behind the last of it, or is known to be away. */
#include "router/entity/handover.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/redis.h"
#include "router/commit.h"
#include "router/entity/entity.h"
#include "router/entity/entity_table.h"
#include "router/entity/posts.h"
#include "router/router.h"

#define POLL_MS        20
#define REDIS_GRACE_MS 1500       /* the next home waits no longer for it, either */
#define NEVER          UINT64_MAX /* no number of writes */

struct handover {
    bool is_wanted;
    bool is_busy;     /* scratch of one pass */
    uint64_t written; /* to Redis, since the process began */
    uint64_t asked;   /* how much that was when Redis was asked last; NEVER: not yet, or in vain */
    uint64_t told;    /* and of the last answer */
    int64_t deadline_ms;
    void (*done)(void *context, unsigned shard);
    void *context;
};

/* ---- what Redis has */

struct question {
    void *hold; /* of the table */
    unsigned shard;
    uint64_t written;
};

static void on_answer(void *context, enum err err, const struct redis_value *reply)
{
    struct question question = *(struct question *)context;
    free(context);
    struct entity_table *table = entity_table_hold_take(question.hold);
    if (!table) {
        return;
    }
    struct handovers *handovers = entity_table_handovers(table);
    struct handover *handover = &handovers->by_shard[question.shard];
    if (err != ERR_OK || reply->type != REDIS_STATUS) {
        handover->asked = NEVER; /* again in a while */
        return;
    }
    handover->told = question.written;
    if (handovers->running > 0 && handover->told == handover->written) {
        timer_start(loop_timers(entity_table_router(table)->loop), &handovers->timer, 0);
    }
}

/* It answers in order. */
static void ask(struct handovers *handovers, unsigned shard)
{
    struct handover *handover = &handovers->by_shard[shard];
    handover->asked = handover->written;
    struct question *question = MEM_NEW(struct question);
    *question = (struct question){ entity_table_hold(handovers->table), shard, handover->asked };
    const struct str ping = STR("PING");
    struct redis *redis = entity_table_router(handovers->table)->redis;
    redis_command(redis, &ping, 1, on_answer, question);
}

/* Asks when it is not known. */
static bool has_redis_all(struct handovers *handovers, unsigned shard)
{
    const struct router *router = entity_table_router(handovers->table);
    const struct handover *handover = &handovers->by_shard[shard];
    if (!router->redis || redis_down_ms(router->redis) >= REDIS_GRACE_MS) {
        return true;
    }
    if (!redis_is_up(router->redis) || router->is_redis_behind
            || entity_is_writing_redis(handovers->table)) {
        return false;
    }
    if (handover->told != handover->written && handover->asked != handover->written) {
        ask(handovers, shard);
    }
    return handover->told == handover->written;
}

void handover_note_written(const struct entity *entity)
{
    entity_table_handovers(entity->table)->by_shard[entity->shard].written++;
}

/* ---- shards that leave */

static bool is_settled(struct handovers *handovers, unsigned shard, int64_t now_ms)
{
    const struct handover *handover = &handovers->by_shard[shard];
    const struct router *router = entity_table_router(handovers->table);
    bool is_quiet = !handover->is_busy && commit_is_idle(router->commit, shard);
    if (is_quiet && has_redis_all(handovers, shard)) {
        return true;
    }
    if (now_ms < handover->deadline_ms) {
        return false;
    }
    log_warn("entity",
            is_quiet ? "shard handed over before Redis has all of it"
                     : "shard handed over with work left",
            log_int("shard", shard));
    return true;
}

static void look_for_work(struct handovers *handovers)
{
    for (unsigned shard = 0; shard < handovers->shard_count; shard++) {
        handovers->by_shard[shard].is_busy = false;
    }
    for (struct entity *entity = entity_table_first(handovers->table); entity;
            entity = entity->hh.next) {
        struct handover *handover = &handovers->by_shard[entity->shard];
        if (handover->is_wanted && !entity_is_quiet(entity)) {
            handover->is_busy = true;
        }
    }
}

static void on_poll(struct timer *timer, void *context)
{
    struct handovers *handovers = context;
    struct loop *loop = entity_table_router(handovers->table)->loop;
    look_for_work(handovers);
    for (unsigned shard = 0; shard < handovers->shard_count; shard++) {
        const struct handover *handover = &handovers->by_shard[shard];
        if (handover->is_wanted && is_settled(handovers, shard, loop_now_ms(loop))) {
            entity_drop_shard(handovers->table, shard);
            handover->done(handover->context, shard);
        }
    }
    if (handovers->running > 0) {
        timer_start(loop_timers(loop), timer, POLL_MS);
    }
}

void entity_quiesce_shard(struct entity_table *table,
        unsigned shard,
        void (*done)(void *context, unsigned shard),
        void *context)
{
    struct handovers *handovers = entity_table_handovers(table);
    const struct router *router = entity_table_router(table);
    ASSERT(shard < handovers->shard_count);
    struct handover *handover = &handovers->by_shard[shard];
    handovers->running += handover->is_wanted ? 0 : 1;
    handover->is_wanted = true;
    handover->asked = NEVER;
    handover->told = NEVER;
    handover->deadline_ms = loop_now_ms(router->loop) + router->settings->commit_timeout_ms;
    handover->done = done;
    handover->context = context;
    timer_start(loop_timers(router->loop), &handovers->timer, 0);
}

void handover_forget(struct handovers *handovers, unsigned shard)
{
    struct handover *handover = &handovers->by_shard[shard];
    handovers->running -= handover->is_wanted ? 1 : 0;
    handover->is_wanted = false;
}

/* ---- life */

void handovers_init(struct handovers *handovers, struct entity_table *table)
{
    unsigned count = entity_table_router(table)->settings->shards;
    *handovers = (struct handovers){ .table = table, .shard_count = count };
    handovers->by_shard = mem_calloc(count, sizeof(handovers->by_shard[0]));
    timer_init(&handovers->timer, on_poll, handovers);
}

void handovers_fini(struct handovers *handovers)
{
    timer_stop(&handovers->timer);
    free(handovers->by_shard);
}

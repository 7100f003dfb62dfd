/* SET with GET (Redis 6.2) tells what was there before. The key of a router that never comes back
 * goes by itself. */
#include "router/redis_mark.h"

#include <stdlib.h>

#include "chassis/base/buf.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/redis.h"

#define MARK_TTL_S "600" /* a process that was stopped for longer writes everything again */

struct redis_mark {
    struct loop *loop;
    struct redis *redis;
    struct buf key;
    struct timer timer;
    bool is_set; /* on this connection */
    void (*on_emptied)(void *context);
    void *context;
};

static void on_reply(void *context, enum err err, const struct redis_value *reply)
{
    struct redis_mark *mark = context;
    if (err != ERR_OK || (reply->type != REDIS_NIL && reply->type != REDIS_STRING)) {
        mark->is_set = mark->is_set && err == ERR_OK; /* Redis is full: what was there still is */
        return;
    }
    bool is_emptied = mark->is_set && reply->type == REDIS_NIL;
    mark->is_set = true;
    if (is_emptied) {
        log_warn("redis", "it was emptied: what we know is written again");
        mark->on_emptied(mark->context);
    }
}

static void on_due(struct timer *timer, void *context)
{
    struct redis_mark *mark = context;
    struct str set[] = {
        STR("SET"), buf_view(&mark->key), STR("1"), STR("EX"), STR(MARK_TTL_S), STR("GET")
    };
    if (redis_is_up(mark->redis)) {
        redis_command(mark->redis, set, 6, on_reply, mark);
    } else {
        mark->is_set = false;
    }
    timer_start(loop_timers(mark->loop), timer, REDIS_MARK_MS);
}

struct redis_mark *redis_mark_create(struct loop *loop,
        struct redis *redis,
        const char *node,
        void (*on_emptied)(void *context),
        void *context)
{
    struct redis_mark *mark = MEM_NEW(struct redis_mark);
    mark->loop = loop;
    mark->redis = redis;
    mark->on_emptied = on_emptied;
    mark->context = context;
    buf_init(&mark->key, 0);
    buf_printf(&mark->key, "mark:%s", node);
    timer_init(&mark->timer, on_due, mark);
    timer_start(loop_timers(loop), &mark->timer, 0);
    return mark;
}

void redis_mark_destroy(struct redis_mark *mark)
{
    if (!mark) {
        return;
    }
    timer_stop(&mark->timer);
    buf_fini(&mark->key);
    free(mark);
}

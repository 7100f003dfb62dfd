/* Notices that Redis was emptied under a living connection (FLUSHALL, an eviction): a key of this
 * router is set again every REDIS_MARK_MS, and when it is not there any more, whatever else we left
 * there may not be, either. A lost connection is told by redis_on_change instead. Loop thread only.
 */
#pragma once

#define REDIS_MARK_MS 2000

struct loop;
struct redis;
struct redis_mark;

/* `node` is copied, `redis` must live longer. */
struct redis_mark *redis_mark_create(struct loop *loop,
        struct redis *redis,
        const char *node,
        void (*on_emptied)(void *context),
        void *context);
void redis_mark_destroy(struct redis_mark *mark); /* accepts NULL; behind redis_close */

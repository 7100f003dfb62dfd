/* One list for each shard, one index by request. */
#include "router/route_queue.h"

#include <utlist.h>

#include "chassis/base/mem.h"

void route_queue_init(struct route_queue *queue, unsigned shards)
{
    *queue = (struct route_queue){ .shards = shards };
    queue->by_shard = mem_calloc(shards, sizeof(*queue->by_shard));
}

static void unlink_route(struct route_queue *queue, struct route *route)
{
    struct route_shard *shard = &queue->by_shard[route->shard];
    if (route->sent_to == NULL) {
        shard->waiting--;
        queue->waiting--;
    }
    DL_DELETE(shard->routes, route);
    HASH_DEL(queue->by_request, route);
    buf_fini(&route->record);
}

void route_queue_finish(struct route_queue *queue, struct route *route, enum err err)
{
    egress_route_done done = route->done;
    void *context = route->context;
    unlink_route(queue, route);
    free(route);
    done(context, err);
}

void route_queue_fini(struct route_queue *queue)
{
    struct route *route;
    struct route *next;
    HASH_ITER(hh, queue->by_request, route, next)
    {
        route_queue_finish(queue, route, ERR_CLOSED);
    }
    free(queue->by_shard);
}

struct route *route_queue_add(struct route_queue *queue,
        unsigned shard,
        int64_t now_ms,
        egress_route_done done,
        void *context)
{
    struct route *route = MEM_NEW(struct route);
    route->request = ++queue->last_request;
    route->shard = shard;
    route->created_ms = now_ms;
    route->done = done;
    route->context = context;
    buf_init(&route->record, 0);
    DL_APPEND(queue->by_shard[shard].routes, route);
    HASH_ADD(hh, queue->by_request, request, sizeof(route->request), route);
    queue->by_shard[shard].waiting++;
    queue->waiting++;
    return route;
}

struct route *route_queue_find(struct route_queue *queue, uint64_t request)
{
    struct route *route;
    HASH_FIND(hh, queue->by_request, &request, sizeof(request), route);
    return route;
}

struct route *route_queue_next(const struct route_queue *queue, unsigned shard)
{
    if (queue->by_shard[shard].waiting == 0) {
        return NULL;
    }

    struct route *route = queue->by_shard[shard].routes;
    while (route->sent_to != NULL) {
        route = route->next;
        ASSERT(route != NULL);
    }
    return route;
}

void route_queue_sent(struct route_queue *queue, struct route *route, const void *peer)
{
    ASSERT(route->sent_to == NULL && peer != NULL);
    route->sent_to = peer;
    route->was_ever_sent = true;
    queue->by_shard[route->shard].waiting--;
    queue->waiting--;
}

static void unsend(struct route_queue *queue, struct route *route)
{
    route->sent_to = NULL;
    queue->by_shard[route->shard].waiting++;
    queue->waiting++;
}

void route_queue_unsend(struct route_queue *queue, unsigned shard, const void *peer)
{
    struct route *route;
    DL_FOREACH(queue->by_shard[shard].routes, route)
    {
        if (route->sent_to == peer && peer != NULL) {
            unsend(queue, route);
        }
    }
}

void route_queue_unsend_others(struct route_queue *queue, unsigned shard, const void *home)
{
    struct route *route;
    DL_FOREACH(queue->by_shard[shard].routes, route)
    {
        if (route->sent_to != NULL && route->sent_to != home) {
            unsend(queue, route);
        }
    }
}

/* A callback may add routes; it may not end others, so the saved neighbour stays valid. */
void route_queue_expire(struct route_queue *queue, int64_t before_ms)
{
    struct route *route;
    struct route *next;
    HASH_ITER(hh, queue->by_request, route, next)
    {
        if (!route->was_ever_sent && route->created_ms <= before_ms) {
            route_queue_finish(queue, route, ERR_UNAVAILABLE);
        }
    }
}

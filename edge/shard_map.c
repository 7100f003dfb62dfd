/* The cached shard table. */
#include "edge/shard_map.h"

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

struct shard_map {
    uint64_t version;
    unsigned shards;
    char **names; /* every router ever named: few, kept */
    size_t name_count;
    struct shard_route *routes;
};

struct shard_map *shard_map_create(unsigned shards)
{
    struct shard_map *map = MEM_NEW(struct shard_map);
    map->shards = shards;
    map->routes = mem_calloc(shards, sizeof(*map->routes));
    for (unsigned i = 0; i < shards; i++) {
        map->routes[i].generation = 1;
    }
    return map;
}

void shard_map_destroy(struct shard_map *map)
{
    if (!map) {
        return;
    }
    for (size_t i = 0; i < map->name_count; i++) {
        free(map->names[i]);
    }
    free(map->names);
    free(map->routes);
    free(map);
}

uint64_t shard_map_version(const struct shard_map *map)
{
    return map->version;
}

unsigned shard_map_shards(const struct shard_map *map)
{
    return map->shards;
}

const struct shard_route *shard_map_route(const struct shard_map *map, unsigned shard)
{
    ASSERT(shard < map->shards);
    return &map->routes[shard];
}

static const char *intern(struct shard_map *map, struct str name)
{
    for (size_t i = 0; i < map->name_count; i++) {
        if (str_equal(str_from_cstr(map->names[i]), name)) {
            return map->names[i];
        }
    }
    map->names = mem_realloc(map->names, (map->name_count + 1) * sizeof(char *));
    map->names[map->name_count] = str_to_cstr(name);
    return map->names[map->name_count++];
}

/* Never 0, so that a session that knows no generation is always behind. */
static void next_generation(struct shard_route *route)
{
    route->generation++;
    if (route->generation == 0) {
        route->generation = 1;
    }
}

static bool is_sound(const struct shard_map *map, const Wire__ShardMap *message)
{
    if (message->n_owner != map->shards || message->n_epoch != map->shards) {
        return false;
    }
    for (size_t i = 0; i < message->n_owner; i++) {
        if (message->owner[i] > message->n_routers) {
            return false;
        }
    }
    return true;
}

bool shard_map_update(struct shard_map *map, const Wire__ShardMap *message, bool *changed_out)
{
    if (message->version <= map->version || !is_sound(map, message)) {
        return false;
    }
    map->version = message->version;
    for (unsigned i = 0; i < map->shards; i++) {
        struct shard_route *route = &map->routes[i];
        const char *owner = NULL;
        if (message->owner[i] != 0) {
            owner = intern(map, wire_str(message->routers[message->owner[i] - 1]->name));
        }
        changed_out[i] =
                route->is_blocked || route->owner != owner || route->epoch != message->epoch[i];
        if (changed_out[i]) {
            route->owner = owner;
            route->epoch = message->epoch[i];
            route->is_blocked = false;
            next_generation(route);
        }
    }
    return true;
}

bool shard_map_block(struct shard_map *map, unsigned shard, const char *router)
{
    if (shard >= map->shards) {
        return false;
    }
    struct shard_route *route = &map->routes[shard];
    if (route->is_blocked || !route->owner || strcmp(route->owner, router) != 0) {
        return false;
    }
    route->is_blocked = true;
    return true;
}

void shard_map_unblock(struct shard_map *map, unsigned shard)
{
    struct shard_route *route = &map->routes[shard];
    if (route->is_blocked) {
        route->is_blocked = false;
        next_generation(route);
    }
}

void shard_map_router_died(struct shard_map *map, const char *router)
{
    for (unsigned i = 0; i < map->shards; i++) {
        struct shard_route *route = &map->routes[i];
        if (route->owner && strcmp(route->owner, router) == 0) {
            next_generation(route);
        }
    }
}

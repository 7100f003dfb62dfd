/* Who owns which shard, as routers told us: the newest version wins. Each shard has a generation
 * that grows whenever everything sent for it has to be announced and sent again. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"
#include "proto/wire/wire.h"

struct shard_map;

struct shard_route {
    const char *owner; /* router's name, NULL: nobody owns it now */
    uint64_t epoch;
    uint32_t generation; /* never 0 */
    bool is_blocked;     /* the owner said it is not: wait for a newer map or a retry */
};

struct shard_map *shard_map_create(unsigned shards);
void shard_map_destroy(struct shard_map *map); /* accepts NULL */

uint64_t shard_map_version(const struct shard_map *map); /* 0: none yet */
unsigned shard_map_shards(const struct shard_map *map);

/* false: older or malformed, nothing changed. Else `changed_out[shard]` says where to repeat (an
 * array of shard_map_shards). */
bool shard_map_update(struct shard_map *map, const Wire__ShardMap *message, bool *changed_out);
const struct shard_route *shard_map_route(const struct shard_map *map, unsigned shard);

/* NotOwner from `router`. true: the shard waits now. false: stale news, ignore. */
bool shard_map_block(struct shard_map *map, unsigned shard, const char *router);
/* Ends the wait of a shard; everything is sent again. */
void shard_map_unblock(struct shard_map *map, unsigned shard);
/* An incarnation of `router` died with what was sent to it: its shards are repeated. */
void shard_map_router_died(struct shard_map *map, const char *router);

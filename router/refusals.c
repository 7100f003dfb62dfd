/* Two numbers for each shard; a refusal is rare, a router that sends routes is not: nothing is kept
 * for a peer before its first one. */
#include "router/refusals.h"

#include <stdlib.h>

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

struct refusal {
    uint64_t request; /* 0: none */
    uint64_t newest;  /* refused since for being younger; 0: none */
};

struct refusals {
    unsigned shards;
    struct refusal by_shard[];
};

void refusals_add(struct refusals **at, unsigned shards, unsigned shard, uint64_t request)
{
    ASSERT(shard < shards);
    if (*at == NULL) {
        *at = mem_calloc(1, sizeof(**at) + shards * sizeof((*at)->by_shard[0]));
        (*at)->shards = shards;
    }
    struct refusal *refusal = &(*at)->by_shard[shard];
    if (refusal->request == 0 || request < refusal->request) {
        refusal->request = request;
    }
}

bool refusals_is_behind(struct refusals *refusals, unsigned shard, uint64_t request)
{
    if (refusals == NULL || refusals->by_shard[shard].request == 0) {
        return false;
    }
    struct refusal *refusal = &refusals->by_shard[shard];
    if (request <= refusal->request || request <= refusal->newest) {
        *refusal = (struct refusal){ 0, 0 };
        return false;
    }
    refusal->newest = request;
    return true;
}

void refusals_destroy(struct refusals *refusals)
{
    free(refusals);
}

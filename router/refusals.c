/* One number for each shard; a refusal is rare, a router that sends routes is not: nothing is kept
 * for a peer before its first one. */
#include "router/refusals.h"

#include <stdlib.h>

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

struct refusal {
    uint64_t request; /* 0: none */
    int64_t until_ms;
};

struct refusals {
    unsigned shards;
    struct refusal by_shard[];
};

void refusals_add(
        struct refusals **at, unsigned shards, unsigned shard, uint64_t request, int64_t now_ms)
{
    ASSERT(shard < shards);
    if (*at == NULL) {
        *at = mem_calloc(1, sizeof(**at) + shards * sizeof((*at)->by_shard[0]));
        (*at)->shards = shards;
    }
    struct refusal *refusal = &(*at)->by_shard[shard];
    if (refusal->request == 0 || request < refusal->request) {
        *refusal = (struct refusal){ request, now_ms + REFUSALS_MS };
    }
}

bool refusals_is_behind(struct refusals *refusals, unsigned shard, uint64_t request, int64_t now_ms)
{
    if (refusals == NULL || refusals->by_shard[shard].request == 0) {
        return false;
    }
    struct refusal *refusal = &refusals->by_shard[shard];
    bool is_behind = request > refusal->request && now_ms < refusal->until_ms;
    if (!is_behind) {
        refusal->request = 0;
    }
    return is_behind;
}

void refusals_destroy(struct refusals *refusals)
{
    free(refusals);
}

/* A ring of hashes of addresses. */
#include "router/entity/strangers.h"

/* 0 is an empty place. */
static uint64_t hash_of(struct str bare)
{
    return str_hash(bare) | 1;
}

static bool has_hash(const struct strangers *strangers, uint64_t hash)
{
    for (unsigned i = 0; i < STRANGERS_MAX; i++) {
        if (strangers->hashes[i] == hash) {
            return true;
        }
    }
    return false;
}

bool strangers_has(const struct strangers *strangers, struct str bare)
{
    return strangers && has_hash(strangers, hash_of(bare));
}

void strangers_add(struct strangers *strangers, struct str bare)
{
    uint64_t hash = hash_of(bare);
    if (!has_hash(strangers, hash)) {
        strangers->hashes[strangers->next] = hash;
        strangers->next = (strangers->next + 1) % STRANGERS_MAX;
    }
}

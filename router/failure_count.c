/* Counters that leak away with time. */
#include "router/failure_count.h"

int64_t failure_count_add(struct failure_count *failures, struct str bare, int64_t now_ms)
{
    struct failure_slot *slot = &failures->slots[str_hash(bare) % FAILURE_SLOTS];
    int64_t forgotten = (now_ms - slot->since_ms) / FAILURE_DECAY_MS;
    if (forgotten > 0 || slot->count == 0) {
        slot->count = forgotten >= (int64_t)slot->count ? 0 : slot->count - (uint32_t)forgotten;
        slot->since_ms = now_ms;
    }

    slot->count++;
    if (slot->count <= FAILURE_FREE) {
        return 0;
    }

    int64_t delay = (int64_t)(slot->count - FAILURE_FREE) * FAILURE_STEP_MS;
    if (delay > FAILURE_MAX_MS) {
        slot->count = FAILURE_FREE + FAILURE_MAX_MS / FAILURE_STEP_MS;
        delay = FAILURE_MAX_MS;
    }
    return delay;
}

/* How often a name failed to log in lately. A fixed table without eviction lists: two names that
 * share a slot share its slowness, nothing worse. Pure. */
#pragma once

#include <stdint.h>

#include "chassis/base/str.h"

#define FAILURE_SLOTS    4096
#define FAILURE_FREE     3 /* so many are answered at once */
#define FAILURE_STEP_MS  100
#define FAILURE_MAX_MS   2000
#define FAILURE_DECAY_MS 10000 /* one is forgotten in this time */

struct failure_slot {
    uint32_t count;
    int64_t since_ms;
};

struct failure_count {
    struct failure_slot slots[FAILURE_SLOTS];
};

/* Counts one and returns how long its answer should wait. */
int64_t failure_count_add(struct failure_count *failures, struct str bare, int64_t now_ms);

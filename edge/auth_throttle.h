/* Who guesses passwords waits longer (B17): failures are counted per address (/32, /64), never per
 * account, so nobody can lock a user out. A fixed table of decaying counters: addresses that share
 * a slot share the delay, and nothing grows. Pure; time is given. */
#pragma once

#include <stdint.h>

#include "edge/listener.h"

struct auth_throttle;

struct auth_throttle *auth_throttle_create(void);
void auth_throttle_destroy(struct auth_throttle *throttle); /* accepts NULL */
/* Counts one failure and says how long to wait before it is told: `base_ms`, doubled for every ten
 * failures of the last minutes, at most 32 times. */
int64_t auth_throttle_failed(struct auth_throttle *throttle,
        const struct peer_address *address,
        int64_t base_ms,
        int64_t now_ms);

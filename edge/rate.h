/* A token bucket over bytes (A36, C21): what one client may send. Pure; time is given. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate {
    int64_t updated_ms;
    int64_t tokens;         /* bytes that may be read now */
    int64_t limited_for_ms; /* monotonic start of the present flood; 0: none */
};

struct rate_limit {
    int64_t bytes_per_second;
    int64_t burst_bytes;
};

void rate_init(struct rate *rate, const struct rate_limit *limit, int64_t now_ms);
/* How many of `wanted` bytes may be taken now; they are still to be charged with rate_charge. */
size_t rate_allowance(
        struct rate *rate, const struct rate_limit *limit, size_t wanted, int64_t now_ms);
void rate_charge(struct rate *rate, size_t bytes);
/* Until a useful amount may be read again; at least 1. */
int64_t rate_wait_ms(const struct rate *rate, const struct rate_limit *limit);
/* How long the client has been faster than its rate without a break; 0: it is not. */
int64_t rate_flood_ms(const struct rate *rate, int64_t now_ms);

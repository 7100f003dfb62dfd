/* A token bucket over bytes. */
#include "edge/rate.h"

/* Below this much a read is not worth a turn; the reader waits until there is so much. */
#define USEFUL_BYTES 512

void rate_init(struct rate *rate, const struct rate_limit *limit, int64_t now_ms)
{
    *rate = (struct rate){ .updated_ms = now_ms, .tokens = limit->burst_bytes };
}

static void refill(struct rate *rate, const struct rate_limit *limit, int64_t now_ms)
{
    int64_t elapsed_ms = now_ms - rate->updated_ms;
    if (elapsed_ms <= 0) {
        return;
    }
    /* After a burst's worth of time the bucket is full, whatever came before: no overflow. */
    int64_t full_after_ms = limit->burst_bytes / limit->bytes_per_second * 1000 + 1000;
    if (elapsed_ms > full_after_ms) {
        elapsed_ms = full_after_ms;
    }
    int64_t gained = elapsed_ms * limit->bytes_per_second / 1000;
    if (gained == 0) {
        return; /* too early: keep the fraction */
    }
    rate->updated_ms = now_ms;
    rate->tokens += gained;
    if (rate->tokens >= limit->burst_bytes) {
        rate->tokens = limit->burst_bytes;
    }
    /* A client that leaves half of its burst unused is no flood. */
    if (rate->tokens > limit->burst_bytes / 2) {
        rate->limited_for_ms = 0;
    }
}

size_t rate_allowance(
        struct rate *rate, const struct rate_limit *limit, size_t wanted, int64_t now_ms)
{
    refill(rate, limit, now_ms);
    if (rate->tokens > 0 && (uint64_t)rate->tokens >= wanted) {
        return wanted;
    }
    if (rate->limited_for_ms == 0) {
        rate->limited_for_ms = now_ms > 0 ? now_ms : 1;
    }
    return rate->tokens > 0 ? (size_t)rate->tokens : 0;
}

void rate_charge(struct rate *rate, size_t bytes)
{
    rate->tokens -= (int64_t)bytes;
}

int64_t rate_wait_ms(const struct rate *rate, const struct rate_limit *limit)
{
    int64_t missing = USEFUL_BYTES - rate->tokens;
    if (missing <= 0) {
        return 1;
    }
    return missing * 1000 / limit->bytes_per_second + 1;
}

int64_t rate_flood_ms(const struct rate *rate, int64_t now_ms)
{
    return rate->limited_for_ms == 0 ? 0 : now_ms - rate->limited_for_ms;
}

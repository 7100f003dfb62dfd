/* Token buckets without a clock of their own. */
#include "router/quota_bucket.h"

#include "chassis/base/err.h"

#define SECOND_NS  INT64_C(1000000000)
#define MS_NS      INT64_C(1000000)
#define MAX_WINDOW (SECOND_NS * 86400 * 366)

static int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct quota_limit quota_limit_in(int64_t tokens, int64_t period_ms)
{
    if (tokens <= 0) {
        return (struct quota_limit){ 0, 0 };
    }
    ASSERT(period_ms > 0 && period_ms <= MAX_WINDOW / MS_NS);
    int64_t window_ns = period_ms * MS_NS;
    return (struct quota_limit){ max_of(window_ns / tokens, 1), window_ns };
}

struct quota_limit quota_limit_rate(int64_t per_second, int64_t burst)
{
    if (per_second <= 0 || burst <= 0) {
        return (struct quota_limit){ 0, 0 };
    }
    int64_t cost_ns = max_of(SECOND_NS / per_second, 1);
    return (struct quota_limit){ cost_ns, cost_ns * min_of(burst, MAX_WINDOW / cost_ns) };
}

int64_t quota_cost(const struct quota_limit *limit, int64_t tokens)
{
    return tokens >= limit->window_ns / limit->cost_ns ? limit->window_ns : tokens * limit->cost_ns;
}

static void settle(struct quota_bucket *bucket, int64_t now_ns)
{
    bucket->full_ns = max_of(bucket->full_ns, now_ns);
    bucket->unsaid_ns = min_of(bucket->unsaid_ns, bucket->full_ns - now_ns);
}

bool quota_bucket_has(struct quota_bucket *bucket,
        const struct quota_limit *limit,
        int64_t cost_ns,
        int64_t now_ns)
{
    settle(bucket, now_ns);
    bucket->full_ns = min_of(bucket->full_ns, now_ns + 2 * limit->window_ns);
    return bucket->full_ns - now_ns <= limit->window_ns - cost_ns;
}

void quota_bucket_spend(struct quota_bucket *bucket, int64_t cost_ns, int64_t now_ns)
{
    settle(bucket, now_ns);
    bucket->full_ns += cost_ns;
    bucket->unsaid_ns += cost_ns;
}

void quota_bucket_hear(struct quota_bucket *bucket, int64_t full_ns, int64_t now_ns)
{
    settle(bucket, now_ns);
    int64_t heard_ns = max_of(full_ns, now_ns) + bucket->unsaid_ns;
    bucket->full_ns = max_of(bucket->full_ns, heard_ns);
    bucket->heard_ns = now_ns;
}

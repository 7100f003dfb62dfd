/* A token bucket as one moment: the time at which it is full again. What was spent moves that
 * moment into the future, and no further than its window; so the bucket needs no refilling, and
 * what two processes spent of it adds up. Pure; times are nanoseconds on the wall clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct quota_ask;

struct quota_limit {
    int64_t cost_ns;   /* of one token: how long it takes to come back; 0: there is no limit */
    int64_t window_ns; /* the cost of all tokens */
};
/* `tokens` at once, and as many in each `period_ms` later on; 0: no limit. */
struct quota_limit quota_limit_in(int64_t tokens, int64_t period_ms);
/* `burst` tokens at once, `per_second` later on; 0 of either: no limit. */
struct quota_limit quota_limit_rate(int64_t per_second, int64_t burst);

/* Zero: full, and nobody was asked. */
struct quota_bucket {
    int64_t full_ns;
    int64_t unsaid_ns;     /* spent here, and the others do not know */
    int64_t heard_ns;      /* when they told last; 0: never */
    struct quota_ask *ask; /* to them, on its way */
};

/* What `tokens` cost; never more than a full bucket, so that a large stanza is not refused for
 * ever. */
int64_t quota_cost(const struct quota_limit *limit, int64_t tokens);
/* Whether so much is there. A clock that was set back costs at most two windows. */
bool quota_bucket_has(struct quota_bucket *bucket,
        const struct quota_limit *limit,
        int64_t cost_ns,
        int64_t now_ns);
/* Whether it was there or not. */
void quota_bucket_spend(struct quota_bucket *bucket, int64_t cost_ns, int64_t now_ns);
/* It is full at `full_ns` for all, without what is unsaid here. Never believes in more tokens than
 * before: an emptied Redis knows nothing. */
void quota_bucket_hear(struct quota_bucket *bucket, int64_t full_ns, int64_t now_ns);

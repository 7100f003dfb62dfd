/* Buckets alone. */
#include "router/quota_bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HOUR_MS   INT64_C(3600000)
#define SECOND_NS INT64_C(1000000000)
#define NOW_NS    (INT64_C(1700000000) * SECOND_NS)

static bool take(struct quota_bucket *bucket, const struct quota_limit *limit, int64_t now_ns)
{
    int64_t cost_ns = quota_cost(limit, 1);
    if (!quota_bucket_has(bucket, limit, cost_ns, now_ns)) {
        return false;
    }
    quota_bucket_spend(bucket, cost_ns, now_ns);
    return true;
}

static int take_all(struct quota_bucket *bucket, const struct quota_limit *limit, int64_t now_ns)
{
    int count = 0;
    while (take(bucket, limit, now_ns)) {
        count++;
    }
    return count;
}

static void so_many_at_once_and_then_at_the_rate(void **state)
{
    (void)state;
    struct quota_limit limit = quota_limit_in(60, HOUR_MS);
    struct quota_bucket bucket = { .full_ns = 0 };
    assert_int_equal(take_all(&bucket, &limit, NOW_NS), 60);
    assert_int_equal(take_all(&bucket, &limit, NOW_NS + 59 * SECOND_NS), 0);
    assert_int_equal(take_all(&bucket, &limit, NOW_NS + 60 * SECOND_NS), 1);
    assert_int_equal(take_all(&bucket, &limit, NOW_NS + 660 * SECOND_NS), 10);
    assert_int_equal(take_all(&bucket, &limit, NOW_NS + 86400 * SECOND_NS), 60); /* no more */
}

static void rates_have_a_burst(void **state)
{
    (void)state;
    struct quota_limit limit = quota_limit_rate(1 << 20, 1 << 24);
    struct quota_bucket bucket = { .full_ns = 0 };
    int64_t cost_ns = quota_cost(&limit, 1 << 23);
    assert_true(quota_bucket_has(&bucket, &limit, cost_ns, NOW_NS));
    quota_bucket_spend(&bucket, cost_ns, NOW_NS);
    assert_true(quota_bucket_has(&bucket, &limit, cost_ns, NOW_NS));
    quota_bucket_spend(&bucket, cost_ns, NOW_NS);
    assert_false(quota_bucket_has(&bucket, &limit, 1, NOW_NS));
    /* A thing larger than the bucket costs all of it. */
    assert_int_equal(quota_cost(&limit, INT64_MAX), limit.window_ns);
}

static void nothing_is_no_limit(void **state)
{
    (void)state;
    assert_int_equal(quota_limit_in(0, HOUR_MS).cost_ns, 0);
    assert_int_equal(quota_limit_rate(0, 5).cost_ns, 0);
    assert_int_equal(quota_limit_in(INT64_C(1000000000) * 10000, HOUR_MS).cost_ns, 1);
}

static void a_clock_set_back_does_not_block_for_ever(void **state)
{
    (void)state;
    struct quota_limit limit = quota_limit_in(60, HOUR_MS);
    struct quota_bucket bucket = { .full_ns = 0 };
    assert_int_equal(take_all(&bucket, &limit, NOW_NS + 1000 * 3600 * SECOND_NS), 60);
    assert_int_equal(take_all(&bucket, &limit, NOW_NS), 0);
    assert_int_equal(take_all(&bucket, &limit, NOW_NS + 2 * 3600 * SECOND_NS), 60);
}

static void what_others_spent_counts(void **state)
{
    (void)state;
    struct quota_limit limit = quota_limit_in(60, HOUR_MS);
    struct quota_bucket bucket = { .full_ns = 0 };
    assert_true(take(&bucket, &limit, NOW_NS));
    bucket.unsaid_ns = 0; /* told; meanwhile one more is taken */
    assert_true(take(&bucket, &limit, NOW_NS));
    quota_bucket_hear(&bucket, NOW_NS + 50 * limit.cost_ns, NOW_NS);
    assert_int_equal(take_all(&bucket, &limit, NOW_NS), 9);
    quota_bucket_hear(&bucket, NOW_NS, NOW_NS); /* emptied: nothing is forgotten here */
    assert_int_equal(take_all(&bucket, &limit, NOW_NS), 0);
}

static void time_pays_for_what_is_unsaid(void **state)
{
    (void)state;
    struct quota_limit limit = quota_limit_in(60, HOUR_MS);
    struct quota_bucket bucket = { .full_ns = 0 };
    assert_int_equal(take_all(&bucket, &limit, NOW_NS), 60);
    assert_int_equal(bucket.unsaid_ns, limit.window_ns);
    assert_true(take(&bucket, &limit, NOW_NS + 3000 * SECOND_NS));
    assert_int_equal(bucket.unsaid_ns, 11 * limit.cost_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_at_once_and_then_at_the_rate),
        cmocka_unit_test(rates_have_a_burst),
        cmocka_unit_test(nothing_is_no_limit),
        cmocka_unit_test(a_clock_set_back_does_not_block_for_ever),
        cmocka_unit_test(what_others_spent_counts),
        cmocka_unit_test(time_pays_for_what_is_unsaid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

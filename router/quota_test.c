/* Local buckets in front of a shared one that the test answers for. */
#include "router/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "chassis/base/mem.h"

#define HOUR_MS   INT64_C(3600000)
#define SECOND_NS INT64_C(1000000000)
#define NOW_NS    (INT64_C(1700000000) * SECOND_NS)
#define MAX_SAID  4096

/* One shared memory, some routers. */
static struct shared {
    bool is_down;
    struct said {
        uint8_t key[QUOTA_KEY_BYTES];
        int64_t amount_ns;
        struct quota_ask *ask;
    } said[MAX_SAID];
    size_t said_count;
    size_t answered;
    struct number {
        uint8_t key[QUOTA_KEY_BYTES];
        int64_t full_ns;
    } numbers[16];
    size_t number_count;
} shared;

static const uint8_t secret[QUOTA_SECRET_BYTES] = "everybody has the same one";

static bool is_up(void *context)
{
    return !((struct shared *)context)->is_down;
}

static void charge(void *context,
        const uint8_t key[QUOTA_KEY_BYTES],
        int64_t now_ns,
        int64_t amount_ns,
        struct quota_ask *ask)
{
    (void)now_ns;
    struct shared *memory = context;
    assert_true(memory->said_count < MAX_SAID);
    struct said *said = &memory->said[memory->said_count++];
    memcpy(said->key, key, QUOTA_KEY_BYTES);
    said->amount_ns = amount_ns;
    said->ask = ask;
}

static const struct quota_store store = { is_up, charge };

static struct number *number_of(const uint8_t key[QUOTA_KEY_BYTES])
{
    for (size_t i = 0; i < shared.number_count; i++) {
        if (memcmp(shared.numbers[i].key, key, QUOTA_KEY_BYTES) == 0) {
            return &shared.numbers[i];
        }
    }
    struct number *number = &shared.numbers[shared.number_count++];
    memcpy(number->key, key, QUOTA_KEY_BYTES);
    return number;
}

static void answer_all(enum err err, int64_t now_ns)
{
    while (shared.answered < shared.said_count) {
        struct said *said = &shared.said[shared.answered++];
        struct number *number = number_of(said->key);
        if (err == ERR_OK) {
            number->full_ns =
                    (number->full_ns > now_ns ? number->full_ns : now_ns) + said->amount_ns;
        }
        quota_charged(said->ask, err, number->full_ns, now_ns);
    }
}

static int start(void **state)
{
    (void)state;
    shared = (struct shared){ .is_down = false };
    return 0;
}

static struct quota *router(void)
{
    return quota_create(&store, &shared, secret);
}

static struct quota_spend spend_of(enum quota_kind kind, int64_t tokens, const char *who)
{
    return (struct quota_spend){
        .kind = kind,
        .limit = quota_limit_in(tokens, HOUR_MS),
        .identity = str_from_cstr(who),
        .tokens = 1,
        .now_ns = NOW_NS,
    };
}

static int take_all(struct quota *quota, const struct quota_spend *spend)
{
    int count = 0;
    while (quota_take_shared(quota, spend)) {
        count++;
    }
    return count;
}

static void a_limit_holds_for_all_routers_together(void **state)
{
    (void)state;
    enum {
        ROUTERS = 3,
        LIMIT = 40,
        LOT = LIMIT / 4
    };
    struct quota *routers[ROUTERS];
    struct quota_spend spend = spend_of(QUOTA_ADDRESS_FAILURES, LIMIT, "address");
    int total = 0;
    for (int i = 0; i < ROUTERS; i++) {
        routers[i] = router();
    }
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < ROUTERS; i++) {
            total += quota_take_shared(routers[i], &spend);
        }
        answer_all(ERR_OK, spend.now_ns);
    }
    assert_in_range(total, LIMIT, LIMIT + ROUTERS * LOT);
    /* However unlucky: everybody spends all it may before it hears anything. */
    spend.identity = STR("another");
    total = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < ROUTERS; i++) {
            total += take_all(routers[i], &spend);
        }
        answer_all(ERR_OK, spend.now_ns);
    }
    assert_in_range(total, LIMIT, LIMIT + ROUTERS * LOT);
    /* In the long run the rate is kept, too: four hours are four times the limit more. */
    for (int minute = 1; minute <= 240; minute++) {
        spend.now_ns = NOW_NS + minute * 60 * SECOND_NS;
        for (int i = 0; i < ROUTERS; i++) {
            total += take_all(routers[i], &spend);
        }
        answer_all(ERR_OK, spend.now_ns);
    }
    assert_in_range(total, 5 * LIMIT - LOT, 5 * LIMIT + ROUTERS * LOT);
    for (int i = 0; i < ROUTERS; i++) {
        quota_destroy(routers[i]);
    }
}

static void without_the_others_the_local_limit_holds(void **state)
{
    (void)state;
    struct quota *quota = router();
    struct quota_spend spend = spend_of(QUOTA_ADDRESS_FAILURES, 40, "address");
    shared.is_down = true;
    assert_int_equal(take_all(quota, &spend), 40);
    assert_int_equal(shared.said_count, 0);
    shared.is_down = false; /* back: they hear of it with the next one */
    spend.now_ns += 1800 * SECOND_NS;
    assert_int_equal(take_all(quota, &spend), 1); /* the rest has to wait for the answer */
    answer_all(ERR_OK, spend.now_ns);
    assert_int_equal(shared.said[0].amount_ns, 21 * spend.limit.cost_ns);
    quota_destroy(quota);
    quota = quota_create(NULL, NULL, secret);
    assert_int_equal(take_all(quota, &spend), 40);
    quota_destroy(quota);
}

static void an_answer_that_never_comes_holds_nobody_up(void **state)
{
    (void)state;
    struct quota *quota = router();
    struct quota_spend spend = spend_of(QUOTA_ADDRESS_FAILURES, 40, "address");
    assert_int_equal(take_all(quota, &spend), 10); /* a lot */
    spend.now_ns += SECOND_NS;
    assert_int_equal(take_all(quota, &spend), 30);
    answer_all(ERR_TIMEOUT, spend.now_ns); /* told again, not before it has rested */
    spend.now_ns += 90 * SECOND_NS;
    assert_int_equal(take_all(quota, &spend), 1);
    assert_int_equal(shared.said_count, 2);
    assert_int_equal(shared.said[1].amount_ns / spend.limit.cost_ns, 39);
    answer_all(ERR_OK, spend.now_ns);
    quota_destroy(quota);
}

static void an_account_takes_its_limit_along(void **state)
{
    (void)state;
    struct quota *old = router();
    struct quota *next = router();
    struct quota_spend spend = spend_of(QUOTA_SUBSCRIPTIONS, 100, "alice@example.org");
    struct quota_bucket bucket = { .full_ns = 0 };
    for (int i = 0; i < 95; i++) { /* at once: nobody is refused while an answer is on its way */
        assert_true(quota_take(old, &bucket, &spend));
    }
    quota_bucket_close(old, &bucket, &spend);
    answer_all(ERR_OK, NOW_NS);
    int count = 0;
    while (quota_take(next, &bucket, &spend)) {
        answer_all(ERR_OK, NOW_NS);
        count++;
    }
    assert_int_equal(count, 5);
    quota_bucket_close(next, &bucket, &spend);
    answer_all(ERR_OK, NOW_NS);
    quota_destroy(old);
    quota_destroy(next);
}

static void a_slow_talker_is_not_worth_a_word(void **state)
{
    (void)state;
    struct quota *quota = router();
    struct quota_bucket bucket = { .full_ns = 0 };
    struct quota_spend spend = spend_of(QUOTA_STANZAS, 1, "alice@example.org");
    spend.limit = quota_limit_rate(200, 5000);
    for (int i = 0; i < 100000; i++) {
        spend.now_ns += 10000000;
        assert_true(quota_take(quota, &bucket, &spend));
    }
    quota_bucket_close(quota, &bucket, &spend);
    assert_true(shared.said_count <= 1);
    answer_all(ERR_OK, spend.now_ns);
    quota_destroy(quota);
}

static void what_is_kept_aside_counts_until_it_is_settled(void **state)
{
    (void)state;
    struct quota *quota = router();
    struct quota_spend spend = spend_of(QUOTA_ACCOUNT_FAILURES, 3, "alice@example.org");
    for (int i = 0; i < 3; i++) {
        assert_true(quota_reserve(quota, &spend));
    }
    assert_false(quota_reserve(quota, &spend)); /* guesses at the same time are guesses, too */
    for (int i = 0; i < 3; i++) {
        quota_settle(quota, &spend, i > 0); /* the first one was right */
        answer_all(ERR_OK, NOW_NS);
    }
    assert_true(quota_reserve(quota, &spend));
    quota_settle(quota, &spend, true);
    answer_all(ERR_OK, NOW_NS);
    assert_false(quota_reserve(quota, &spend));
    quota_destroy(quota);
}

static void keys_tell_kinds_apart_and_nothing_else(void **state)
{
    (void)state;
    struct quota *quota = router();
    struct quota_spend spend = spend_of(QUOTA_ADDRESS_FAILURES, 3, "alice@example.org");
    assert_true(quota_take_shared(quota, &spend));
    spend.kind = QUOTA_ACCOUNT_FAILURES;
    assert_true(quota_take_shared(quota, &spend));
    assert_int_equal(shared.said_count, 2);
    assert_memory_not_equal(shared.said[0].key, shared.said[1].key, QUOTA_KEY_BYTES);
    answer_all(ERR_OK, NOW_NS);
    quota_destroy(quota);
}

static void a_domain_is_told_when_there_is_something_to_tell(void **state)
{
    (void)state;
    struct quota *quota = router();
    struct quota_spend spend = spend_of(QUOTA_HOST_STANZAS, 160, "example.org");
    for (int i = 0; i < 9; i++) {
        assert_true(quota_take_of_domain(quota, &spend));
    }
    assert_int_equal(shared.said_count, 0);
    assert_true(quota_take_of_domain(quota, &spend)); /* a sixteenth is unsaid */
    assert_int_equal(shared.said_count, 1);
    answer_all(ERR_OK, NOW_NS);
    int count = 10;
    while (quota_take_of_domain(quota, &spend)) {
        answer_all(ERR_OK, NOW_NS);
        count++;
    }
    assert_int_equal(count, 160);
    spend.identity = STR("example.net");
    assert_true(quota_take_of_domain(quota, &spend));
    assert_int_equal(quota_entries(quota), 2);
    quota_destroy(quota);
}

/* Routers of an earlier version have the bucket in their table. */
static void a_domain_has_the_same_key_everywhere(void **state)
{
    (void)state;
    struct quota *quota = router();
    struct quota_spend spend = spend_of(QUOTA_HOST_STANZAS, 1, "example.org");
    assert_true(quota_take_of_domain(quota, &spend));
    assert_true(quota_take_shared(quota, &spend));
    assert_int_equal(shared.said_count, 2);
    assert_memory_equal(shared.said[0].key, shared.said[1].key, QUOTA_KEY_BYTES);
    answer_all(ERR_OK, NOW_NS);
    quota_destroy(quota);
}

static void idle_buckets_leave(void **state)
{
    (void)state;
    struct quota *quota = router();
    shared.is_down = true;
    char who[32];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(who, sizeof(who), "address %d", i);
        struct quota_spend spend = spend_of(QUOTA_ADDRESS_FAILURES, 3, who);
        spend.now_ns += (int64_t)i * 600 * SECOND_NS; /* a token is back after 1200 s */
        assert_true(quota_take_shared(quota, &spend));
    }
    assert_true(quota_entries(quota) < 10);
    quota_destroy(quota);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_limit_holds_for_all_routers_together, start),
        cmocka_unit_test_setup(without_the_others_the_local_limit_holds, start),
        cmocka_unit_test_setup(an_answer_that_never_comes_holds_nobody_up, start),
        cmocka_unit_test_setup(an_account_takes_its_limit_along, start),
        cmocka_unit_test_setup(a_slow_talker_is_not_worth_a_word, start),
        cmocka_unit_test_setup(what_is_kept_aside_counts_until_it_is_settled, start),
        cmocka_unit_test_setup(keys_tell_kinds_apart_and_nothing_else, start),
        cmocka_unit_test_setup(a_domain_is_told_when_there_is_something_to_tell, start),
        cmocka_unit_test_setup(a_domain_has_the_same_key_everywhere, start),
        cmocka_unit_test_setup(idle_buckets_leave, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

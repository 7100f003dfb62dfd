/* What an account has spent stays with it. */
#include "router/entity/quotas.h"

#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static int64_t told_ns;
static struct quota_ask *asks[8];
static size_t ask_count;

static bool is_up(void *context)
{
    (void)context;
    return true;
}

static void charge(void *context,
        const uint8_t key[QUOTA_KEY_BYTES],
        int64_t now_ns,
        int64_t amount_ns,
        struct quota_ask *ask)
{
    (void)context;
    (void)key;
    (void)now_ns;
    told_ns += amount_ns;
    asks[ask_count++] = ask;
}

static void answer(int64_t already_ns)
{
    int64_t now_ns = fake.time.wall_us * 1000;
    while (ask_count > 0) {
        quota_charged(asks[--ask_count], ERR_OK, now_ns + already_ns + told_ns, now_ns);
    }
}

static const struct quota_store store = { is_up, charge };

static int start(void **state)
{
    static const uint8_t secret[QUOTA_SECRET_BYTES];
    int result = fake_start(state);
    told_ns = 0;
    fake.router.quota = quota_create(&store, NULL, secret);
    fake.settings.quotas[QUOTA_STRANGERS] = quota_limit_in(10, 3600000);
    return result;
}

static int stop(void **state)
{
    int result = fake_stop(state);
    answer(0);
    quota_destroy(fake.router.quota);
    return result;
}

static struct entity *alice(void)
{
    return entity_get(fake.router.entities, STR("alice@example.org"));
}

static void what_was_spent_is_told_when_the_account_leaves(void **state) /* C12 */
{
    (void)state;
    fake_bind("e1", "alice@example.org", "phone");
    for (int i = 0; i < 10; i++) {
        assert_true(entity_take_quota(alice(), QUOTA_STRANGERS, 1));
    }
    assert_false(entity_take_quota(alice(), QUOTA_STRANGERS, 1));
    assert_true(told_ns < fake.settings.quotas[QUOTA_STRANGERS].window_ns);
    entity_drop(alice());
    assert_int_equal(told_ns, fake.settings.quotas[QUOTA_STRANGERS].window_ns);
    answer(0); /* nobody hears it any more */
}

static void the_next_home_hears_what_was_spent(void **state) /* C12 */
{
    (void)state;
    int64_t spent_ns = 8 * fake.settings.quotas[QUOTA_STRANGERS].cost_ns;
    fake_bind("e1", "alice@example.org", "phone");
    assert_true(entity_take_quota(alice(), QUOTA_STRANGERS, 1));
    answer(spent_ns);
    assert_true(entity_take_quota(alice(), QUOTA_STRANGERS, 1));
    assert_false(entity_take_quota(alice(), QUOTA_STRANGERS, 1));
}

static void a_host_without_a_limit_has_none(void **state)
{
    (void)state;
    fake_bind("e1", "alice@example.org", "phone");
    assert_true(entity_take_host_quota(alice(), NULL));
    assert_true(entity_take_host_quota(alice(), &fake.host));
    assert_int_equal(quota_entries(fake.router.quota), 0);
    fake.host.stanzas = quota_limit_rate(1, 1);
    assert_true(entity_take_host_quota(alice(), &fake.host));
    assert_false(entity_take_host_quota(alice(), &fake.host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                what_was_spent_is_told_when_the_account_leaves, start, stop),
        cmocka_unit_test_setup_teardown(the_next_home_hears_what_was_spent, start, stop),
        cmocka_unit_test_setup_teardown(a_host_without_a_limit_has_none, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

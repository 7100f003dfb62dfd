/* The steps of an erasure in their order, and what makes it begin again. */
#include "router/erasure.h"

#include "router/store/lifecycle_store.h"
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static enum err result;
static unsigned results;
static enum err bury_err;

static void fake_answer_lifecycle(struct fake_call *call)
{
    ((lifecycle_done)call->done)(call->context, call->err);
}

void lifecycle_bury(struct lifecycle_store *store,
        int64_t id,
        struct str bare,
        int64_t days,
        lifecycle_done done,
        void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_lifecycle, context);
    call->done = (void (*)(void))done;
    call->err = bury_err;
    buf_printf(&fake.out, "BURY %d " STR_FMT " %d\n", (int)id, STR_ARG(bare), (int)days);
}

void lifecycle_remove(struct lifecycle_store *store, int64_t id, lifecycle_done done, void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_lifecycle, context);
    call->done = (void (*)(void))done;
    buf_printf(&fake.out, "REMOVE %d\n", (int)id);
}

static void on_done(void *context, struct erasure *erasure, enum err err)
{
    (void)context;
    assert_int_equal(erasure_owner(erasure), 1);
    result = err;
    results++;
}

static int start(void **state)
{
    results = 0;
    bury_err = ERR_OK;
    return fake_start(state);
}

static void run(void)
{
    fake_clear();
    (void)erasure_start(&fake.router, 1, STR("alice@example.org"), on_done, NULL);
    for (int i = 0; i < 60 && results == 0; i++) {
        fake_advance(100);
        size_t count = fake.route_count;
        fake.route_count = 0;
        for (size_t at = 0; at < count; at++) {
            fake.routes[at].done(fake.routes[at].context, ERR_OK);
        }
    }
}

static void befriend_and_delete(void)
{
    fake_login("e1", ALICE, 0);
    struct stanza ask = fake_presence(ALICE, STANZA_TYPE_SUBSCRIBE, 0);
    ask.to = STR("bob@example.org");
    fake_input("e1", 2, &ask);
    fake_find_account(STR("alice@example.org"))->row.state = ACCOUNT_DELETED;
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
}

static void everything_goes_and_the_row_last(void **state)
{
    (void)state;
    befriend_and_delete();
    run();
    const char *out = fake_take_out();
    assert_int_equal(results, 1);
    assert_int_equal(result, ERR_OK);
    assert_before(out, "BURY 1 alice@example.org 30", "KICK e1 phone not-authorized");
    assert_before(out, "KICK e1 phone", "to='bob@example.org' type='unsubscribe'");
    assert_not_seen(out, "type='unsubscribed'"); /* bob had no subscription to end */
    assert_before(out, "type='unsubscribe'", "ERASE 1");
    assert_before(out, "ERASE 1", "REMOVE 1");
}

/* A gateway is a contact with a domain only, its users are contacts, too. */
static void contacts_at_components_are_told(void **state)
{
    (void)state;
    static struct component_setting gate[] = { { .domain = { "irc.example", 11 } } };
    static const char *const contacts[] = { "irc.example", "friend@irc.example" };
    fake.settings.components = gate;
    fake.settings.component_count = 1;
    fake_login("e1", ALICE, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct stanza ask = fake_presence(ALICE, STANZA_TYPE_SUBSCRIBE, 0);
        ask.to = str_from_cstr(contacts[i]);
        fake.is_foreign[shard_of(NULL, ask.to)] = true;
        fake_input("e1", 2 + i, &ask);
    }
    fake_find_account(STR("alice@example.org"))->row.state = ACCOUNT_DELETED;
    run();
    const char *out = fake_take_out();
    assert_int_equal(result, ERR_OK);
    assert_seen(out, "to='irc.example' type='unsubscribe'");
    assert_seen(out, "to='friend@irc.example' type='unsubscribe'");
}

static void a_store_that_is_away_ends_it_for_now(void **state)
{
    (void)state;
    befriend_and_delete();
    bury_err = ERR_UNAVAILABLE;
    run();
    assert_int_equal(result, ERR_UNAVAILABLE);
    assert_not_seen(fake_take_out(), "ERASE");
    bury_err = ERR_OK;
    results = 0;
    run();
    assert_int_equal(result, ERR_OK);
}

static void it_is_the_homes_business(void **state)
{
    (void)state;
    befriend_and_delete();
    (void)erasure_start(&fake.router, 1, STR("alice@example.org"), on_done, NULL);
    fake_clear();
    fake.is_foreign[shard_of(NULL, STR("alice@example.org"))] = true;
    fake_advance(100);
    assert_int_equal(results, 1);
    assert_int_equal(result, ERR_FENCED);
    assert_not_seen(fake_take_out(), "BURY");
}

static void somebody_may_have_finished_it(void **state)
{
    (void)state;
    bury_err = ERR_NOT_FOUND;
    run();
    assert_int_equal(result, ERR_OK);
    assert_not_seen(fake_take_out(), "ERASE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_goes_and_the_row_last, start, fake_stop),
        cmocka_unit_test_setup_teardown(contacts_at_components_are_told, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_store_that_is_away_ends_it_for_now, start, fake_stop),
        cmocka_unit_test_setup_teardown(it_is_the_homes_business, start, fake_stop),
        cmocka_unit_test_setup_teardown(somebody_may_have_finished_it, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What an administrator's turn waits for: order of effects, failures, and a home that goes. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static struct str admins[] = { { "alice@example.org", 17 } };

static int start(void **state)
{
    int result = fake_start(state);
    fake.settings.admins = (struct settings_texts){ admins, 1 };
    fake_login("e1", ALICE, 0);
    return result;
}

static void ask(uint32_t counter, const char *name, const char *field, const char *jid)
{
    static char xml[1024];
    (void)snprintf(xml,
            sizeof(xml),
            "<command xmlns='" NS_COMMANDS "' node='" NS_ADMIN "#%s'><x xmlns='jabber:x:data' "
            "type='submit'><field var='%s'><value>%s</value></field></x></command>",
            name,
            field,
            jid);
    struct stanza iq = fake_iq(ALICE, "example.org", STANZA_TYPE_SET, NS_COMMANDS, "command");
    iq.children = str_from_cstr(xml);
    fake_clear();
    fake_post_input("e1", counter, &iq);
}

static void the_home_hears_before_the_administrator_does(void **state)
{
    (void)state;
    ask(2, "disable-user", "accountjids", "bob@example.org");
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "STATE bob@example.org 1", "CHANGED bob@example.org");
    assert_before(out, "CHANGED bob@example.org", "status='completed'");
}

static void a_store_that_is_away_changes_nothing(void **state)
{
    (void)state;
    fake.is_store_down = true;
    ask(2, "delete-user", "accountjids", "bob@example.org");
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "<internal-server-error");
    assert_not_seen(out, "CHANGED");
    assert_not_seen(out, "ERASE");
    assert_seen(out, "HANDLED e1 phone 2");
}

static void a_count_needs_no_store(void **state)
{
    (void)state;
    fake.is_store_down = true;
    ask(2, "get-online-users-num", "none", "none");
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "<value>1</value>");
    assert_seen(out, "HANDLED e1 phone 2");
}

static void a_shard_that_goes_meanwhile_takes_the_turn_with_it(void **state)
{
    (void)state;
    ask(2, "end-user-session", "accountjids", "bob@example.org");
    while (fake.loop.tasks) { /* the turn runs, the store has not answered */
        struct loop_task *task = fake.loop.tasks;
        fake.loop.tasks = task->next;
        task->queued = false;
        task->run(task->context);
    }
    entity_drop_shard(fake.router.entities, jid_shard(STR("alice@example.org"), FAKE_SHARDS));
    fake_run();
    assert_not_seen(fake_take_out(), "DELIVER");
    assert_int_equal(entity_count_online(fake.router.entities), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                the_home_hears_before_the_administrator_does, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_store_that_is_away_changes_nothing, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_count_needs_no_store, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_shard_that_goes_meanwhile_takes_the_turn_with_it, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

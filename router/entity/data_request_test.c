/* Turns that wait for the account's data: what is answered when, and what an old home does. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static void ask(uint32_t counter, enum stanza_type type, const char *children)
{
    struct stanza iq = fake_iq(ALICE, "", type, NS_VCARD, "vCard");
    iq.children = str_from_cstr(children);
    fake_clear();
    fake_post_input("e1", counter, &iq);
}

#define CARD "<vCard xmlns='vcard-temp'><FN>A</FN></vCard>"

static void the_answer_comes_after_the_commit_and_the_mailbox_waits(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    ask(2, STANZA_TYPE_SET, CARD);
    struct stanza ping = fake_iq(ALICE, "", STANZA_TYPE_GET, NS_PING, "ping");
    ping.id = STR("behind");
    fake_input("e1", 3, &ping);
    const char *out = fake_take_out();
    assert_before(out, "DATA 1 2", "id='q'");
    assert_before(out, "id='q'", "id='behind'");
    assert_seen(out, "HANDLED e1 phone 3");
}

static void an_old_home_says_nothing(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.is_fenced = true;
    ask(2, STANZA_TYPE_SET, CARD);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "FENCED");
    assert_not_seen(out, "HANDLED");
    assert_not_seen(out, "DELIVER");
}

static void what_is_in_doubt_is_read_again(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.is_store_down = true;
    ask(2, STANZA_TYPE_SET, CARD);
    fake_run();
    assert_seen(fake_take_out(), "<internal-server-error");
    fake.is_store_down = false;
    fake_advance(10000);
    ask(3, STANZA_TYPE_GET, "<vCard xmlns='vcard-temp'/>");
    fake_run();
    assert_seen(fake_take_out(), "<item-not-found");
}

static void a_shard_that_goes_meanwhile_takes_the_turn_with_it(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    ask(2, STANZA_TYPE_GET, "<vCard xmlns='vcard-temp'/>");
    while (fake.loop.tasks) { /* the turn runs, the store has not answered */
        struct loop_task *task = fake.loop.tasks;
        fake.loop.tasks = task->next;
        task->queued = false;
        task->run(task->context);
    }
    entity_drop_shard(fake.router.entities, jid_shard(STR("alice@example.org"), FAKE_SHARDS));
    fake_run();
    assert_not_seen(fake_take_out(), "DELIVER");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                the_answer_comes_after_the_commit_and_the_mailbox_waits, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(an_old_home_says_nothing, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(what_is_in_doubt_is_read_again, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_shard_that_goes_meanwhile_takes_the_turn_with_it, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

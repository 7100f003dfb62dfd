/* What a message of a host looks like, and which way it takes. */
#include "router/host_message.h"

#include "tests/lib/fake_router.h"

static unsigned answers;
static unsigned refusals;

static void on_done(void *context, enum err err)
{
    (void)context;
    refusals += err == ERR_DENIED ? 1 : 0;
    answers += err == ERR_OK ? 1 : 0; /* at the end of a test, ERR_CLOSED */
}

static struct host_message welcome(void)
{
    return (struct host_message){
        .host = STR("example.org"),
        .to = STR("bob@example.org"),
        .subject = STR("Hello"),
        .body = STR("<you> & me"),
        .type = STANZA_TYPE_NORMAL,
        .origin = { .session = { 1, 2 }, .counter = 3 },
    };
}

static void one_for_an_account_here_is_kept_once(void **state)
{
    (void)state;
    answers = 0;
    struct host_message message = welcome();
    host_message_send(&fake.router, &message, on_done, NULL);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "ENTRY 2 <message");
    assert_seen(out, "from='example.org' to='bob@example.org'");
    assert_seen(out, "<subject>Hello</subject><body>&lt;you&gt; &amp; me</body>");
    assert_seen(out, "<stanza-id");
    assert_int_equal(answers, 1);
    assert_true(entity_has_taken(fake.router.entities, message.to, &message.origin));
    host_message_send(&fake.router, &message, on_done, NULL);
    fake_run();
    assert_not_seen(fake_take_out(), "ENTRY");
    assert_int_equal(answers, 2);
}

static void one_that_could_not_be_written_was_not_taken(void **state)
{
    (void)state;
    fake.has_no_room = true;
    answers = refusals = 0;
    struct host_message message = welcome();
    host_message_send(&fake.router, &message, on_done, NULL);
    fake_run();
    assert_int_equal(answers, 0);
    assert_int_equal(refusals, 1);
    assert_false(entity_has_taken(fake.router.entities, message.to, &message.origin));
}

static void one_for_another_home_is_routed(void **state)
{
    (void)state;
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    struct host_message message = welcome();
    host_message_send(&fake.router, &message, on_done, NULL);
    assert_seen(fake_take_out(), "ROUTE kept 3 <message");
}

static void a_headline_is_for_who_is_there(void **state)
{
    (void)state;
    fake_login("e1", "bob@example.org/pc", 0);
    fake_clear();
    struct host_message message = welcome();
    message.type = STANZA_TYPE_HEADLINE;
    message.subject = STR_NULL;
    host_message_send(&fake.router, &message, NULL, NULL);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 pc volatile <message");
    assert_seen(out, "type='headline'");
    assert_not_seen(out, "<subject");
    assert_not_seen(out, "ENTRY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                one_for_an_account_here_is_kept_once, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                one_that_could_not_be_written_was_not_taken, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(one_for_another_home_is_routed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(a_headline_is_for_who_is_there, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

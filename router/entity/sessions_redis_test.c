/* What Redis is told of sessions, and that a handover waits for it. */
#include "router/entity/sessions.h"
#include "tests/lib/fake_router.h"

#define BOB "bob@example.org/desk"

static unsigned settled;

/* Bob has a session without stream management; Redis is up and answers when it is told to. */
static int start(void **state)
{
    if (fake_start(state) != 0) {
        return -1;
    }
    settled = 0;
    fake.is_redis_up = true;
    fake_login("e2", BOB, 0);
    fake.is_redis_mute = true;
    fake_clear();
    return 0;
}

static struct entity *bob(void)
{
    return entity_find(fake.router.entities, STR("bob@example.org"));
}

static void on_settled(void *context, unsigned shard)
{
    (void)context;
    (void)shard;
    settled++;
}

static void release(void)
{
    entity_quiesce_shard(fake.router.entities, bob()->shard, on_settled, NULL);
    fake_advance(100);
    assert_string_equal(fake_take_out(), "REDIS PING\n");
}

static void answer(void)
{
    fake_answer_redis(ERR_OK);
    fake_advance(100);
}

/* Or the next home would show its contacts somebody who has gone. */
static void a_session_that_ends_is_waited_for(void **state)
{
    (void)state;
    release();
    fake_close("e2", BOB);
    fake_clear();
    answer();
    assert_int_equal(settled, 0);
    answer();
    assert_int_equal(settled, 1);
}

static void a_presence_is_waited_for(void **state)
{
    (void)state;
    release();
    struct resource *resource = bob()->resources;
    resource_set_presence(resource, STR("<show>away</show>"), 1);
    sessions_write_presence(bob(), resource);
    fake_clear();
    answer();
    assert_int_equal(settled, 0);
    answer();
    assert_int_equal(settled, 1);
}

static void what_says_nothing_new_is_not(void **state)
{
    (void)state;
    release();
    sessions_write_presence(bob(), bob()->resources);
    sessions_update_live(bob());
    answer();
    assert_int_equal(settled, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_session_that_ends_is_waited_for, start, fake_stop),
        cmocka_unit_test_setup_teardown(a_presence_is_waited_for, start, fake_stop),
        cmocka_unit_test_setup_teardown(what_says_nothing_new_is_not, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who is told what: pushes to interested sessions, presences of available ones to a contact. */
#include "router/entity/notices.h"

#include "router/entity/sessions.h"
#include "router/turn.h"
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define DESK  "alice@example.org/desk"

static struct arena arena;

static void begin(struct turn *turn)
{
    arena_init(&arena, 0);
    effects_begin(turn, &arena, entity_find(fake.router.entities, STR("alice@example.org")), NULL);
    fake_clear();
}

static const char *end(struct turn *turn)
{
    effects_apply(turn);
    fake_run();
    arena_fini(&arena);
    return fake_take_out();
}

static void pushes_reach_interested_sessions_available_or_not(void **state)
{
    (void)state;
    fake_bind("e1", "alice@example.org", "phone");
    fake_login("e2", DESK, 0);
    struct entity *entity = entity_find(fake.router.entities, STR("alice@example.org"));
    entity_find_resource(entity, STR("phone"))->is_interested = true;
    struct roster_item item = { .jid = STR("bob@example.org"), .flags = ROSTER_LISTED };
    struct turn turn;
    begin(&turn);
    notices_push(&turn, &item);
    const char *out = end(&turn);
    assert_seen(out, "DELIVER e1 phone volatile <iq to='alice@example.org/phone' type='set'");
    assert_seen(out, "id='push-0'");
    assert_not_seen(out, "e2");
}

static void contacts_see_each_available_session(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", DESK, 0);
    fake_bind("e2", "alice@example.org", "silent");
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    struct turn turn;
    begin(&turn);
    notices_subscription(&turn, STANZA_TYPE_SUBSCRIBED, STR("bob@example.org"));
    notices_show(&turn, STR("bob@example.org"));
    notices_hide(&turn, STR("bob@example.org"));
    notices_show(&turn, STR("romeo@remote.example")); /* no federation yet */
    const char *out = end(&turn);
    assert_seen(out, "ROUTE kept 0 <presence from='alice@example.org' to='bob@example.org'");
    assert_seen(out, "from='alice@example.org/phone' to='bob@example.org'/>");
    assert_seen(out, "from='alice@example.org/desk' to='bob@example.org'/>");
    assert_seen(out, "from='alice@example.org/desk' to='bob@example.org' type='unavailable'/>");
    assert_before(out, "type='subscribed'", "/phone' to='bob@example.org'/>");
    assert_not_seen(out, "silent");
    assert_not_seen(out, "remote.example");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_start, fake_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pushes_reach_interested_sessions_available_or_not),
        TEST(contacts_see_each_available_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One presence to many accounts here: a frame for each edge, in order with everything else. */
#include "router/entity/fanout.h"

#include "router/entity/posts.h"
#include "router/entity/sessions.h"
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static const struct origin none;
static const char *const names[] = {
    "bob@example.org", "c1@example.org", "c2@example.org", "c3@example.org"
};

static int start(void **state)
{
    int result = fake_start(state);
    for (size_t i = 1; i < 4; i++) {
        fake_add_account(names[i]);
    }
    return result;
}

static void login(const char *edge, const char *bare, const char *resource)
{
    char *full = mem_alloc(128);
    (void)snprintf(full, 128, "%s/%s", bare, resource);
    fake_login(edge, full, 0);
    free(full);
}

/* Nothing of it outlives the call: its memory is that of a record, or of one call of route_many. */
static void post_to(enum stanza_type type, const char *const *addresses, size_t count)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct str *to = arena_alloc(&arena, count * sizeof(to[0]));
    for (size_t i = 0; i < count; i++) {
        to[i] = str_dup(&arena, str_from_cstr(addresses[i]));
    }
    const struct stanza said = fake_presence(ALICE, type, 0);
    struct stanza *presence = ARENA_NEW(&arena, struct stanza);
    stanza_dup(&arena, &said, presence);
    entity_on_route_many(fake.router.entities, &none, presence, to, count);
    arena_fini(&arena);
}

static void post(enum stanza_type type)
{
    post_to(type, names, 4);
}

static void one_frame_leaves_for_each_edge(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char resource[8];
        (void)snprintf(resource, sizeof(resource), "r%zu", i);
        login(i < 2 ? "e1" : "e2", names[i], resource);
    }
    fake_clear();
    post(STANZA_TYPE_NONE);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 r0 r1 volatile <presence from='alice@example.org/phone'/>\n");
    assert_seen(out, "DELIVER e2 r2 r3 volatile <presence from='alice@example.org/phone'/>\n");
}

/* Stream management has its numbers in the same frame, and keeps what did not leave. */
static void managed_sessions_are_numbered_in_the_same_frame(void **state)
{
    (void)state;
    login("e1", names[0], "r0");
    login("e1", names[1], "r1");
    fake_enable("e1", "bob@example.org/r0", true);
    fake_clear();
    post(STANZA_TYPE_NONE);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 r0 r1 #1 volatile");
    fake.full_edge = "e1";
    post(STANZA_TYPE_UNAVAILABLE);
    assert_not_seen(fake_take_out(), "DELIVER");
    fake.full_edge = NULL;
    fake_advance(500);
    out = fake_take_out();
    assert_seen(out,
            "DELIVER e1 r0 #2 volatile <presence from='alice@example.org/phone' "
            "to='bob@example.org' type='unavailable'/>");
}

/* Whoever knows a full JID may have said it to the bare one, too: an edge that sees the second
 * number before the first ends the stream. */
static void numbers_of_one_session_leave_in_order(void **state)
{
    (void)state;
    static const char *const to[] = { "bob@example.org", "bob@example.org/r0", "c1@example.org" };
    login("e1", names[0], "r0");
    login("e1", names[1], "r1");
    fake_enable("e1", "bob@example.org/r0", true);
    fake_clear();
    post_to(STANZA_TYPE_UNAVAILABLE, to, 3);
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e1 r0 #1 volatile", "DELIVER e1 r0 #2 volatile");
    assert_seen(out, "DELIVER e1 r1 volatile");
}

static void an_edge_that_is_gone_ends_its_sessions(void **state)
{
    (void)state;
    login("e1", names[0], "r0");
    fake_clear();
    fake.dead_edge = "e1";
    post(STANZA_TYPE_NONE);
    fake_run();
    assert_seen(fake_take_out(), "FORGET bob@example.org/r0");
}

static void whoever_is_not_in_memory_is_not_woken(void **state)
{
    (void)state;
    fake_advance(100000);
    login("e1", names[0], "r0");
    post(STANZA_TYPE_NONE);
    fake_run();
    assert_non_null(entity_find(fake.router.entities, STR("bob@example.org")));
    assert_null(entity_find(fake.router.entities, STR("c1@example.org")));
    /* A shard that has just come may hold sessions nobody has spoken of yet. */
    entity_table_shard_gained(fake.router.entities, shard_of(NULL, STR("c1@example.org")));
    post(STANZA_TYPE_NONE);
    assert_non_null(entity_find(fake.router.entities, STR("c1@example.org")));
    fake_run();
}

static void nothing_overtakes_what_waits_at_the_recipient(void **state) /* P3 */
{
    (void)state;
    login("e1", names[0], "r0");
    fake_clear();
    struct stanza message = fake_message(ALICE, "bob@example.org", "<body>first</body>");
    fake.is_auto_commit = false;
    entity_on_route(fake.router.entities, &none, &message, NULL, NULL);
    post(STANZA_TYPE_UNAVAILABLE); /* the message is still in the mailbox, then in flight */
    fake_run();
    post(STANZA_TYPE_NONE);
    fake_run();
    assert_not_seen(fake_take_out(), "DELIVER e1 r0");
    fake_commit(ERR_OK);
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "first", "type='unavailable'");
    assert_before(out,
            "type='unavailable'",
            "volatile <presence from='alice@example.org/phone' "
            "to='bob@example.org'/>");
}

/* The sender says it, then something else to the same contact, in one go. */
static void a_message_behind_a_presence_stays_behind(void **state) /* P3 */
{
    (void)state;
    login("e1", names[0], "r0");
    fake_login("e2", ALICE, 0);
    struct entity *alice = entity_find(fake.router.entities, STR("alice@example.org"));
    struct roster_item item = { .jid = STR("bob@example.org"), .flags = ROSTER_FROM };
    roster_put(&alice->roster, roster_item_create(&item));
    fake_clear();
    struct stanza away = fake_presence(ALICE, STANZA_TYPE_NONE, 0);
    struct stanza state_only = fake_message(
            ALICE, "bob@example.org", "<active xmlns='http://jabber.org/protocol/chatstates'/>");
    state_only.flags = STANZA_CHAT_STATE_ONLY;
    fake_post_input("e2", 2, &away);
    fake_post_input("e2", 3, &state_only);
    fake_run();
    assert_before(fake_take_out(), "DELIVER e1 r0 volatile <presence", "chatstates");
}

/* They are read from the database meanwhile, and have it when they are there. */
static void recipients_that_are_being_woken_keep_a_copy(void **state)
{
    (void)state;
    entity_table_shard_gained(fake.router.entities, shard_of(NULL, STR("bob@example.org")));
    post(STANZA_TYPE_NONE);
    struct entity *bob = entity_find(fake.router.entities, STR("bob@example.org"));
    assert_int_equal(bob->mailbox.count, 1);
    assert_true(str_equal(bob->mailbox.head->stanza.from, STR(ALICE)));
    assert_true(str_equal(bob->mailbox.head->stanza.to, STR("bob@example.org")));
    fake_run();
    assert_int_equal(bob->mailbox.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fake_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_frame_leaves_for_each_edge),
        TEST(managed_sessions_are_numbered_in_the_same_frame),
        TEST(numbers_of_one_session_leave_in_order),
        TEST(an_edge_that_is_gone_ends_its_sessions),
        TEST(whoever_is_not_in_memory_is_not_woken),
        TEST(recipients_that_are_being_woken_keep_a_copy),
        TEST(nothing_overtakes_what_waits_at_the_recipient),
        TEST(a_message_behind_a_presence_stays_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sessions: bind with its conflicts, announce, the ways to end, and what Redis is told. */
#include "router/entity/sessions.h"

#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static void bind_gives_the_resource_asked_for(void **state)
{
    (void)state;
    fake.is_redis_up = true;
    fake_bind("e1", "alice@example.org", "phone");
    const char *out = fake_take_out();
    assert_seen(out, "BOUND e1 alice@example.org/phone");
    assert_seen(out, "RECORD alice@example.org/phone e1 unavailable 0");
}

static void bind_without_resource_gets_a_random_one(void **state)
{
    (void)state;
    fake_bind("e1", "alice@example.org", "");
    fake_bind("e1", "alice@example.org", "");
    assert_int_equal(fake.session_count, 2);
    assert_int_equal(strlen(fake.sessions[0].name), 16);
    assert_string_not_equal(fake.sessions[0].name, fake.sessions[1].name);
}

static void newer_session_replaces_the_old_one(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake_bind("e2", "alice@example.org", "phone");
    const char *out = fake_take_out();
    assert_before(out, "KICK e1 phone conflict", "BOUND e2 alice@example.org/phone");
}

static void host_may_refuse_a_taken_resource(void **state)
{
    (void)state;
    fake.host.resource_conflict = "refuse";
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake_bind("e2", "alice@example.org", "phone");
    const char *out = fake_take_out();
    assert_seen(out, "REFUSED e2 5"); /* STATUS_CONFLICT */
    assert_not_seen(out, "KICK");
}

static void resources_of_an_account_are_limited(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        fake_bind("e1", "alice@example.org", "");
    }
    fake_clear();
    fake_bind("e1", "alice@example.org", "");
    assert_seen(fake_take_out(), "REFUSED e1 6"); /* STATUS_LIMIT */
}

static void unknown_account_cannot_bind_until_it_exists(void **state)
{
    (void)state;
    fake_bind("e1", "carol@example.org", "x");
    assert_seen(fake_take_out(), "REFUSED e1 2"); /* STATUS_NOT_AUTHORIZED */
    fake_add_account("carol@example.org");
    fake_bind("e1", "carol@example.org", "x"); /* at once, not when the cache has aged */
    assert_seen(fake_take_out(), "BOUND e1 carol@example.org/x");
}

static void store_that_is_away_refuses_bind_for_now(void **state)
{
    (void)state;
    fake.is_store_down = true;
    fake_bind("e1", "alice@example.org", "phone");
    assert_string_equal(fake_take_out(), "");
    for (int i = 0; i < 20; i++) {
        fake_advance(1000);
    }
    assert_seen(fake_take_out(), "REFUSED e1 4"); /* STATUS_TEMPORARY */
    fake.is_store_down = false;
    fake_bind("e1", "alice@example.org", "phone");
    fake_advance(10000);
    assert_seen(fake_take_out(), "BOUND e1");
}

static void close_is_answered_also_when_repeated(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake_close("e1", ALICE);
    assert_seen(fake_take_out(), "CLOSED e1 phone");
    fake_close("e1", ALICE);
    assert_seen(fake_take_out(), "CLOSED e1 phone");
}

/* Inputs before the end of the stream are decided before the edge may forget them. */
static void close_waits_for_what_the_session_has_sent(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake.is_auto_commit = false;
    struct stanza message = fake_message(ALICE, "bob@example.org", "<body>x</body>");
    fake_input("e1", 2, &message);
    fake_close("e1", ALICE);
    assert_not_seen(fake_take_out(), "CLOSED");
    fake_commit(ERR_OK);
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "INPUT phone 2 closed", "CLOSED e1 phone");
}

static void end_of_a_session_is_presence_for_the_others(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", "alice@example.org/desk", 0);
    fake_clear();
    entity_on_edge_dead(fake.router.entities, "e1");
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 desk volatile <presence from='alice@example.org/phone'");
    assert_seen(out, "type='unavailable'");
    assert_not_seen(out, "DELIVER e1");
}

static void bind_from(const char *edge)
{
    Wire__Bind bind = WIRE__BIND__INIT;
    bind.bare = wire_bytes(STR("alice@example.org"));
    bind.resource = wire_bytes(STR("phone"));
    entity_on_bind(fake.router.entities, edge, &bind);
}

/* Nobody else would end it. */
static void bind_of_an_edge_that_died_meanwhile_leaves_no_session(void **state)
{
    (void)state;
    fake.is_store_down = true;
    bind_from("e1");
    fake_run();
    entity_on_edge_dead(fake.router.entities, "e1");
    fake.is_store_down = false;
    fake_advance(200);
    struct entity *entity = entity_find(fake.router.entities, STR("alice@example.org"));
    assert_int_equal(entity->state, ENTITY_ACTIVE);
    assert_int_equal(entity->resource_count, 0);
    bind_from("e1"); /* in the mailbox of one that is active */
    entity_on_edge_dead(fake.router.entities, "e1");
    fake_run();
    assert_int_equal(entity->resource_count, 0);
    entity_on_edge_dead(fake.router.entities, "e1");
    bind_from("e1"); /* it is back */
    fake_run();
    assert_int_equal(entity->resource_count, 1);
}

static void session_the_edge_does_not_know_is_ended(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    Wire__Id session = WIRE_ID_INIT(fake_session("phone"));
    Wire__SessionGone gone = WIRE__SESSION_GONE__INIT;
    gone.session = &session;
    gone.bare = wire_bytes(STR("alice@example.org"));
    entity_on_session_gone(fake.router.entities, "e9", &gone); /* not its session */
    fake_run();
    assert_int_equal(
            entity_find(fake.router.entities, STR("alice@example.org"))->resource_count, 1);
    entity_on_session_gone(fake.router.entities, "e1", &gone);
    fake_run();
    assert_int_equal(
            entity_find(fake.router.entities, STR("alice@example.org"))->resource_count, 0);
}

static void announce(const char *edge, struct id128 id, uint32_t handled)
{
    Wire__Id session = WIRE_ID_INIT(id);
    Wire__Announce message = WIRE__ANNOUNCE__INIT;
    message.session = &session;
    message.full = wire_bytes(STR(ALICE));
    message.handled = handled;
    message.is_available = true;
    entity_on_announce(fake.router.entities, edge, &message);
    fake_run();
}

/* The edge was only out of reach: its session gets what came meanwhile, and speaks again. */
static void session_of_an_edge_given_up_too_early_comes_back(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", "bob@example.org/desk", 0);
    entity_on_edge_dead(fake.router.entities, "e1");
    fake_run();
    struct stanza message =
            fake_message("bob@example.org/desk", "alice@example.org", "<body>x</body>");
    fake_input("e2", 2, &message);
    fake_clear();
    announce("e1", fake_session("phone"), 1);
    assert_seen(fake_take_out(), "DELIVER e1 phone kept");
    message = fake_message(ALICE, "bob@example.org", "<body>y</body>");
    fake_input("e1", 2, &message);
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
}

/* Its records or ours were dropped with a link: the edge knows which entries its client has. */
static void session_that_is_announced_again_gets_what_is_unconfirmed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    struct stanza message = fake_message(ALICE, "alice@example.org", "<body>x</body>");
    fake_input("e1", 2, &message);
    fake_clear();
    announce("e1", fake_session("phone"), 2);
    assert_seen(fake_take_out(), "DELIVER e1 phone kept");
    fake_deliver_confirm("e1", ALICE, fake.entries[0].id);
    fake_clear();
    announce("e1", fake_session("phone"), 2);
    assert_not_seen(fake_take_out(), "DELIVER");
}

/* What its edge still says of it must not kick the one that replaced it. */
static void replaced_session_does_not_come_back(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    struct id128 old = fake_session("phone");
    struct stanza message = fake_message(ALICE, "bob@example.org", "<body>x</body>");
    fake_bind("e2", "alice@example.org", "phone");
    fake_clear();
    Wire__Id id = WIRE_ID_INIT(old);
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &id;
    input.counter = 2;
    input.bare = wire_bytes(STR("alice@example.org"));
    entity_on_input(fake.router.entities, "e1", &input, &message);
    fake_run();
    assert_string_equal(fake_take_out(), "");
    announce("e1", old, 1);
    assert_string_equal(fake_take_out(), "KICK e1 phone conflict\n");
}

/* P6: Redis lost everything; edges tell what they hold. */
static void announced_session_is_adopted(void **state)
{
    (void)state;
    Wire__Id session = WIRE_ID_INIT(((struct id128){ 5, 6 }));
    fake_know_session((struct id128){ 5, 6 }, "phone");
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(ALICE));
    announce.handled = 41;
    announce.is_available = true;
    announce.has_carbons = true;
    entity_on_announce(fake.router.entities, "e1", &announce);
    fake_run();
    fake_clear();
    struct stanza message = fake_message(ALICE, "alice@example.org", "<body>x</body>");
    fake_input("e1", 42, &message);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone kept");
    assert_seen(out, "HANDLED e1 phone 42 copies");
    const struct resource *resource = entity_find_session(
            entity_find(fake.router.entities, STR("alice@example.org")), fake_session("phone"));
    assert_true(resource->has_blocklist);
}

/* The record in Redis is older than what the edge has heard. */
static void edge_knows_more_of_carbons_than_redis(void **state)
{
    (void)state;
    struct id128 id = id128_random();
    fake_know_session(id, "phone");
    fake.is_redis_up = true;
    fake.records[0] = (struct session_record){
        .resource = STR("phone"), .session = id, .edge = STR("e1"), .is_available = true
    };
    fake.record_count = 1;
    Wire__Id session = WIRE_ID_INIT(id);
    Wire__Announce message = WIRE__ANNOUNCE__INIT;
    message.session = &session;
    message.full = wire_bytes(STR(ALICE));
    message.is_available = true;
    message.has_carbons = true;
    entity_on_announce(fake.router.entities, "e1", &message);
    fake_run();
    assert_seen(fake_take_out(), "RECORD alice@example.org/phone e1 available 0\n");
    struct entity *entity = entity_find(fake.router.entities, STR("alice@example.org"));
    struct resource *resource = entity_find_session(entity, id);
    assert_true(resource->has_carbons);
    resource->has_carbons = false; /* its client has switched it off here */
    entity_on_announce(fake.router.entities, "e1", &message);
    fake_run();
    assert_false(resource->has_carbons);
}

static void redis_that_comes_back_is_told_all_sessions(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 3);
    fake_clear();
    entity_on_redis_up(fake.router.entities);
    assert_string_equal(fake_take_out(),
            "LIVE alice@example.org\nRECORD alice@example.org/phone e1 available 3\n");
}

/* An edge and a router died together: nobody announces the session, nobody else ends it. */
static void session_nobody_announces_ends(void **state)
{
    (void)state;
    struct id128 id = id128_random();
    fake_know_session(id, "phone");
    fake.is_redis_up = true;
    fake.records[0] = (struct session_record){ .resource = STR("phone"),
        .session = id,
        .edge = STR("e1"),
        .is_available = true,
        .is_interested = true,
        .presence = STR("<show>away</show>"),
        .presence_child_count = 1,
        .directed = STR("room@example.org/me\0") };
    fake.record_count = 1;
    fake_login("e2", "alice@example.org/desk", 0);
    const char *out = fake_take_out();
    assert_seen(out, "<show>away</show>"); /* the other device learns what it had said */
    struct entity *entity = entity_find(fake.router.entities, STR("alice@example.org"));
    struct resource *resource = entity_find_session(entity, id);
    assert_true(resource && resource->is_interested && resource->is_initialised);
    assert_true(resource_has_directed(resource, STR("room@example.org/me")));
    fake_advance(16000);
    out = fake_take_out();
    assert_seen(
            out, "from='alice@example.org/phone' to='alice@example.org/desk' type='unavailable'");
    assert_before(out, "type='unavailable'", "FORGET alice@example.org/phone");
    announce("e1", id, 1); /* its edge was only out of reach for long */
    assert_seen(fake_take_out(), "from='alice@example.org/phone' to='alice@example.org/desk'/>");
}

/* Reads the account again while it waits for announcements. */
static void reload_does_not_put_the_end_of_an_unannounced_session_off(void **state)
{
    (void)state;
    struct id128 id = id128_random();
    fake_know_session(id, "phone");
    fake.is_redis_up = true;
    fake.records[0] = (struct session_record){
        .resource = STR("phone"), .session = id, .edge = STR("e1"), .is_available = true
    };
    fake.record_count = 1;
    fake_login("e2", "alice@example.org/desk", 0);
    fake_advance(5000);
    entity_on_account_changed(fake.router.entities, STR("alice@example.org"));
    fake_run();
    fake_advance(9000);
    assert_not_seen(fake_take_out(), "FORGET");
    fake_advance(2000);
    assert_seen(fake_take_out(), "FORGET alice@example.org/phone");
    entity_drop(entity_find(fake.router.entities, STR("alice@example.org")));
    fake_advance(60000); /* none of its timers is left */
}

static void announced_session_does_not_end(void **state)
{
    (void)state;
    struct id128 id = id128_random();
    fake_know_session(id, "phone");
    fake.is_redis_up = true;
    fake.records[0] = (struct session_record){
        .resource = STR("phone"), .session = id, .edge = STR("e1"), .is_available = true
    };
    fake.record_count = 1;
    announce("e1", id, 1);
    fake_advance(16000);
    assert_not_seen(fake_take_out(), "KICK");
}

static void redis_that_does_not_answer_holds_nobody_up(void **state)
{
    (void)state;
    fake.is_redis_up = true;
    bind_from("e1");
    assert_true(fake_run_calls()); /* the account; Redis is asked and silent */
    fake.time.monotonic_ms += 400;
    (void)timer_wheel_run(fake.loop.timers);
    fake_run();
    assert_seen(fake_take_out(), "BOUND e1");
}

/* Their edge is out of reach meanwhile, and still holds them. */
static void sessions_that_were_all_ended_at_once_stay_out(void **state)
{
    (void)state;
    static const char *const names[] = { "r0", "r1", "r2", "r3", "r4", "r5" };
    fake.settings.max_resources = 6;
    char full[64];
    for (size_t i = 0; i < 6; i++) {
        (void)snprintf(full, sizeof(full), "alice@example.org/%s", names[i]);
        fake_login("e1", full, 0);
    }
    entity_on_end_sessions(fake.router.entities, STR("alice@example.org"));
    fake_run();
    for (size_t i = 0; i < 6; i++) {
        fake_clear();
        (void)snprintf(full, sizeof(full), "alice@example.org/%s", names[i]);
        fake_announce_plain("e1", full, 1);
        char kick[32];
        (void)snprintf(kick, sizeof(kick), "KICK e1 %s conflict", names[i]);
        assert_seen(fake_take_out(), kick);
    }
    assert_int_equal(
            entity_find(fake.router.entities, STR("alice@example.org"))->resource_count, 0);
}

static void removed_account_loses_its_sessions(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.accounts[0].row.state = ACCOUNT_DISABLED;
    fake_clear();
    entity_on_account_changed(fake.router.entities, STR("alice@example.org"));
    fake_run();
    assert_seen(fake_take_out(), "KICK e1 phone not-authorized");
    fake_bind("e1", "alice@example.org", "phone");
    assert_seen(fake_take_out(), "REFUSED e1 3"); /* STATUS_DISABLED */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bind_gives_the_resource_asked_for, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                bind_without_resource_gets_a_random_one, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(newer_session_replaces_the_old_one, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(host_may_refuse_a_taken_resource, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(resources_of_an_account_are_limited, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                unknown_account_cannot_bind_until_it_exists, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                store_that_is_away_refuses_bind_for_now, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                close_is_answered_also_when_repeated, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                close_waits_for_what_the_session_has_sent, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                end_of_a_session_is_presence_for_the_others, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                bind_of_an_edge_that_died_meanwhile_leaves_no_session, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                session_the_edge_does_not_know_is_ended, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                session_of_an_edge_given_up_too_early_comes_back, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                session_that_is_announced_again_gets_what_is_unconfirmed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(replaced_session_does_not_come_back, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(announced_session_is_adopted, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                edge_knows_more_of_carbons_than_redis, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                redis_that_comes_back_is_told_all_sessions, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(session_nobody_announces_ends, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                reload_does_not_put_the_end_of_an_unannounced_session_off, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(announced_session_does_not_end, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                redis_that_does_not_answer_holds_nobody_up, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                sessions_that_were_all_ended_at_once_stay_out, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(removed_account_loses_its_sessions, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who may connect, which connection is in use, and what edges say of them. */
#include "router/entity/components.h"

#include "tests/lib/fake_components.h"

static void only_who_knows_a_secret_connects(void **state)
{
    (void)state;
    comp_bind_with("e1", COMP, comp_handshake("first"));
    assert_seen(fake_take_out(), "BOUND e1 " COMP "/");
    comp_bind_with("e1", COMP, comp_handshake("second"));
    assert_seen(fake_take_out(), "BOUND e1 " COMP "/");
    const char *const wrong[] = { "", "third", "First", " first", "first\n\nsecond" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        comp_bind_with("e1", COMP, comp_handshake(wrong[i]));
        assert_seen(fake_take_out(), "REFUSED e1 2"); /* NOT_AUTHORIZED */
    }
    comp_bind_with("e1", COMP, "");
    assert_seen(fake_take_out(), "REFUSED e1 2");
    comp_bind_with("e1", "example.org", comp_handshake("first"));
    assert_seen(fake_take_out(), "REFUSED e1 9"); /* NOT_FOUND */
}

/* D22 */
static void newest_connection_is_in_use(void **state)
{
    (void)state;
    struct id128 first = comp_connect("e1", COMP, "first");
    fake_clear();
    struct id128 second = comp_connect("e2", COMP, "second");
    assert_seen(fake_take_out(), "KICK e1 first conflict");
    assert_true(id128_equal(component_connection(comp_of(COMP))->session, second));
    comp_close("e1", COMP, first);
    assert_seen(fake_take_out(), "CLOSED e1 first");
    assert_null(component_find_session(comp_of(COMP), first));
    comp_close("e1", COMP, first); /* repeated */
    assert_seen(fake_take_out(), "CLOSED e1 first");
    assert_non_null(component_connection(comp_of(COMP)));
}

/* After a takeover both are announced, in any order. */
static void older_of_two_announced_ones_ends(void **state)
{
    (void)state;
    static const char old_full[] = COMP "/00000000000000010000000000000000";
    static const char new_full[] = COMP "/00000000000000020000000000000000";
    const struct id128 old_id = { 1, 1 };
    const struct id128 new_id = { 2, 2 };
    fake_know_session(old_id, "old");
    fake_know_session(new_id, "new");
    for (int i = 0; i < 2; i++) {
        comp_announce("e1", i ? new_full : old_full, i ? new_id : old_id, 0);
        comp_announce("e2", i ? old_full : new_full, i ? old_id : new_id, 0);
        assert_seen(fake_take_out(), i ? "KICK e2 old conflict" : "KICK e1 old conflict");
        assert_true(id128_equal(component_connection(comp_of(COMP))->session, new_id));
        components_drop_shard(fake.router.components, comp_of(COMP)->shard);
        assert_null(comp_of(COMP)->connections);
    }
}

/* F04 */
static void another_edge_does_not_speak_for_it(void **state)
{
    (void)state;
    struct id128 session = comp_connect("e1", COMP, "one");
    fake_clear();
    struct stanza message = fake_message(COMP, "bob@example.org", "<body>x</body>");
    comp_input("e2", session, 1, &message);
    const char *out = fake_take_out();
    assert_seen(out, "ASK e2");
    assert_not_seen(out, "ENTRY");
    comp_close("e2", COMP, session);
    assert_non_null(component_connection(comp_of(COMP)));
    comp_announce("e2", COMP "/x", session, 0);
    assert_string_equal(component_connection(comp_of(COMP))->edge, "e1");
}

static void connection_ends_with_its_edge(void **state)
{
    (void)state;
    (void)comp_connect("e1", COMP, "one");
    struct id128 gate = comp_connect("e2", GATE, "two");
    components_on_edge_dead(fake.router.components, "e1");
    fake_run();
    assert_null(component_connection(comp_of(COMP)));
    assert_null(comp_of(COMP)->connections);
    Wire__Id id = WIRE_ID_INIT(gate);
    Wire__SessionGone gone = WIRE__SESSION_GONE__INIT;
    gone.session = &id;
    gone.bare = wire_bytes(STR(GATE));
    components_on_session_gone(fake.router.components, "e1", &gone); /* not its own */
    assert_non_null(component_connection(comp_of(GATE)));
    components_on_session_gone(fake.router.components, "e2", &gone);
    assert_null(component_connection(comp_of(GATE)));
}

static enum err create_with(const char *domain, const char *file)
{
    struct component_setting wrong[] = {
        comp_settings[0],
        { .domain = str_from_cstr(domain), .secret_file = str_from_cstr(file) },
    };
    struct components *components = NULL;
    fake.settings.components = wrong;
    enum err err = components_create(&fake.router, &components);
    fake.settings.components = comp_settings;
    components_destroy(components);
    return err;
}

static void wrong_configuration_is_refused(void **state)
{
    (void)state;
    assert_int_equal(create_with("good.example", comp_secret_file), ERR_OK);
    assert_int_equal(create_with("example.org", comp_secret_file), ERR_INVALID);
    assert_int_equal(create_with(COMP, comp_secret_file), ERR_INVALID);
    assert_int_equal(create_with("good.example", "/nowhere"), ERR_INVALID);
    assert_int_equal(create_with("good.example", ""), ERR_INVALID);
}

static void report_names_them(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    (void)comp_connect("e1", COMP, "one");
    components_report(fake.router.components, ",", &out);
    buf_append_char(&out, '\0');
    assert_seen(buf_view(&out).ptr, ",\n{\"jid\":\"" COMP "/");
    assert_seen(buf_view(&out).ptr, "\"state\":\"attached\",\"edge\":\"e1\"");
    buf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, comp_start, comp_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_who_knows_a_secret_connects),
        TEST(newest_connection_is_in_use),
        TEST(older_of_two_announced_ones_ends),
        TEST(another_edge_does_not_speak_for_it),
        TEST(connection_ends_with_its_edge),
        TEST(wrong_configuration_is_refused),
        TEST(report_names_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

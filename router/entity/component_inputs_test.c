/* What a component has sent: when it is handled, and what it may not. */
#include "router/feature.h"
#include "tests/lib/fake_components.h"

static struct id128 session;

static int start(void **state)
{
    int result = comp_start(state);
    session = comp_connect("e1", COMP, "one");
    fake_login("e2", BOB, 0);
    fake_clear();
    return result;
}

static void say(uint32_t counter, const char *to, const char *text)
{
    char children[64];
    (void)snprintf(children, sizeof(children), "<body>%s</body>", text);
    struct stanza message = fake_message("x@" COMP "/y", to, children);
    comp_input("e1", session, counter, &message);
}

static void message_is_handled_after_its_commit(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(1, "bob@example.org", "hello");
    const char *out = fake_take_out();
    assert_seen(out, "ENTRY 2 <message from='x@" COMP "/y'");
    assert_not_seen(out, "HANDLED");
    fake_commit(ERR_OK);
    fake_run();
    out = fake_take_out();
    assert_before(out, "DELIVER e2 desk kept", "HANDLED e1 one 1");
    fake.is_auto_commit = true;
}

/* F05 */
static void repeat_is_handled_again_and_has_no_effect(void **state)
{
    (void)state;
    say(1, "bob@example.org", "hello");
    assert_seen(fake_take_out(), "HANDLED e1 one 1");
    say(1, "bob@example.org", "hello");
    const char *out = fake_take_out();
    assert_seen(out, "HANDLED e1 one 1");
    assert_not_seen(out, "ENTRY");
    say(3, "bob@example.org", "gap");
    out = fake_take_out();
    assert_seen(out, "ASK e1");
    assert_not_seen(out, "ENTRY");
}

static void message_to_another_router_is_followed(void **state)
{
    (void)state;
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    say(1, "bob@example.org", "hello");
    const char *out = fake_take_out();
    assert_seen(out, "ROUTE kept 1");
    assert_not_seen(out, "HANDLED");
    fake.routes[0].done(fake.routes[0].context, ERR_FENCED);
    assert_seen(fake_take_out(), "ROUTE kept 1");
    assert_int_equal(fake.route_count, 2);
    fake.routes[1].done(fake.routes[1].context, ERR_OK);
    fake.route_count = 0;
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 one 1");
}

/* P3: the shard has come here, and an older message still waits elsewhere. */
static void newer_one_does_not_overtake(void **state)
{
    (void)state;
    unsigned shard = shard_of(NULL, STR("bob@example.org"));
    fake.is_foreign[shard] = true;
    say(1, "bob@example.org", "one");
    fake.is_foreign[shard] = false;
    fake_clear();
    say(2, "bob@example.org", "two");
    assert_seen(fake_take_out(), "ROUTE kept 2");
    fake.routes[0].done(fake.routes[0].context, ERR_OK);
    fake.routes[1].done(fake.routes[1].context, ERR_OK);
    fake.route_count = 0;
    fake_run();
    fake_clear();
    say(3, "bob@example.org", "three");
    assert_seen(fake_take_out(), "ENTRY 2");
}

static void one_that_was_never_sent_comes_back(void **state)
{
    (void)state;
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    say(1, "bob@example.org", "hello");
    fake_clear();
    fake.routes[0].done(fake.routes[0].context, ERR_UNAVAILABLE);
    fake.route_count = 0;
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "internal-server-error", "HANDLED e1 one 1");
    assert_before(out, "internal-server-error", "ANSWERED e1 one 1");
    assert_seen(out, "DELIVER e1 one volatile <message from='bob@example.org' to='x@" COMP "/y'");
}

/* What the edge repeats of such a one to the next home. */
static void answered_input_is_only_counted(void **state)
{
    (void)state;
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &id;
    input.counter = 1;
    input.bare = wire_bytes(STR(COMP));
    input.is_answered = true;
    struct stanza nothing = { 0 };
    components_on_input(fake.router.components, "e1", &input, &nothing);
    fake_run();
    assert_string_equal(fake_take_out(), "HANDLED e1 one 1\n");
}

static void subscription_is_followed(void **state)
{
    (void)state;
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    struct stanza presence = fake_presence("x@" COMP, STANZA_TYPE_SUBSCRIBE, 0);
    presence.to = STR("bob@example.org");
    comp_input("e1", session, 1, &presence);
    assert_seen(fake_take_out(), "ROUTE kept 1");
    presence.type = STANZA_TYPE_NONE;
    comp_input("e1", session, 2, &presence);
    assert_seen(fake_take_out(), "ROUTE volatile 2");
}

static void close_waits_for_what_is_at_work(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(1, "bob@example.org", "hello");
    comp_close("e1", COMP, session);
    assert_not_seen(fake_take_out(), "CLOSED");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "CLOSED e1 one");
    assert_null(comp_of(COMP)->connections);
    fake.is_auto_commit = true;
}

static void it_is_decided_when_the_shard_is_gone(void **state)
{
    (void)state;
    fake.is_auto_commit = false;
    say(1, "bob@example.org", "hello");
    components_drop_shard(fake.router.components, comp_of(COMP)->shard);
    fake_commit(ERR_OK);
    fake_run();
    assert_not_seen(fake_take_out(), "HANDLED");
    fake.is_auto_commit = true;
}

static void answer_is(const struct stanza *stanza, const char *wanted)
{
    static uint32_t counter;
    static struct id128 of;
    counter = id128_equal(of, session) ? counter + 1 : 1;
    of = session;
    comp_input("e1", session, counter, stanza);
    const char *out = fake_take_out();
    assert_seen(out, wanted);
    assert_seen(out, "HANDLED e1 one");
}

static void host_answers_what_everybody_may_ask(void **state)
{
    (void)state;
    struct stanza ping = fake_iq("x@" COMP, "example.org", STANZA_TYPE_GET, NS_PING, "ping");
    answer_is(
            &ping, "DELIVER e1 one volatile <iq from='example.org' to='x@" COMP "' type='result'");
    struct stanza roster = fake_iq(COMP, "example.org", STANZA_TYPE_GET, NS_REGISTER, "query");
    answer_is(&roster, "service-unavailable");
    struct stanza message = fake_message(COMP, "example.org", "<body>x</body>");
    answer_is(&message, "service-unavailable");
    struct stanza remote = fake_message(COMP, "bob@remote.example", "<body>x</body>");
    answer_is(&remote, "remote-server-not-found");
    struct stanza bad = fake_iq(COMP, "example.org", STANZA_TYPE_GET, NS_PING, "ping");
    bad.child_count = 2;
    answer_is(&bad, "bad-request");
}

/* C29: whatever the list of administrators says. */
static void it_administrates_nothing(void **state)
{
    (void)state;
    const struct str admin = STR("boss@" COMP);
    fake.settings.admins = (struct settings_texts){ &admin, 1 };
    struct stanza command =
            fake_iq("boss@" COMP, "example.org", STANZA_TYPE_SET, NS_COMMANDS, "command");
    command.children = STR("<command xmlns='" NS_COMMANDS
                           "' node='http://jabber.org/protocol/admin#get-online-users-num'/>");
    answer_is(&command, "forbidden");
}

static void components_reach_each_other(void **state)
{
    (void)state;
    struct id128 gate = comp_connect("e3", GATE, "gate");
    fake_clear();
    say(1, "a@" GATE, "hello");
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e3 gate kept <message from='x@" COMP "/y' to='a@" GATE "'");
    assert_not_seen(out, "HANDLED");
    comp_delivered("e3", GATE, gate, comp_of(GATE)->sent->id);
    assert_seen(fake_take_out(), "HANDLED e1 one 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, comp_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message_is_handled_after_its_commit),
        TEST(repeat_is_handled_again_and_has_no_effect),
        TEST(message_to_another_router_is_followed),
        TEST(newer_one_does_not_overtake),
        TEST(one_that_was_never_sent_comes_back),
        TEST(answered_input_is_only_counted),
        TEST(subscription_is_followed),
        TEST(close_waits_for_what_is_at_work),
        TEST(it_is_decided_when_the_shard_is_gone),
        TEST(host_answers_what_everybody_may_ask),
        TEST(it_administrates_nothing),
        TEST(components_reach_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0280: who gets copies of what, in the order of the message itself. */
#include "tests/lib/fake_router.h"

#define PHONE "alice@example.org/phone"
#define DESK  "alice@example.org/desk"
#define BOB   "bob@example.org/pc"

static uint32_t counters[3]; /* of edges e1, e2, e3 */

static void input(const char *edge, const struct stanza *stanza)
{
    fake_input(edge, ++counters[edge[1] - '1'], stanza);
}

static const char *ask(const char *edge, const char *from, const char *name)
{
    struct stanza iq = fake_iq(from, "", STANZA_TYPE_SET, NS_CARBONS, name);
    fake_clear();
    input(edge, &iq);
    return fake_take_out();
}

static int start(void **state)
{
    int result = fake_start(state);
    fake_login("e1", PHONE, 0);
    fake_login("e2", DESK, 0);
    fake_login("e3", BOB, 0);
    counters[0] = counters[1] = counters[2] = 1;
    return result;
}

static int start_copied(void **state)
{
    int result = start(state);
    assert_seen(ask("e2", DESK, "enable"), "type='result'");
    return result;
}

static const char *say(const char *edge, const char *from, const char *to, const char *children)
{
    struct stanza message = fake_message(from, to, children);
    fake_clear();
    input(edge, &message);
    return fake_take_out();
}

#define RECEIVED                                                                             \
    "<message from='alice@example.org' to='alice@example.org/desk' type='chat'>"             \
    "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"            \
    "<message xmlns='jabber:client' from='bob@example.org/pc' to='alice@example.org/phone' " \
    "type='chat' id='m'><body>x</body><stanza-id"

/* Redis may be lost together with us: the edge tells the next home. */
static void the_edge_is_told(void **state)
{
    (void)state;
    assert_seen(ask("e2", DESK, "enable"), "HANDLED e2 desk 2 copies\n");
    assert_seen(ask("e2", DESK, "disable"), "HANDLED e2 desk 3\n");
}

static void a_message_to_one_session_is_copied_to_the_others(void **state)
{
    (void)state;
    const char *out = say("e3", BOB, PHONE, "<body>x</body>");
    assert_seen(out, "DELIVER e1 phone kept <message from='bob@example.org/pc'");
    assert_seen(out, "DELIVER e2 desk kept " RECEIVED);
    assert_before(out, "DELIVER e1 phone", "DELIVER e2 desk");
    assert_before(out, "ENTRY 1", "DELIVER e2 desk");
    assert_seen(ask("e2", DESK, "disable"), "type='result'");
    assert_not_seen(say("e3", BOB, PHONE, "<body>x</body>"), "DELIVER e2");
}

static void a_message_to_all_is_copied_to_who_does_not_get_it(void **state)
{
    (void)state;
    const char *out = say("e3", BOB, "alice@example.org", "<body>x</body>");
    assert_seen(out, "DELIVER e2 desk kept <message from='bob@example.org/pc'");
    assert_not_seen(out, "received");
    struct stanza low = fake_presence(DESK, STANZA_TYPE_NONE, -1);
    input("e2", &low);
    out = say("e3", BOB, "alice@example.org", "<body>x</body>");
    assert_seen(out, "DELIVER e2 desk kept <message from='alice@example.org'");
}

static void what_a_session_sends_is_copied_to_the_others(void **state)
{
    (void)state;
    const char *out = say("e1", PHONE, BOB, "<body>x</body>");
    assert_seen(out,
            "DELIVER e2 desk volatile <message from='alice@example.org' "
            "to='alice@example.org/desk' type='chat'><sent xmlns='urn:xmpp:carbons:2'>"
            "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
            "from='alice@example.org/phone' to='bob@example.org/pc' type='chat' id='m'>"
            "<body>x</body></message></forwarded></sent></message>");
    assert_seen(out, "DELIVER e3 pc kept");
    assert_not_seen(say("e2", DESK, BOB, "<body>x</body>"), "carbons"); /* the phone has them off */
}

static void private_messages_are_not_copied(void **state)
{
    (void)state;
    struct stanza message = fake_message(PHONE, BOB, "<body>x</body><private/>");
    message.flags |= STANZA_CARBON_PRIVATE;
    fake_clear();
    input("e1", &message);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER e2");
    assert_seen(out, "<private/>"); /* §9: it stays in the message */
    message = fake_message(BOB, PHONE, "<body>x</body>");
    message.flags |= STANZA_HINT_NO_COPY;
    input("e3", &message);
    assert_not_seen(fake_take_out(), "DELIVER e2");
}

static void messages_to_oneself_are_not_copied_twice(void **state)
{
    (void)state;
    assert_seen(ask("e1", PHONE, "enable"), "type='result'");
    const char *out = say("e1", PHONE, "alice@example.org", "<body>x</body>");
    assert_not_seen(out, "forwarded");
    out = say("e1", PHONE, DESK, "<body>x</body>");
    assert_seen(out, "DELIVER e2 desk kept");
    assert_not_seen(out, "forwarded");
}

static void a_forged_copy_keeps_its_true_sender(void **state) /* C14 */
{
    (void)state;
    const char *out = say("e3",
            BOB,
            DESK,
            "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
            "<message xmlns='jabber:client' from='eve@example.org'/></forwarded></received>");
    assert_seen(out, "DELIVER e2 desk volatile <message from='bob@example.org/pc'");
}

static void a_bounce_of_a_copy_goes_nowhere(void **state) /* §10.3 */
{
    (void)state;
    (void)say("e3", BOB, PHONE, "<body>x</body>");
    struct stanza error = fake_message(DESK, "alice@example.org", "<error/>");
    error.type = STANZA_TYPE_ERROR;
    fake_clear();
    input("e2", &error);
    const char *out = fake_take_out();
    assert_not_seen(out, "DELIVER");
    assert_not_seen(out, "ROUTE");
}

static void an_error_of_a_copied_message_is_copied(void **state)
{
    (void)state;
    const char *out = say("e1", PHONE, "nobody@example.org", "<body>x</body>");
    assert_seen(out, "DELIVER e1 phone volatile <message from='nobody@example.org'");
    assert_seen(out, "<received xmlns='urn:xmpp:carbons:2'>");
}

static void copies_are_numbered_and_outlive_the_connection(void **state)
{
    (void)state;
    fake_enable("e2", DESK, true);
    const char *out = say("e3", BOB, PHONE, "<body>x</body>");
    assert_seen(out, "DELIVER e2 desk #1 kept <message from='alice@example.org'");
    assert_seen(out, "SPOOL desk #1 kept");
    fake_detach("e2", DESK, 0);
    out = say("e1", PHONE, BOB, "<body>y</body>");
    assert_seen(out, "SPOOL desk #2 volatile");
    assert_not_seen(out, "DELIVER e2");
    fake_post_resume("e4", "alice@example.org", 0);
    fake_run();
    out = fake_take_out();
    assert_seen(out, "DELIVER e4 desk #1 kept <message from='alice@example.org'");
    assert_seen(out, "DELIVER e4 desk #2 volatile <message from='alice@example.org'");
    assert_seen(out, "<body>y</body>");
}

static void the_next_home_knows_who_wants_copies(void **state)
{
    (void)state;
    fake.is_redis_up = true;
    fake_enable("e2", DESK, true);
    assert_true(fake.written.has_carbons);
    (void)say("e3", BOB, PHONE, "<body>x</body>"); /* numbered, and never acknowledged */
    fake.records[0] = fake.written;
    fake.records[0].resource = STR("desk");
    fake.records[0].edge = STR("e2");
    fake.records[1] = (struct session_record){ .resource = STR("phone"),
        .session = fake_session("phone"),
        .edge = STR("e1"),
        .is_available = true,
        .handled = 1 };
    fake.record_count = 2;
    unsigned shard = jid_shard(STR("alice@example.org"), FAKE_SHARDS);
    entity_drop_shard(fake.router.entities, shard);
    fake_run();
    fake_login("e3", BOB, 0);
    fake_clear();
    counters[2] = 1;
    const char *out = say("e3", BOB, PHONE, "<body>y</body>");
    assert_seen(out, "SPOOL desk #2 kept");
    fake_post_resume("e4", "alice@example.org", 0);
    fake_run();
    out = fake_take_out();
    assert_before(out,
            "DELIVER e4 desk #1 kept <message from='alice@example.org'",
            "DELIVER e4 desk #2 kept <message from='alice@example.org'");
    assert_before(out, "<body>x</body>", "<body>y</body>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_edge_is_told, start, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_message_to_one_session_is_copied_to_the_others, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_message_to_all_is_copied_to_who_does_not_get_it, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_a_session_sends_is_copied_to_the_others, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(private_messages_are_not_copied, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(
                messages_to_oneself_are_not_copied_twice, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_forged_copy_keeps_its_true_sender, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(a_bounce_of_a_copy_goes_nowhere, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(
                an_error_of_a_copied_message_is_copied, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(
                copies_are_numbered_and_outlive_the_connection, start_copied, fake_stop),
        cmocka_unit_test_setup_teardown(
                the_next_home_knows_who_wants_copies, start_copied, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

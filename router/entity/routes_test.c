/* A recipient's turn: what is kept, shown, answered and recognised. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"

static const char hello[] = "<body>hello</body>";

static void note_result(void *context, enum err err)
{
    *(enum err *)context = err;
}

static void count_answer(void *context, enum err err)
{
    assert_int_equal(err, ERR_OK);
    ++*(unsigned *)context;
}

static void say(uint32_t counter, const char *to, const char *children)
{
    struct stanza message = fake_message(ALICE, to, children);
    fake_input("e1", counter, &message);
}

/* P1: nothing is shown and nothing is acked before the commit; one group decides entry and counter.
 */
static void message_is_shown_and_handled_only_after_the_commit(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", hello);
    const char *out = fake_take_out();
    assert_seen(out, "ENTRY 2 <message");
    assert_before(out, "ENTRY 2", "INPUT phone 2");
    assert_not_seen(out, "DELIVER");
    assert_not_seen(out, "HANDLED");
    fake_commit(ERR_OK);
    fake_run();
    out = fake_take_out();
    assert_before(out, "DELIVER e2 desk kept", "HANDLED e1 phone 2");
    assert_seen(out, "by='bob@example.org'");
}

static void watermark_moves_when_the_client_has_the_message(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    say(2, "bob@example.org", hello);
    fake_clear();
    fake_deliver_confirm("e2", BOB, fake.entries[0].id);
    assert_seen(fake_take_out(), "WATERMARK 2");
    assert_int_equal(fake.watermarks[2], fake.entries[0].id);
}

static void nobody_confirms_what_he_was_not_sent(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_login("e3", "bob@example.org/bag", -1);
    say(2, "bob@example.org", hello);
    fake_clear();
    fake_deliver_confirm("e3", "bob@example.org/bag", fake.entries[0].id);
    assert_not_seen(fake_take_out(), "WATERMARK");
}

/* F05 */
static void repeated_route_has_one_effect_and_is_answered(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_clear();
    struct stanza message = fake_message(ALICE, "bob@example.org", hello);
    struct origin origin = { .session = { 1, 2 }, .counter = 5 };
    unsigned answers = 0;
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    fake_run();
    assert_int_equal(answers, 1);
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    fake_run();
    assert_int_equal(answers, 2);
    assert_int_equal(fake.entry_count, 1);
}

static void repeat_of_what_is_in_flight_waits_for_the_same_commit(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake.is_auto_commit = false;
    struct stanza message = fake_message(ALICE, "bob@example.org", hello);
    struct origin origin = { .session = { 1, 2 }, .counter = 5 };
    unsigned answers = 0;
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    fake_run();
    assert_int_equal(answers, 0);
    fake_commit(ERR_OK);
    fake_run();
    assert_int_equal(answers, 2);
    assert_int_equal(fake.entry_count, 1);
}

/* P2: the recipient's router dies after the commit, the sender asks its next one. */
static void repeat_after_a_takeover_is_recognised_by_the_log(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    struct stanza message = fake_message(ALICE, "bob@example.org", hello);
    struct origin origin = { .session = { 1, 2 }, .counter = 5 };
    unsigned answers = 0;
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    fake_run();
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    entity_on_route(fake.router.entities, &origin, &message, count_answer, &answers);
    fake_run();
    assert_int_equal(answers, 2);
    assert_int_equal(fake.entry_count, 1);
}

static void note_error(void *context, enum err err)
{
    *(enum err *)context = err;
}

/* P3: its former home gave it up, its sender's home was lost, and what was said later is kept. */
static void what_comes_behind_what_was_said_later_is_refused(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    struct stanza message = fake_message(ALICE, "bob@example.org", hello);
    struct origin later = { .session = { 1, 2 }, .counter = 6 };
    struct origin late = { .session = { 1, 2 }, .counter = 5 };
    struct origin next = { .session = { 1, 2 }, .counter = 7 };
    enum err err = ERR_CLOSED;
    entity_on_route(fake.router.entities, &later, &message, note_error, &err);
    fake_run();
    assert_int_equal(err, ERR_OK);
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    entity_on_route(fake.router.entities, &late, &message, note_error, &err);
    fake_run();
    assert_int_equal(err, ERR_DENIED);
    assert_int_equal(fake.entry_count, 1);
    entity_on_route(fake.router.entities, &next, &message, note_error, &err);
    fake_run();
    assert_int_equal(err, ERR_OK);
    assert_int_equal(fake.entry_count, 2);
}

/* P3: Bob's home is leaving this router, and what it still has at work may go to the next one. */
static void nothing_younger_goes_ahead_to_the_next_home(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>two</body>");
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    say(3, "bob@example.org", "<body>three</body>");
    say(4, "bob@example.org", "<body>four</body>");
    assert_not_seen(fake_take_out(), "ROUTE");
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "two", "three");
    assert_before(out, "three", "four");
}

static void what_waits_goes_when_the_older_one_is_kept(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>two</body>");
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    say(3, "bob@example.org", "<body>three</body>");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "three");
    assert_int_equal(fake.route_count, 1);
}

/* P3 */
static void typing_notice_does_not_overtake_the_message_before_it(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", hello);
    say(3, "bob@example.org", "<paused xmlns='http://jabber.org/protocol/chatstates'/>");
    struct stanza other = fake_message("carol@example.org/x", "bob@example.org", "<other/>");
    struct origin origin = { .session = { 9, 9 }, .counter = 1 };
    entity_on_route(fake.router.entities, &origin, &other, NULL, NULL);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "<other/>");
    assert_not_seen(out, "DELIVER e2 desk volatile <message from='alice");
    fake_commit(ERR_OK);
    fake_run();
    out = fake_take_out();
    assert_before(out, "<body>hello</body>", "<paused");
}

/* C15 */
static void forged_ids_and_stamps_of_ours_are_removed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    say(2,
            "bob@example.org",
            "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.org' id='1'/><body>b</body>"
            "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2000-01-01T00:00:00Z'/>"
            "<delay xmlns='urn:xmpp:delay' from='room.example.org' stamp='2001-01-01T00:00:00Z'/>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.org' id='2'/>");
    const char *out = fake_take_out();
    assert_not_seen(out, "id='1'");
    assert_not_seen(out, "id='2'");
    assert_not_seen(out, "2000-01-01");
    assert_seen(out, "2001-01-01");
}

/* C15: what is not kept has none of ours at all. */
static void forged_ids_in_what_is_not_kept_are_removed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    struct stanza message = fake_message(ALICE,
            "bob@example.org",
            "<stanza-id xmlns='urn:xmpp:sid:0' by='BOB@example.org' id='1'/><body>b</body>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='room.example.org' id='3'/>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.org' id='2'/>");
    static const struct {
        enum stanza_type type;
        uint32_t flags;
    } kinds[] = {
        { STANZA_TYPE_HEADLINE, STANZA_HAS_BODY },
        { STANZA_TYPE_CHAT, STANZA_HAS_BODY | STANZA_HINT_NO_STORE },
        { STANZA_TYPE_CHAT, STANZA_CHAT_STATE_ONLY },
    };
    for (uint32_t i = 0; i < 3; i++) {
        message.type = kinds[i].type;
        message.flags = kinds[i].flags;
        fake_clear();
        fake_input("e1", 2 + i, &message);
        const char *out = fake_take_out();
        assert_seen(out, "DELIVER e2 desk volatile");
        assert_not_seen(out, "id='1'");
        assert_not_seen(out, "id='2'");
        assert_seen(out, "<body>b</body><stanza-id xmlns='urn:xmpp:sid:0' by='room.example.org'");
    }
}

/* C08: the same words whether the account exists or not. */
static void what_cannot_be_kept_is_answered_as_for_nobody(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    say(2, "bob@example.org", "<x xmlns='urn:example'/>");
    const char *text = fake_take_out();
    char offline[1024];
    (void)snprintf(offline, sizeof(offline), "%s", strchr(strstr(text, "to='alice"), ' '));
    *strchr(offline, '\n') = '\0';
    say(3, "nobody@example.org", "<x xmlns='urn:example'/>");
    text = fake_take_out();
    assert_seen(text, "service-unavailable");
    assert_seen(text, offline);
}

static void message_to_nobody_is_answered_and_handled(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    say(2, "nobody@example.org", hello);
    const char *out = fake_take_out();
    assert_before(out, "service-unavailable", "HANDLED e1 phone 2");
    assert_int_equal(fake.entry_count, 0);
}

/* G01, P5 */
static void withdrawn_entry_comes_back_as_a_retryable_error(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", hello);
    fake_commit(ERR_UNAVAILABLE);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone volatile <message");
    assert_seen(out, "<error type='wait'");
    assert_seen(out, "ANSWERED e1 phone 2 behind 1"); /* without waiting for any commit */
    assert_not_seen(out, "DELIVER e2");
    fake_commit(ERR_OK);
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
}

/* G01 and P3: the first one is in flight and in doubt, the second was never sent. */
static void withdrawn_entry_behind_one_in_flight_disturbs_no_order(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", "<body>one</body>");
    size_t in_flight = fake.wait_count;
    say(3, "bob@example.org", "<body>two</body>");
    fake_clear();
    fake_commit_from(in_flight, ERR_UNAVAILABLE);
    fake_run();
    const char *out = fake_take_out();
    assert_before(out, "<error type='wait'", "ANSWERED e1 phone 3 behind 1");
    assert_not_seen(out, "HANDLED");
    assert_not_seen(out, "DELIVER e2");
    say(4, "bob@example.org", "<body>three</body>");
    fake_commit(ERR_OK);
    fake_run();
    fake_commit(ERR_OK);
    fake_run();
    out = fake_take_out();
    const char *to_bob = strstr(out, "DELIVER e2");
    assert_non_null(to_bob);
    assert_before(to_bob, "<body>one</body>", "<body>three</body>");
    assert_not_seen(to_bob, "<body>two</body>");
    assert_seen(out, "HANDLED e1 phone 4");
}

/* P5: the next home of the sender repeats what this one had no time to commit. */
static void repeat_of_a_withdrawn_entry_has_no_effect(void **state)
{
    (void)state;
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    struct origin origin = { .session = fake_session("elsewhere"), .counter = 3 };
    struct stanza stanza = { .kind = STANZA_MESSAGE,
        .type = STANZA_TYPE_CHAT,
        .from = STR(ALICE),
        .to = STR("bob@example.org"),
        .children = STR("<body>hi</body>"),
        .child_count = 1,
        .flags = STANZA_HAS_BODY };
    enum err first = ERR_OK;
    enum err second = ERR_AGAIN;
    entity_on_route(fake.router.entities, &origin, &stanza, note_result, &first);
    fake_run();
    fake_commit(ERR_UNAVAILABLE);
    fake_run();
    assert_int_equal(first, ERR_DENIED);
    fake_clear();
    fake.is_auto_commit = true;
    entity_on_route(fake.router.entities, &origin, &stanza, note_result, &second);
    fake_run();
    assert_int_equal(second, ERR_DENIED);
    assert_not_seen(fake_take_out(), "DELIVER");
}

/* What its edge repeats of an input that came back as an error: the counter alone. */
static void answered_input_counts_and_does_nothing(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake_answered("e1", ALICE, 2);
    fake_run();
    say(3, "bob@example.org", hello);
    const char *out = fake_take_out();
    assert_seen(out, "HANDLED e1 phone 2");
    assert_seen(out, "DELIVER e2");
    assert_seen(out, "HANDLED e1 phone 3");
}

/* F08: fenced means that somebody else is home now. */
static void fenced_entry_is_routed_to_the_next_home(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.is_auto_commit = false;
    say(2, "bob@example.org", hello);
    entity_drop_shard(fake.router.entities, shard_of(NULL, STR("bob@example.org")));
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "ROUTE kept 2 again <message");
    assert_not_seen(out, "HANDLED");
    fake_commit(ERR_OK);
    assert_int_equal(fake.route_count, 1);
    fake.routes[0].done(fake.routes[0].context, ERR_OK);
    fake.route_count = 0;
    fake_run();
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
}

/* The sender's shard goes while its message is on the way: the edge repeats to the next home, the
 * origin tells. */
static void sender_that_is_gone_is_not_missed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    struct entity *alice = entity_find(fake.router.entities, STR("alice@example.org"));
    struct input_work work = { .counter = 2 };
    struct origin origin = { .session = fake_session("phone"), .counter = 2 };
    struct stanza message = fake_message(ALICE, "bob@example.org", hello);
    forward_stanza(alice, &origin, &message, &work);
    entity_drop(alice);
    fake_clear();
    fake_run();
    assert_seen(fake_take_out(), "DELIVER e2 desk kept");
    assert_int_equal(fake.entry_count, 1);
}

static void overload_refuses_durable_stanzas_with_an_error(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    fake.has_no_room = true;
    say(2, "bob@example.org", hello);
    const char *out = fake_take_out();
    assert_seen(out, "<error type='wait'");
    assert_not_seen(out, "ENTRY");
}

/* XEP-0160, XEP-0203: stored, then given in order, once, page after page. */
static void offline_messages_come_at_login_in_order_and_once(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    say(2, "bob@example.org", "<body>one</body>");
    say(3, "bob@example.org", "<body>two</body>");
    say(4, "bob@example.org", "<body>three</body>");
    fake_clear();
    fake_login("e2", BOB, 0);
    const char *out = fake_take_out();
    assert_before(out, "<body>one</body>", "<body>two</body>");
    assert_not_seen(out, "three"); /* a page is two here */
    assert_seen(out, "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2023-11-14T");
    say(5, "bob@example.org", "<body>four</body>");
    assert_not_seen(fake_take_out(), "DELIVER e2");
    fake_deliver_confirm("e2", BOB, fake.entries[0].id);
    assert_not_seen(fake_take_out(), "DELIVER e2");
    fake_deliver_confirm("e2", BOB, fake.entries[1].id);
    out = fake_take_out();
    assert_before(out, "<body>three</body>", "<body>four</body>");
    fake_deliver_confirm("e2", BOB, fake.entries[2].id);
    fake_deliver_confirm("e2", BOB, fake.entries[3].id);
    assert_int_equal(fake.watermarks[2], fake.entries[3].id);
    fake_close("e2", BOB);
    fake_clear();
    fake_login("e2", BOB, 0);
    assert_not_seen(fake_take_out(), "<body>");
}

static void negative_priority_gets_no_messages_to_the_bare_address(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, -1);
    fake_clear();
    say(2, "bob@example.org", hello);
    assert_not_seen(fake_take_out(), "DELIVER e2");
    say(3, BOB, "<body>direct</body>");
    assert_seen(fake_take_out(), "DELIVER e2 desk kept");
    struct stanza presence = fake_presence(BOB, STANZA_TYPE_NONE, 1);
    fake_input("e2", 2, &presence);
    const char *out = fake_take_out();
    assert_seen(out, "hello");
    assert_not_seen(out, "direct");
}

/* P5: the only session that was sent the message dies before it confirmed. */
static void unconfirmed_message_goes_to_another_session(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_login("e3", "bob@example.org/bag", 0);
    say(2, BOB, hello);
    fake_clear();
    entity_on_edge_dead(fake.router.entities, "e2");
    fake_run();
    assert_seen(fake_take_out(), "DELIVER e3 bag kept <message from='alice");
    fake_deliver_confirm("e3", "bob@example.org/bag", fake.entries[0].id);
    assert_int_equal(fake.watermarks[2], fake.entries[0].id);
}

/* RFC 6121 §8.5.3.2: what was for a session that is gone must not stand before what comes after. */
static void groupchat_to_a_session_that_is_gone_blocks_nothing(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_login("e3", "bob@example.org/bag", 0);
    struct stanza message = fake_message(ALICE, BOB, "<body>room</body>");
    message.type = STANZA_TYPE_GROUPCHAT;
    fake_input("e1", 2, &message);
    assert_seen(fake_take_out(), "DELIVER e2 desk kept");
    entity_on_edge_dead(fake.router.entities, "e2");
    fake_run();
    assert_not_seen(fake_take_out(), "DELIVER e3 bag kept");
    assert_int_equal(fake.watermarks[2], fake.entries[0].id);
    say(3, "bob@example.org", hello);
    assert_seen(fake_take_out(), "DELIVER e3 bag kept");
    fake_deliver_confirm("e3", "bob@example.org/bag", fake.entries[1].id);
    assert_int_equal(fake.watermarks[2], fake.entries[1].id);
}

/* An account that is switched off keeps what it has. */
static void message_committed_while_the_account_goes_off_is_kept(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake.is_auto_commit = false;
    say(2, "bob@example.org", hello);
    struct fake_account *account = fake_find_account(STR("bob@example.org"));
    ASSERT(account);
    account->row.state = ACCOUNT_DISABLED;
    entity_on_account_changed(fake.router.entities, STR("bob@example.org"));
    fake_run();
    fake_clear();
    fake_commit(ERR_OK);
    fake_run();
    assert_not_seen(fake_take_out(), "WATERMARK");
}

static void edge_that_is_away_loses_its_sessions_but_not_the_message(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake.dead_edge = "e2";
    say(2, "bob@example.org", hello);
    const char *out = fake_take_out();
    assert_seen(out, "FORGET bob@example.org/desk");
    fake.dead_edge = NULL;
    fake_login("e3", "bob@example.org/new", 0);
    assert_seen(fake_take_out(), "DELIVER e3 new kept");
}

static void full_link_is_tried_again(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake.full_edge = "e2";
    say(2, "bob@example.org", hello);
    fake_clear();
    fake.full_edge = NULL;
    fake_advance(600);
    assert_seen(fake_take_out(), "DELIVER e2 desk kept");
}

/* P4: what is above the watermark is delivered again by the next home; the edge drops what its
 * client has. */
static void takeover_delivers_again_what_nobody_confirmed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    say(2, "bob@example.org", hello);
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    fake.is_redis_up = true;
    fake.records[0] = (struct session_record){ .resource = STR("desk"),
        .session = fake_session("desk"),
        .edge = STR("e2"),
        .is_available = true };
    fake.record_count = 1;
    fake_clear();
    say(3, "bob@example.org", "<body>after</body>");
    const char *out = strstr(fake_take_out(), "READ");
    assert_non_null(out);
    assert_before(out, "hello", "after");
}

static void request_to_a_stranger_says_the_same_as_to_nobody(void **state) /* C09 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    struct stanza iq = fake_iq(ALICE, "bob@example.org", STANZA_TYPE_GET, NS_DISCO_INFO, "query");
    fake_input("e1", 2, &iq);
    assert_seen(fake_take_out(), "service-unavailable");
    iq.to = STR("nobody@example.org");
    fake_input("e1", 3, &iq);
    assert_seen(fake_take_out(), "service-unavailable");
}

static void push_to_a_full_address_arrives_with_its_true_sender(void **state) /* C13 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    struct stanza iq = fake_iq(ALICE, BOB, STANZA_TYPE_SET, NS_ROSTER, "query");
    fake_input("e1", 2, &iq);
    assert_seen(fake_take_out(), "DELIVER e2 desk volatile <iq from='alice@example.org/phone'");
}

static void full_mailbox_answers_requests_and_durable_routes(void **state)
{
    (void)state;
    fake.settings.max_mailbox = 0;
    enum err result = ERR_OK;
    struct stanza message = fake_message("x@example.org/r", "bob@example.org", hello);
    struct origin origin = { .session = { 1, 2 }, .counter = 5 };
    entity_on_route(fake.router.entities, &origin, &message, note_result, &result);
    assert_int_equal(result, ERR_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                message_is_shown_and_handled_only_after_the_commit, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                watermark_moves_when_the_client_has_the_message, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                nobody_confirms_what_he_was_not_sent, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                repeated_route_has_one_effect_and_is_answered, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                repeat_of_what_is_in_flight_waits_for_the_same_commit, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                repeat_after_a_takeover_is_recognised_by_the_log, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                nothing_younger_goes_ahead_to_the_next_home, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_waits_goes_when_the_older_one_is_kept, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_comes_behind_what_was_said_later_is_refused, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                typing_notice_does_not_overtake_the_message_before_it, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                forged_ids_and_stamps_of_ours_are_removed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                forged_ids_in_what_is_not_kept_are_removed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_cannot_be_kept_is_answered_as_for_nobody, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                message_to_nobody_is_answered_and_handled, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                withdrawn_entry_comes_back_as_a_retryable_error, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                withdrawn_entry_behind_one_in_flight_disturbs_no_order, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                repeat_of_a_withdrawn_entry_has_no_effect, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                answered_input_counts_and_does_nothing, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                fenced_entry_is_routed_to_the_next_home, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(sender_that_is_gone_is_not_missed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                overload_refuses_durable_stanzas_with_an_error, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                offline_messages_come_at_login_in_order_and_once, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                negative_priority_gets_no_messages_to_the_bare_address, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                unconfirmed_message_goes_to_another_session, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                groupchat_to_a_session_that_is_gone_blocks_nothing, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                message_committed_while_the_account_goes_off_is_kept, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                edge_that_is_away_loses_its_sessions_but_not_the_message, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(full_link_is_tried_again, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                takeover_delivers_again_what_nobody_confirmed, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                request_to_a_stranger_says_the_same_as_to_nobody, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                push_to_a_full_address_arrives_with_its_true_sender, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                full_mailbox_answers_requests_and_durable_routes, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

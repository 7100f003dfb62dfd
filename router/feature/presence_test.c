/* RFC 6121 §4: who is told what, and when. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define DESK  "alice@example.org/desk"
#define BOB   "bob@example.org/pc"

/* `flags` of alice's item for `contact`, without a store. */
static void set_contact(const char *owner, const char *contact, unsigned flags)
{
    struct entity *entity = entity_get(fake.router.entities, str_from_cstr(owner));
    fake_run();
    struct roster_item item = { .jid = str_from_cstr(contact), .flags = flags | ROSTER_LISTED };
    roster_put(&entity->roster, roster_item_create(&item));
}

static void send_presence(
        const char *edge, uint32_t counter, const char *from, const char *to, enum stanza_type type)
{
    struct stanza presence = fake_presence(from, type, 0);
    presence.to = str_from_cstr(to);
    fake_input(edge, counter, &presence);
}

static void presence_reaches_all_own_sessions(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    fake_login("e2", DESK, 5);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone volatile <presence from='alice@example.org/desk'");
    assert_seen(out, "DELIVER e2 desk volatile <presence from='alice@example.org/desk'");
    assert_seen(out, "DELIVER e2 desk volatile <presence from='alice@example.org/phone'");
    assert_seen(out, "RECORD alice@example.org/desk e2 available 5");
    send_presence("e2", 2, DESK, "", STANZA_TYPE_UNAVAILABLE);
    out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone volatile <presence from='alice@example.org/desk'");
    assert_seen(out, "RECORD alice@example.org/desk e2 unavailable");
}

static void initial_presence_tells_subscribers_and_probes_contacts(void **state) /* §4.2 */
{
    (void)state;
    set_contact("alice@example.org", "bob@example.org", ROSTER_FROM);
    set_contact("alice@example.org", "carol@example.org", ROSTER_TO);
    set_contact("alice@example.org", "dave@example.org", ROSTER_TO | ROSTER_FROM);
    set_contact("alice@example.org", "eve@example.org", ROSTER_PENDING_OUT | ROSTER_PENDING_IN);
    memset(fake.is_foreign, true, sizeof(fake.is_foreign)); /* everybody else lives elsewhere */
    fake_login("e1", ALICE, -1);                            /* a negative priority hides nobody */
    const char *out = fake_take_out();
    assert_seen(out,
            "ROUTE-MANY bob@example.org dave@example.org <presence from='alice@example.org/phone'/>");
    assert_seen(out,
            "ROUTE-MANY carol@example.org dave@example.org <presence from='alice@example.org/phone' "
            "type='probe'/>");
    send_presence("e1", 2, ALICE, "", STANZA_TYPE_NONE);
    out = fake_take_out();
    assert_seen(out, "ROUTE-MANY bob@example.org dave@example.org");
    assert_not_seen(out, "probe");
    send_presence("e1", 3, ALICE, "", STANZA_TYPE_UNAVAILABLE);
    out = fake_take_out();
    assert_seen(out,
            "ROUTE-MANY bob@example.org dave@example.org <presence from='alice@example.org/phone' "
            "type='unavailable'/>");
    send_presence("e1", 4, ALICE, "", STANZA_TYPE_UNAVAILABLE);
    assert_not_seen(fake_take_out(), "ROUTE-MANY");
    fake_close("e1", ALICE);
    assert_not_seen(fake_take_out(), "ROUTE-MANY"); /* once */
    fake_login("e1", ALICE, 0);
    assert_seen(fake_take_out(), "probe");
}

static void a_session_that_goes_without_a_word_is_unavailable_once(void **state) /* §4.5.3 */
{
    (void)state;
    set_contact("alice@example.org", "bob@example.org", ROSTER_FROM);
    fake_login("e2", BOB, 0);
    fake_login("e1", ALICE, 0);
    fake_clear();
    entity_on_edge_dead(fake.router.entities, "e1");
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out,
            "DELIVER e2 pc volatile <presence from='alice@example.org/phone' type='unavailable'/>");
    fake_advance(60000);
    assert_not_seen(fake_take_out(), "unavailable");
}

static const char *probe(const char *from, const char *to)
{
    static const struct origin none;
    struct stanza stanza = fake_presence(from, STANZA_TYPE_PROBE, 0);
    stanza.to = str_from_cstr(to);
    fake_clear();
    entity_on_route(fake.router.entities, &none, &stanza, NULL, NULL);
    fake_run();
    return fake_take_out();
}

static void probes_are_answered_for_subscribers_only(void **state) /* §4.3.2, C09 */
{
    (void)state;
    fake_login("e2", BOB, 0);
    set_contact("alice@example.org", "bob@example.org", ROSTER_FROM);
    const char *out = probe(BOB, "alice@example.org");
    assert_seen(out,
            "DELIVER e2 pc volatile <presence from='alice@example.org' to='bob@example.org/pc' "
            "type='unavailable'/>");
    fake_bind("e1", "alice@example.org", "phone");
    struct stanza away = fake_presence(ALICE, STANZA_TYPE_NONE, 0);
    away.children = STR("<show>away</show>");
    away.child_count = 1;
    fake_input("e1", 1, &away);
    fake_login("e1", DESK, 0);
    out = probe(BOB, "alice@example.org");
    assert_seen(out, "from='alice@example.org/phone' to='bob@example.org/pc'><show>away</show>");
    assert_seen(out, "from='alice@example.org/desk' to='bob@example.org/pc'/>");
    set_contact("alice@example.org", "bob@example.org", ROSTER_PENDING_IN);
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    out = probe(BOB, "alice@example.org");
    assert_string_equal(out,
            "ROUTE volatile 0 <presence from='alice@example.org' to='bob@example.org/pc' "
            "type='unsubscribed'/>\n");
    out = probe(BOB, "nobody@example.org");
    assert_seen(out, "from='nobody@example.org' to='bob@example.org/pc' type='unsubscribed'/>");
    assert_seen(probe(DESK, "alice@example.org"), "DELIVER e1 desk volatile <presence");
}

/* Its contacts would drop it for good, though an operator may switch it on again. */
static void a_disabled_account_answers_no_probe(void **state)
{
    (void)state;
    fake.accounts[0].row.state = ACCOUNT_DISABLED;
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    assert_string_equal(probe(BOB, "alice@example.org"), "");
}

static void directed_presence_is_routed_and_ends_with_the_session(void **state) /* §4.6 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    fake_clear();
    send_presence("e1", 2, ALICE, "bob@example.org", STANZA_TYPE_NONE);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 pc volatile <presence from='alice@example.org/phone'");
    assert_seen(out, "PRESENCE alice@example.org  16");
    assert_seen(probe(BOB, "alice@example.org"), "from='alice@example.org/phone'");
    fake_close("e1", ALICE);
    assert_seen(fake_take_out(),
            "DELIVER e2 pc volatile <presence from='alice@example.org/phone' type='unavailable'/>");
}

static void directed_presence_taken_back_is_not_repeated(void **state)
{
    (void)state;
    set_contact("alice@example.org", "carol@example.org", ROSTER_FROM);
    memset(fake.is_foreign, true, sizeof(fake.is_foreign)); /* everybody else lives elsewhere */
    fake_login("e1", ALICE, 0);
    send_presence("e1", 2, ALICE, "bob@example.org", STANZA_TYPE_NONE);
    send_presence("e1", 3, ALICE, "bob@example.org", STANZA_TYPE_UNAVAILABLE);
    send_presence("e1", 4, ALICE, "carol@example.org", STANZA_TYPE_NONE); /* sees it anyway */
    fake_clear();
    fake_close("e1", ALICE);
    assert_seen(fake_take_out(), "ROUTE-MANY carol@example.org <presence");
}

static void a_session_may_be_visible_to_some_without_being_available(void **state)
{
    (void)state;
    set_contact("alice@example.org", "bob@example.org", ROSTER_FROM);
    fake_login("e2", BOB, 0);
    fake_bind("e1", "alice@example.org", "phone");
    send_presence("e1", 1, ALICE, "bob@example.org", STANZA_TYPE_NONE);
    fake_clear();
    fake_close("e1", ALICE);
    assert_seen(fake_take_out(),
            "DELIVER e2 pc volatile <presence from='alice@example.org/phone' "
            "type='unavailable'/>");
}

static void directed_presence_is_limited(void **state) /* C36 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    for (uint32_t i = 0; i < 3; i++) {
        char to[32];
        (void)snprintf(to, sizeof(to), "a%u@example.org", i);
        send_presence("e1", 2 + i, ALICE, to, STANZA_TYPE_NONE);
    }
    fake_clear();
    send_presence("e1", 5, ALICE, "a1@example.org", STANZA_TYPE_NONE);
    assert_not_seen(fake_take_out(), "<not-acceptable");
    send_presence("e1", 6, ALICE, "more@example.org", STANZA_TYPE_NONE);
    assert_seen(fake_take_out(), "<not-acceptable");
}

/* The home died before it worked off the initial presence: the edge announces it, then repeats it.
 */
static void an_initial_presence_that_is_repeated_is_still_initial(void **state)
{
    (void)state;
    set_contact("alice@example.org", "bob@example.org", ROSTER_TO);
    fake.is_foreign[shard_of(NULL, STR("bob@example.org"))] = true;
    struct id128 id = id128_random();
    fake_know_session(id, "phone");
    Wire__Id session = WIRE_ID_INIT(id);
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(STR(ALICE));
    announce.is_available = true;
    entity_on_announce(fake.router.entities, "e1", &announce);
    send_presence("e1", 1, ALICE, "", STANZA_TYPE_NONE);
    assert_seen(fake_take_out(), "type='probe'");
}

static void oversized_presence_is_refused(void **state)
{
    (void)state;
    static char big[20000];
    memset(big, 'a', sizeof(big));
    fake_bind("e1", "alice@example.org", "phone");
    struct stanza presence = fake_presence(ALICE, STANZA_TYPE_NONE, 0);
    presence.children = str_from(big, sizeof(big));
    fake_clear();
    fake_input("e1", 1, &presence);
    assert_seen(fake_take_out(), "<not-acceptable");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_start, fake_stop)

/* XEP-0191 §3.3, §3.4: who is blocked sees nobody, and the present again afterwards. */
static void a_blocked_contact_sees_nothing_any_more(void **state)
{
    (void)state;
    set_contact("alice@example.org", "bob@example.org", ROSTER_FROM);
    set_contact("alice@example.org", "dave@example.org", ROSTER_FROM);
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    struct stanza iq = fake_iq(ALICE, "", STANZA_TYPE_SET, NS_BLOCKING, "block");
    iq.children = STR("<block xmlns='urn:xmpp:blocking'><item jid='bob@example.org'/></block>");
    fake_clear();
    fake_input("e1", 2, &iq);
    assert_seen(fake_take_out(),
            "DELIVER e2 pc volatile <presence from='alice@example.org/phone' to='bob@example.org' "
            "type='unavailable'/>");
    send_presence("e1", 3, ALICE, "", STANZA_TYPE_NONE);
    assert_not_seen(fake_take_out(), "DELIVER e2");
    send_presence("e2", 2, BOB, "alice@example.org", STANZA_TYPE_PROBE);
    assert_not_seen(fake_take_out(), "DELIVER e2");
    iq.payload_name = STR("unblock");
    iq.children = STR("<unblock xmlns='urn:xmpp:blocking'/>");
    fake_input("e1", 4, &iq);
    assert_seen(fake_take_out(),
            "DELIVER e2 pc volatile <presence from='alice@example.org/phone' to='bob@example.org'/>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(presence_reaches_all_own_sessions),
        TEST(initial_presence_tells_subscribers_and_probes_contacts),
        TEST(a_session_that_goes_without_a_word_is_unavailable_once),
        TEST(probes_are_answered_for_subscribers_only),
        TEST(a_disabled_account_answers_no_probe),
        TEST(directed_presence_is_routed_and_ends_with_the_session),
        TEST(directed_presence_taken_back_is_not_repeated),
        TEST(a_session_may_be_visible_to_some_without_being_available),
        TEST(directed_presence_is_limited),
        TEST(an_initial_presence_that_is_repeated_is_still_initial),
        TEST(oversized_presence_is_refused),
        TEST(a_blocked_contact_sees_nothing_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

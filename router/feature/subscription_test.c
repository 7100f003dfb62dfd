/* RFC 6121 §3: what each subscription stanza stores, tells and sends on. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/pc"

static uint32_t counters[2];

static const char *send_raw(const char *from, const char *to, enum stanza_type type)
{
    bool is_alice = from[0] == 'a';
    struct stanza stanza = fake_presence(from, type, 0);
    stanza.to = str_from_cstr(to);
    stanza.id = STR("s1");
    fake_clear();
    fake_input(is_alice ? "e1" : "e2", ++counters[is_alice ? 0 : 1], &stanza);
    return fake_take_out();
}

static const char *alice(enum stanza_type type)
{
    return send_raw(ALICE, "bob@example.org", type);
}

static const char *bob(enum stanza_type type)
{
    return send_raw(BOB, "alice@example.org", type);
}

static void get_roster(const char *edge, const char *full, uint32_t *counter)
{
    struct stanza iq = fake_iq(full, "", STANZA_TYPE_GET, NS_ROSTER, "query");
    fake_input(edge, ++*counter, &iq);
}

static int start(void **state)
{
    int result = fake_start(state);
    fake.settings.quotas[QUOTA_SUBSCRIPTIONS] = quota_limit_in(20, 3600000);
    counters[0] = counters[1] = 1;
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    get_roster("e1", ALICE, &counters[0]);
    get_roster("e2", BOB, &counters[1]);
    return result;
}

static unsigned flags_of(const char *owner, const char *contact)
{
    const struct entity *entity = entity_find(fake.router.entities, str_from_cstr(owner));
    assert_non_null(entity);
    return roster_flags(&entity->roster, str_from_cstr(contact));
}

static void assert_states(unsigned alice_flags, unsigned bob_flags)
{
    unsigned seen = flags_of("alice@example.org", "bob@example.org");
    assert_int_equal(seen & ~(unsigned)ROSTER_LISTED, alice_flags);
    seen = flags_of("bob@example.org", "alice@example.org");
    assert_int_equal(seen & ~(unsigned)ROSTER_LISTED, bob_flags);
}

static void a_request_is_kept_pushed_and_shown(void **state) /* §3.1 */
{
    (void)state;
    const char *out = alice(STANZA_TYPE_SUBSCRIBE);
    assert_before(out, "SAVE 1 put", "ask='subscribe'");
    assert_before(out, "SAVE 1 put", "SAVE 2 put");
    assert_before(out,
            "SAVE 2 put",
            "DELIVER e2 pc volatile <presence from='alice@example.org' to='bob@example.org' "
            "type='subscribe' id='s1'/>");
    assert_before(out, "DELIVER e2 pc", "HANDLED e1 phone"); /* P1: behind both commits */
    assert_not_seen(out, "DELIVER e2 pc volatile <iq");      /* no push of what only waits */
    assert_states(ROSTER_PENDING_OUT, ROSTER_PENDING_IN);
    out = alice(STANZA_TYPE_SUBSCRIBE);
    assert_not_seen(out, "DELIVER e2"); /* one for each pair at a time, C12 */
    assert_not_seen(out, "SAVE");
}

static void an_approval_comes_before_the_push_and_shows_presence(void **state) /* §3.1.5, §3.1.6 */
{
    (void)state;
    (void)alice(STANZA_TYPE_SUBSCRIBE);
    const char *out = bob(STANZA_TYPE_SUBSCRIBED);
    assert_seen(out, "DELIVER e2 pc volatile <iq to='bob@example.org/pc' type='set'");
    assert_seen(out, "<item jid='alice@example.org' subscription='from'/>");
    assert_before(out, "type='subscribed'", "<item jid='bob@example.org' subscription='to'/>");
    assert_before(out,
            "type='subscribed'",
            "<presence from='bob@example.org/pc' to='alice@example.org'/>");
    assert_states(ROSTER_TO, ROSTER_FROM);
}

static void make_mutual(void)
{
    (void)alice(STANZA_TYPE_SUBSCRIBE);
    (void)bob(STANZA_TYPE_SUBSCRIBED);
    (void)bob(STANZA_TYPE_SUBSCRIBE);
    (void)alice(STANZA_TYPE_SUBSCRIBED);
    assert_states(ROSTER_TO | ROSTER_FROM, ROSTER_TO | ROSTER_FROM);
}

static void a_cancelled_subscription_hides_presence(void **state) /* §3.2 */
{
    (void)state;
    make_mutual();
    const char *out = bob(STANZA_TYPE_UNSUBSCRIBED);
    assert_before(out, "type='unsubscribed'", "<item jid='bob@example.org' subscription='from'/>");
    assert_seen(
            out, "<presence from='bob@example.org/pc' to='alice@example.org' type='unavailable'/>");
    assert_states(ROSTER_FROM, ROSTER_TO);
}

static void unsubscribing_hides_the_other_ones_presence(void **state) /* §3.3 */
{
    (void)state;
    make_mutual();
    const char *out = alice(STANZA_TYPE_UNSUBSCRIBE);
    assert_before(out, "type='unsubscribe'", "<item jid='alice@example.org' subscription='to'/>");
    assert_seen(
            out, "<presence from='bob@example.org/pc' to='alice@example.org' type='unavailable'/>");
    assert_states(ROSTER_FROM, ROSTER_TO);
}

static void removing_a_contact_ends_both_subscriptions(void **state) /* §2.5.2 */
{
    (void)state;
    make_mutual();
    struct stanza iq = fake_iq(ALICE, "", STANZA_TYPE_SET, NS_ROSTER, "query");
    iq.children = STR("<query xmlns='jabber:iq:roster'>"
                      "<item jid='bob@example.org' subscription='remove'/></query>");
    fake_clear();
    fake_input("e1", ++counters[0], &iq);
    const char *out = fake_take_out();
    assert_seen(out, "<item jid='bob@example.org' subscription='remove'/>");
    assert_seen(
            out, "<presence from='alice@example.org' to='bob@example.org' type='unsubscribe'/>");
    assert_seen(
            out, "<presence from='alice@example.org' to='bob@example.org' type='unsubscribed'/>");
    assert_seen(out,
            "<presence from='alice@example.org/phone' to='bob@example.org' type='unavailable'/>");
    assert_before(out, "type='unsubscribe'", "HANDLED");
    assert_states(0, 0);
}

static void a_request_waits_for_login_until_it_is_answered(void **state) /* §3.1.3 */
{
    (void)state;
    fake_close("e2", BOB);
    (void)alice(STANZA_TYPE_SUBSCRIBE);
    for (int i = 0; i < 2; i++) {
        entity_drop_shard(fake.router.entities, shard_of(NULL, STR("bob@example.org")));
        fake_clear();
        fake_login("e2", BOB, -1);
        const char *out = fake_take_out();
        assert_seen(out,
                "DELIVER e2 pc volatile <presence from='alice@example.org' to='bob@example.org' "
                "type='subscribe' id='s1'/>");
        struct stanza away = fake_presence(BOB, STANZA_TYPE_NONE, 0);
        fake_clear();
        fake_input("e2", 2, &away); /* no initial one */
        assert_not_seen(fake_take_out(), "subscribe");
        fake_close("e2", BOB);
    }
    counters[1] = 1;
    fake_login("e2", BOB, 0);
    (void)bob(STANZA_TYPE_UNSUBSCRIBED);
    fake_close("e2", BOB);
    fake_clear();
    fake_login("e2", BOB, 0);
    assert_not_seen(fake_take_out(), "subscribe");
    assert_states(0, 0);
}

static void whoever_is_subscribed_or_approved_is_answered_at_once(void **state) /* §3.1.3, §3.4 */
{
    (void)state;
    const char *out = bob(STANZA_TYPE_SUBSCRIBED);
    assert_seen(out, "<item jid='alice@example.org' subscription='none' approved='true'/>");
    assert_not_seen(out, "DELIVER e1");
    out = alice(STANZA_TYPE_SUBSCRIBE);
    assert_not_seen(out, "DELIVER e2 pc volatile <presence"); /* nobody is asked */
    assert_seen(out,
            "DELIVER e1 phone volatile <presence from='bob@example.org' "
            "to='alice@example.org' type='subscribed'/>");
    assert_states(ROSTER_TO, ROSTER_FROM);
    out = alice(STANZA_TYPE_SUBSCRIBE); /* lost its own state, perhaps */
    assert_not_seen(out, "SAVE");
    assert_not_seen(out, "DELIVER e2");
}

static void nobody_tells_whether_an_account_exists(void **state) /* C09 */
{
    (void)state;
    fake_close("e2", BOB);
    const char *out = send_raw(ALICE, "bob@example.org", STANZA_TYPE_SUBSCRIBE);
    assert_not_seen(out, "DELIVER e1 phone volatile <presence");
    assert_seen(out, "HANDLED e1 phone");
    out = send_raw(ALICE, "nobody@example.org", STANZA_TYPE_SUBSCRIBE);
    assert_not_seen(out, "DELIVER e1 phone volatile <presence");
    assert_seen(out, "HANDLED e1 phone");
    assert_int_equal(flags_of("alice@example.org", "nobody@example.org"),
            ROSTER_PENDING_OUT | ROSTER_LISTED);
}

static void unsolicited_stanzas_change_nothing(void **state) /* D23 */
{
    (void)state;
    static const enum stanza_type types[] = { STANZA_TYPE_UNSUBSCRIBE };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const char *out = alice(types[i]);
        assert_not_seen(out, "SAVE");
        assert_not_seen(out, "DELIVER e2");
    }
    /* From a server that does not keep the rules. */
    static const struct origin origin = { .session = { 7, 7 }, .counter = 1 };
    struct stanza forged = fake_presence("bob@example.org", STANZA_TYPE_SUBSCRIBED, 0);
    forged.to = STR("alice@example.org");
    fake_clear();
    entity_on_route(fake.router.entities, &origin, &forged, NULL, NULL);
    fake_run();
    assert_string_equal(fake_take_out(), "");
    assert_states(0, 0);
}

static void requests_are_limited(void **state) /* C12 */
{
    (void)state;
    fake.settings.quotas[QUOTA_SUBSCRIPTIONS] = quota_limit_in(2, 3600000);
    (void)alice(STANZA_TYPE_SUBSCRIBE);
    (void)alice(STANZA_TYPE_SUBSCRIBE);
    assert_seen(alice(STANZA_TYPE_SUBSCRIBE), "<policy-violation");
    fake_advance(3600000);
    assert_not_seen(alice(STANZA_TYPE_SUBSCRIBE), "<policy-violation");
    fake.settings.roster_max_items = 1;
    assert_seen(send_raw(ALICE, "x@example.org", STANZA_TYPE_SUBSCRIBE),
            "<resource-constraint"); /* C11 */
}

static void strangers_cannot_fill_a_roster(void **state)
{
    (void)state;
    fake.settings.roster_max_items = 2;
    for (int i = 0; i < 4; i++) {
        char from[32];
        (void)snprintf(from, sizeof(from), "spam%d@example.org", i);
        struct stanza request = fake_presence(from, STANZA_TYPE_SUBSCRIBE, 0);
        struct origin origin = { .session = { 9, (uint64_t)i }, .counter = 1 };
        request.to = STR("bob@example.org");
        entity_on_route(fake.router.entities, &origin, &request, NULL, NULL);
        fake_run();
    }
    const struct entity *entity = entity_find(fake.router.entities, STR("bob@example.org"));
    assert_int_equal(HASH_COUNT(entity->roster.items), 2);
}

static void an_own_address_and_the_server_are_no_contacts(void **state)
{
    (void)state;
    const char *out = send_raw(ALICE, "alice@example.org", STANZA_TYPE_SUBSCRIBE);
    assert_not_seen(out, "SAVE");
    out = send_raw(ALICE, "example.org", STANZA_TYPE_SUBSCRIBE);
    assert_not_seen(out, "SAVE");
    out = send_raw(ALICE, "romeo@remote.example", STANZA_TYPE_SUBSCRIBE);
    assert_seen(out, "<remote-server-not-found");
    assert_not_seen(out, "SAVE");
    out = send_raw(ALICE, "", STANZA_TYPE_SUBSCRIBE);
    assert_seen(out, "<bad-request");
}

static void a_full_address_means_the_bare_one(void **state) /* §3.1.2 */
{
    (void)state;
    const char *out = send_raw(ALICE, BOB, STANZA_TYPE_SUBSCRIBE);
    assert_seen(out, "<presence from='alice@example.org' to='bob@example.org' type='subscribe'");
}

/* The home died behind the commit: the edge repeats, nothing changes, nothing is lost. */
static void a_repeat_has_its_effects_again(void **state)
{
    (void)state;
    (void)alice(STANZA_TYPE_SUBSCRIBE);
    (void)bob(STANZA_TYPE_SUBSCRIBED);
    struct id128 session = fake_session("pc");
    static struct stanza repeat;
    repeat = fake_presence("bob@example.org", STANZA_TYPE_SUBSCRIBED, 0);
    repeat.to = STR("alice@example.org");
    struct origin origin = { .session = session, .counter = counters[1] };
    fake_clear();
    entity_on_route(fake.router.entities, &origin, &repeat, NULL, NULL);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e1 phone volatile <presence from='bob@example.org'");
    assert_not_seen(out, "SAVE");
    assert_states(ROSTER_TO, ROSTER_FROM);
}

static void a_store_that_is_away_changes_nothing(void **state) /* G01 */
{
    (void)state;
    fake.is_store_down = true;
    const char *out = alice(STANZA_TYPE_SUBSCRIBE);
    assert_seen(out, "<internal-server-error");
    assert_not_seen(out, "DELIVER e2");
    fake.is_store_down = false;
    for (int i = 0; i < 5; i++) {
        fake_advance(1000);
    }
    assert_states(0, 0);
    assert_seen(alice(STANZA_TYPE_SUBSCRIBE), "DELIVER e2 pc");
}

/* The contact's home cannot keep the request: the client learns it and may ask again. */
static void a_contacts_store_that_is_away_is_told(void **state)
{
    (void)state;
    fake.failing_owner = 2;
    const char *out = alice(STANZA_TYPE_SUBSCRIBE);
    assert_not_seen(out, "DELIVER e2");
    assert_seen(out,
            "DELIVER e1 phone volatile <presence from='bob@example.org' "
            "to='alice@example.org' type='error'");
    assert_before(out, "<internal-server-error", "HANDLED e1 phone");
    fake.failing_owner = 0;
    fake_advance(1000);
    assert_seen(alice(STANZA_TYPE_SUBSCRIBE), "DELIVER e2 pc");
    assert_states(ROSTER_PENDING_OUT, ROSTER_PENDING_IN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fake_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_kept_pushed_and_shown),
        TEST(an_approval_comes_before_the_push_and_shows_presence),
        TEST(a_cancelled_subscription_hides_presence),
        TEST(unsubscribing_hides_the_other_ones_presence),
        TEST(removing_a_contact_ends_both_subscriptions),
        TEST(a_request_waits_for_login_until_it_is_answered),
        TEST(whoever_is_subscribed_or_approved_is_answered_at_once),
        TEST(nobody_tells_whether_an_account_exists),
        TEST(unsolicited_stanzas_change_nothing),
        TEST(requests_are_limited),
        TEST(strangers_cannot_fill_a_roster),
        TEST(an_own_address_and_the_server_are_no_contacts),
        TEST(a_full_address_means_the_bare_one),
        TEST(a_repeat_has_its_effects_again),
        TEST(a_store_that_is_away_changes_nothing),
        TEST(a_contacts_store_that_is_away_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

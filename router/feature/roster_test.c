/* RFC 6121 §2: what a client may do to its roster, and what comes of it. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define DESK  "alice@example.org/desk"

static struct stanza roster_iq(const char *from, enum stanza_type type, const char *children)
{
    struct stanza iq = fake_iq(from, "", type, NS_ROSTER, "query");
    iq.children = str_from_cstr(children);
    return iq;
}

static const char *get(const char *edge, uint32_t counter, const char *from, const char *ver)
{
    char xml[128];
    (void)snprintf(xml, sizeof(xml), "<query xmlns='jabber:iq:roster'%s/>", ver);
    struct stanza iq = roster_iq(from, STANZA_TYPE_GET, xml);
    fake_clear();
    fake_input(edge, counter, &iq);
    return fake_take_out();
}

static const char *set(uint32_t counter, const char *item)
{
    static char xml[4096];
    (void)snprintf(xml, sizeof(xml), "<query xmlns='jabber:iq:roster'>%s</query>", item);
    struct stanza iq = roster_iq(ALICE, STANZA_TYPE_SET, xml);
    fake_clear();
    fake_input("e1", counter, &iq);
    return fake_take_out();
}

static void an_item_is_stored_pushed_and_answered_in_this_order(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", DESK, 0);
    fake_login("e2", "alice@example.org/old", 0);
    (void)get("e1", 2, ALICE, "");
    (void)get("e2", 2, DESK, "");
    const char *out = set(3, "<item jid='Bob@Example.org' name='B'><group>F</group></item>");
    assert_before(out, "SAVE 1 put", "DELIVER e1 phone volatile <iq to='alice@example.org/phone'");
    assert_seen(out, "DELIVER e2 desk volatile <iq to='alice@example.org/desk' type='set'");
    assert_seen(out,
            "<item jid='bob@example.org' subscription='none' name='B'><group>F</group></item>");
    assert_not_seen(out, "DELIVER e2 old"); /* has not asked for the roster */
    assert_before(out, "SAVE 1 put", "type='result'");
    assert_before(out, "type='result'", "HANDLED e1 phone 3"); /* P1 */
    out = get("e1", 4, ALICE, "");
    assert_seen(out, "<query xmlns='jabber:iq:roster'><item jid='bob@example.org'");
}

static void the_store_sees_no_address_and_no_name(void **state) /* N1 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    (void)set(2, "<item jid='bob@example.org' name='Robert'><group>Friends</group></item>");
    assert_int_equal(fake_count_rows(1), 1);
    for (size_t i = 0; i < fake.row_count; i++) {
        struct str item = buf_view(&fake.rows[i].item);
        struct str contact = buf_view(&fake.rows[i].contact);
        assert_null(memmem(item.ptr, item.len, "bob", 3));
        assert_null(memmem(item.ptr, item.len, "Robert", 6));
        assert_null(memmem(item.ptr, item.len, "Friends", 7));
        assert_true(contact.len == 0 || !memmem(contact.ptr, contact.len, "bob", 3));
    }
}

static void a_roster_outlives_its_entity(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    (void)set(2, "<item jid='bob@example.org'/>");
    (void)set(3, "<item jid='carol@example.org'/>");
    (void)set(4, "<item jid='carol@example.org' subscription='remove'/>");
    entity_drop_shard(fake.router.entities, shard_of(NULL, STR("alice@example.org")));
    fake_login("e1", ALICE, 0);
    const char *out = get("e1", 2, ALICE, "");
    assert_seen(out, "<item jid='bob@example.org' subscription='none'/>");
    assert_not_seen(out, "carol");
}

static void a_current_version_gets_an_empty_result(void **state) /* §2.6 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    const char *out = get("e1", 2, ALICE, " ver=''");
    assert_seen(out, "<query xmlns='jabber:iq:roster' ver='0'></query>");
    out = set(3, "<item jid='bob@example.org'/>");
    char ver[64] = " ";
    const char *at = strstr(out, "ver='");
    assert_non_null(at);
    size_t len = strcspn(at + 5, "'");
    (void)snprintf(ver, sizeof(ver), " %.*s", (int)len + 6, at);
    out = get("e1", 4, ALICE, ver);
    assert_seen(out, "type='result'");
    assert_not_seen(out, "<query");
    (void)set(5, "<item jid='carol@example.org'/>");
    (void)set(6, "<item jid='bob@example.org' subscription='remove'/>");
    out = get("e1", 7, ALICE, ver); /* what was missed, in order, behind an empty result */
    assert_before(out, "type='result'", "<item jid='carol@example.org' subscription='none'/>");
    assert_before(out, "carol@example.org", "<item jid='bob@example.org' subscription='remove'/>");
    assert_before(out, "type='set'", "<query xmlns='jabber:iq:roster' ver='");
    out = get("e1", 8, ALICE, " ver='x'"); /* nothing of ours: everything */
    assert_before(out, "type='result'", "<item jid='carol@example.org'");
    assert_not_seen(out, "type='set'");
    assert_seen(get("e1", 9, ALICE, " ver='9999999999999999'"), "carol@example.org");
}

/* Pushes that are due go to who asked, and to nobody else. */
static void only_the_session_that_asked_gets_what_it_missed(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", "alice@example.org/desk", 0);
    (void)get("e1", 2, ALICE, "");
    (void)set(3, "<item jid='bob@example.org'/>");
    const char *out = get("e2", 2, "alice@example.org/desk", " ver='0'");
    assert_seen(out, "DELIVER e2 desk volatile <iq to='alice@example.org/desk' type='set'");
    assert_not_seen(out, "DELIVER e1");
}

static void removing_an_item_ends_it(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    (void)get("e1", 2, ALICE, "");
    (void)set(3, "<item jid='bob@example.org'/>");
    const char *out = set(4, "<item jid='bob@example.org' subscription='remove'/>");
    assert_before(out, "SAVE 1 remove", "<item jid='bob@example.org' subscription='remove'/>");
    assert_seen(out, "type='result'");
    out = set(5, "<item jid='bob@example.org' subscription='remove'/>");
    assert_seen(out, "<item-not-found");
    assert_int_equal(fake_count_rows(1), 0);
}

static void bad_sets_change_nothing(void **state) /* C10 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    static const struct {
        const char *item;
        const char *condition;
    } cases[] = {
        { "", "<bad-request" },
        { "<item jid='a@example.org'/><item jid='b@example.org'/>", "<bad-request" },
        { "<item/>", "<bad-request" },
        { "<item jid='@@'/>", "<bad-request" },
        { "<item jid='alice@example.org'/>", "<bad-request" },
        { "<item jid='a@b'><group>X</group><group>X</group></item>", "<bad-request" },
        { "<item jid='a@b'><group/></item>", "<not-acceptable" },
        { "<item jid='a@b' name='123456789012345678901234567890123'/>", "<not-acceptable" },
        { "<item jid='a@b'><group>123456789012345678901234567890123</group></item>",
                "<not-acceptable" },
        { "<item jid='a@b'><group>1</group><group>2</group><group>3</group><group>4</group></item>",
                "<not-acceptable" },
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *out = set(2 + i, cases[i].item);
        assert_seen(out, cases[i].condition);
        assert_not_seen(out, "SAVE");
    }
}

static void a_client_cannot_set_what_is_the_servers(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    (void)get("e1", 2, ALICE, "");
    const char *out =
            set(3, "<item jid='a@b' subscription='both' ask='subscribe' approved='true'/>");
    assert_seen(out, "<item jid='a@b' subscription='none'/>");
}

static void a_full_roster_is_refused_but_items_in_it_change(void **state) /* C11 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    for (uint32_t i = 0; i < 4; i++) {
        char item[64];
        (void)snprintf(item, sizeof(item), "<item jid='a%u@example.org'/>", i);
        assert_seen(set(2 + i, item), "type='result'");
    }
    const char *out = set(6, "<item jid='a9@example.org'/>");
    assert_seen(out, "<resource-constraint");
    assert_not_seen(out, "SAVE");
    assert_seen(set(7, "<item jid='a1@example.org' name='x'/>"), "type='result'");
}

static void texts_of_a_roster_are_limited_together(void **state) /* C11 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.settings.roster_max_bytes = 60;
    assert_seen(set(2, "<item jid='a1@example.org' name='12345678901234567890'/>"), "'result'");
    assert_seen(set(3, "<item jid='a2@example.org' name='12345678901234567890'/>"),
            "<resource-constraint");
    assert_seen(set(4, "<item jid='a2@example.org'/>"), "'result'");
    assert_seen(set(5, "<item jid='a1@example.org' name='1234567890'/>"), "'result'");
    assert_seen(set(6, "<item jid='a2@example.org' name='1234567890'/>"), "'result'");
}

static void a_store_that_is_away_is_a_retryable_error(void **state) /* G01 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    (void)get("e1", 2, ALICE, "");
    fake.is_store_down = true;
    const char *out = set(3, "<item jid='bob@example.org'/>");
    assert_seen(out, "<error type='wait'");
    assert_not_seen(out, "type='set'");
    fake.is_store_down = false;
    fake_advance(1000);
    fake_advance(1000);
    out = get("e1", 4, ALICE, "");
    assert_seen(out, "<query xmlns='jabber:iq:roster'></query>");
    assert_seen(set(5, "<item jid='bob@example.org'/>"), "type='result'");
}

static void a_fenced_change_is_left_to_the_next_home(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.is_fenced = true;
    const char *out = set(2, "<item jid='bob@example.org'/>");
    assert_seen(out, "FENCED");
    assert_not_seen(out, "type='result'");
    assert_not_seen(out, "HANDLED");
}

static void strangers_are_forbidden_account_or_not(void **state) /* C13, C09 */
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_login("e2", "bob@example.org/pc", 0);
    static const char *const targets[] = { "bob@example.org", "nobody@example.org" };
    for (uint32_t i = 0; i < 2; i++) {
        struct stanza push = roster_iq(ALICE,
                STANZA_TYPE_SET,
                "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>");
        push.to = str_from_cstr(targets[i]);
        fake_clear();
        fake_input("e1", 2 + i, &push);
        const char *out = fake_take_out();
        assert_seen(out, "<forbidden");
        assert_not_seen(out, "DELIVER e2");
    }
    struct stanza push = roster_iq(
            ALICE, STANZA_TYPE_SET, "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>");
    push.to = STR("bob@example.org/pc");
    fake_clear();
    fake_input("e1", 4, &push);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 pc volatile <iq from='alice@example.org/phone'");
    assert_not_seen(out, "SAVE");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_start, fake_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_item_is_stored_pushed_and_answered_in_this_order),
        TEST(the_store_sees_no_address_and_no_name),
        TEST(a_roster_outlives_its_entity),
        TEST(a_current_version_gets_an_empty_result),
        TEST(only_the_session_that_asked_gets_what_it_missed),
        TEST(removing_an_item_ends_it),
        TEST(bad_sets_change_nothing),
        TEST(a_client_cannot_set_what_is_the_servers),
        TEST(a_full_roster_is_refused_but_items_in_it_change),
        TEST(texts_of_a_roster_are_limited_together),
        TEST(a_store_that_is_away_is_a_retryable_error),
        TEST(a_fenced_change_is_left_to_the_next_home),
        TEST(strangers_are_forbidden_account_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0054. */
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/pc"

static uint32_t counters[2];

static int start(void **state)
{
    int result = fake_start(state);
    fake_login("e1", ALICE, 0);
    fake_login("e2", BOB, 0);
    counters[0] = counters[1] = 1;
    return result;
}

static const char *ask(const char *edge, const char *from, const char *to, const char *vcard)
{
    enum stanza_type type = vcard ? STANZA_TYPE_SET : STANZA_TYPE_GET;
    struct stanza iq = fake_iq(from, to, type, NS_VCARD, "vCard");
    iq.children = str_from_cstr(vcard ? vcard : "<vCard xmlns='vcard-temp'/>");
    fake_clear();
    fake_input(edge, ++counters[edge[1] - '1'], &iq);
    return fake_take_out();
}

#define CARD "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>"

static void a_card_is_kept_and_shown(void **state)
{
    (void)state;
    assert_seen(ask("e1", ALICE, "", NULL), "<item-not-found");
    assert_seen(ask("e2", BOB, "alice@example.org", NULL), "<service-unavailable");
    assert_before(ask("e1", ALICE, "", CARD), "DATA 1 2 " CARD, "type='result'");
    assert_seen(ask("e1", ALICE, "", NULL), CARD);
    assert_seen(ask("e2", BOB, "alice@example.org", NULL), CARD);
    fake.settings.vcard_is_public = false;
    assert_seen(ask("e2", BOB, "alice@example.org", NULL), "<service-unavailable");
    assert_seen(ask("e1", ALICE, "alice@example.org", NULL), CARD);
    (void)ask("e1", ALICE, "", "<vCard xmlns='vcard-temp'/>");
    assert_seen(ask("e1", ALICE, "", NULL), "<item-not-found");
}

static void nobody_changes_anothers(void **state)
{
    (void)state;
    assert_seen(ask("e2", BOB, "alice@example.org", CARD), "<forbidden");
    assert_seen(ask("e2", BOB, "nobody@example.org", CARD), "<forbidden"); /* C09: the same */
    assert_seen(ask("e1", ALICE, "", NULL), "<item-not-found");
}

static void limits_hold(void **state) /* C37 */
{
    (void)state;
    char big[1200] = "<vCard xmlns='vcard-temp'><FN>";
    size_t len = strlen(big);
    memset(big + len, 'a', 1100 - len);
    memcpy(big + 1100, "</FN></vCard>", 14);
    const char *out = ask("e1", ALICE, "", big);
    assert_seen(out, "<not-acceptable");
    assert_not_seen(out, "DATA");
    struct buf many;
    buf_init(&many, 0);
    buf_append_literal(&many, "<vCard xmlns='vcard-temp'>");
    for (int i = 0; i < 1001; i++) {
        buf_append_literal(&many, "<a/>");
    }
    buf_append_literal(&many, "</vCard>");
    buf_append_char(&many, '\0');
    assert_seen(ask("e1", ALICE, "", many.data), "<not-acceptable");
    buf_fini(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_card_is_kept_and_shown, start, fake_stop),
        cmocka_unit_test_setup_teardown(nobody_changes_anothers, start, fake_stop),
        cmocka_unit_test_setup_teardown(limits_hold, start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Items of a contact list: list, stored form, XML. */
#include "router/entity/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct roster_item nurse = {
    .jid = { "nurse@example.org", 17 },
    .name = { "Nurse <3", 8 },
    .groups = { "Servants\0Old & wise\0", 20 },
    .flags = ROSTER_LISTED | ROSTER_TO | ROSTER_PENDING_IN,
    .request = { "packed", 6 },
    .origin = { .session = { 1, 2 }, .counter = 3, .part = 4 },
};

static void items_are_found_replaced_and_removed(void **state)
{
    (void)state;
    struct roster roster = { .items = NULL };
    roster_put(&roster, roster_item_create(&nurse));
    assert_int_equal(roster.listed, 1);
    assert_int_equal(roster.bytes, 17 + 8 + 20);
    assert_int_equal(roster_flags(&roster, nurse.jid), nurse.flags);
    assert_int_equal(roster_flags(&roster, STR("romeo@example.org")), 0);
    struct roster_item hidden = { .jid = nurse.jid, .flags = ROSTER_PENDING_IN };
    roster_put(&roster, roster_item_create(&hidden));
    assert_int_equal(roster.listed, 0);
    assert_int_equal(roster.bytes, 0);
    assert_int_equal(roster_find(&roster, nurse.jid)->name.len, 0);
    struct roster_item gone = { .jid = nurse.jid };
    roster_put(&roster, roster_item_create(&gone));
    assert_null(roster_find(&roster, nurse.jid));
    roster_put(&roster, roster_item_create(&gone)); /* of what is not there */
    roster_put(&roster, roster_item_create(&nurse));
    roster_clear(&roster);
    assert_null(roster.items);
    roster_item_destroy(NULL);
}

static void the_stored_form_keeps_everything(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    roster_item_encode(&out, &nurse);
    struct roster_item *item;
    assert_int_equal(roster_item_decode(buf_view(&out), &item), ERR_OK);
    assert_true(str_equal(item->jid, nurse.jid) && str_equal(item->name, nurse.name));
    assert_true(str_equal(item->groups, nurse.groups) && str_equal(item->request, nurse.request));
    assert_int_equal(item->flags, nurse.flags);
    assert_memory_equal(&item->origin, &nurse.origin, sizeof(nurse.origin));
    roster_item_destroy(item);
    for (size_t len = 0; len < buf_view(&out).len; len++) {
        assert_int_equal(roster_item_decode(str_from(buf_view(&out).ptr, len), &item), ERR_INVALID);
    }
    buf_append_char(&out, 'x');
    assert_int_equal(roster_item_decode(buf_view(&out), &item), ERR_INVALID);
    buf_fini(&out);
}

static void assert_xml(const struct roster_item *item, const char *expected)
{
    struct buf xml;
    buf_init(&xml, 0);
    roster_item_write(&xml, item);
    buf_append_char(&xml, '\0');
    assert_string_equal(buf_view(&xml).ptr, expected);
    buf_fini(&xml);
}

static void clients_see_an_item(void **state)
{
    (void)state;
    assert_xml(&nurse,
            "<item jid='nurse@example.org' subscription='to' name='Nurse &lt;3'>"
            "<group>Servants</group><group>Old &amp; wise</group></item>");
    struct roster_item item = { .jid = STR("a@b"),
        .flags = ROSTER_LISTED | ROSTER_PENDING_OUT | ROSTER_APPROVED };
    assert_xml(&item, "<item jid='a@b' subscription='none' ask='subscribe' approved='true'/>");
    item.flags = 0;
    assert_xml(&item, "<item jid='a@b' subscription='remove'/>");
    assert_string_equal(roster_subscription(ROSTER_FROM | ROSTER_TO), "both");
    assert_string_equal(roster_subscription(ROSTER_FROM), "from");
}

/* ---- RFC 6121 §2.6 */

static void change(struct roster *roster, const char *jid, unsigned flags, int64_t version)
{
    struct roster_item item = { .jid = str_from_cstr(jid), .flags = flags };
    roster_change(roster, roster_item_create(&item), version);
}

/* "+" seen, "-" removed, with versions: what somebody with `version` has missed. */
static const char *missed(const struct roster *roster, int64_t version)
{
    static char text[4096];
    struct roster_delta deltas[ROSTER_MAX_DELTAS];
    size_t count;
    if (!roster_deltas(roster, version, deltas, &count)) {
        return "all";
    }
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(text);
        (void)snprintf(text + len,
                sizeof(text) - len,
                "%s%c" STR_FMT "@%lld",
                i ? " " : "",
                deltas[i].item ? '+' : '-',
                STR_ARG(deltas[i].jid),
                (long long)deltas[i].version);
    }
    return text;
}

static void what_was_missed_is_known_since_it_was_loaded(void **state)
{
    (void)state;
    struct roster roster = { .version = 10, .since = 10 };
    struct roster_item old = { .jid = STR("old"), .flags = ROSTER_LISTED };
    roster_put(&roster, roster_item_create(&old));
    assert_string_equal(missed(&roster, 10), "");
    assert_string_equal(missed(&roster, 9), "all");
    assert_string_equal(missed(&roster, 11), "all");
    change(&roster, "a", ROSTER_LISTED, 20);
    change(&roster, "b", ROSTER_LISTED | ROSTER_TO, 21);
    change(&roster, "stranger", ROSTER_PENDING_IN, 22);
    change(&roster, "old", 0, 23);
    change(&roster, "a", ROSTER_LISTED | ROSTER_FROM, 24);
    assert_string_equal(missed(&roster, 10), "+b@21 -old@23 +a@24");
    assert_string_equal(missed(&roster, 20), "+b@21 -old@23 +a@24");
    assert_string_equal(missed(&roster, 23), "+a@24");
    assert_string_equal(missed(&roster, 24), "");
    /* Clients see no difference between gone and hidden; who comes back is no more removed. */
    change(&roster, "b", ROSTER_PENDING_IN, 25);
    change(&roster, "old", ROSTER_LISTED, 26);
    change(&roster, "stranger", 0, 27);
    assert_string_equal(missed(&roster, 10), "+a@24 -b@25 +old@26");
    change(&roster, "b", 0, 28);
    assert_string_equal(missed(&roster, 25), "+old@26");
    change(&roster, "old", 0, 29);
    assert_string_equal(missed(&roster, 25), "-old@29");
    roster_clear(&roster);
    assert_string_equal(missed(&roster, 1), "all");
}

static void what_is_remembered_has_a_bound(void **state)
{
    (void)state;
    struct roster roster = { .version = 1, .since = 1 };
    char jid[16];
    for (int i = 0; i < ROSTER_MAX_DELTAS; i++) {
        (void)snprintf(jid, sizeof(jid), "c%d", i);
        change(&roster, jid, ROSTER_LISTED, 100 + i);
    }
    assert_string_not_equal(missed(&roster, 1), "all");
    change(&roster, "one more", ROSTER_LISTED, 200);
    assert_string_equal(missed(&roster, 1), "all");
    assert_string_not_equal(missed(&roster, 100), "all");
    for (int i = 0; i < ROSTER_MAX_REMOVED + 1; i++) {
        (void)snprintf(jid, sizeof(jid), "c%d", i);
        change(&roster, jid, 0, 300 + i);
    }
    assert_string_equal(missed(&roster, 299), "all"); /* the first removal is forgotten */
    assert_string_not_equal(missed(&roster, 300), "all");
    assert_int_equal(roster.removed_count, ROSTER_MAX_REMOVED);
    roster_clear(&roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_found_replaced_and_removed),
        cmocka_unit_test(the_stored_form_keeps_everything),
        cmocka_unit_test(clients_see_an_item),
        cmocka_unit_test(what_was_missed_is_known_since_it_was_loaded),
        cmocka_unit_test(what_is_remembered_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

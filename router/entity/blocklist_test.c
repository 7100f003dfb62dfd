/* XEP-0191 §6. */
#include "router/entity/blocklist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool matches(const struct blocklist *list, const char *text)
{
    struct jid jid;
    assert_int_equal(jid_split(str_from_cstr(text), &jid), ERR_OK);
    return blocklist_matches(list, &jid);
}

static void each_form_matches_what_it_names(void **state)
{
    (void)state;
    struct blocklist *list =
            blocklist_create(STR("eve@evil.example\nbob@example.org/pc\nspam.example\n"
                                 "gate.example/bot\n"));
    assert_int_equal(blocklist_count(list), 4);
    assert_true(str_equal(blocklist_at(list, 1), STR("bob@example.org/pc")));
    assert_true(matches(list, "eve@evil.example"));
    assert_true(matches(list, "eve@evil.example/anything"));
    assert_false(matches(list, "evil.example"));
    assert_false(matches(list, "eve@evil.exampl"));
    assert_true(matches(list, "bob@example.org/pc"));
    assert_false(matches(list, "bob@example.org"));
    assert_false(matches(list, "bob@example.org/phone"));
    assert_true(matches(list, "spam.example"));
    assert_true(matches(list, "anybody@spam.example/x"));
    assert_false(matches(list, "sub.spam.example"));
    assert_true(matches(list, "gate.example/bot"));
    assert_false(matches(list, "gate.example"));
    assert_true(blocklist_has(list, STR("spam.example")));
    assert_false(blocklist_has(list, STR("a@spam.example")));
    assert_false(blocklist_has(list, STR_NULL));
    blocklist_destroy(list);
}

static void nothing_is_blocked_by_nothing(void **state)
{
    (void)state;
    assert_null(blocklist_create(STR_NULL));
    assert_null(blocklist_create(STR("\n\n")));
    assert_false(matches(NULL, "a@b"));
    assert_int_equal(blocklist_count(NULL), 0);
    blocklist_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_matches_what_it_names),
        cmocka_unit_test(nothing_is_blocked_by_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

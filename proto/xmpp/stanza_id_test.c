/* XEP-0359: writing ours, removing forged ones (C15). */
#include "proto/xmpp/stanza_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SID(by, id) "<stanza-id xmlns='urn:xmpp:sid:0' by='" by "' id='" id "'/>"

static void test_id_is_the_decimal_number(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    stanza_id_write(&out, STR("a@b"), INT64_C(1234567890123));
    buf_append_char(&out, '\0');
    assert_string_equal(buf_view(&out).ptr, SID("a@b", "1234567890123"));
    buf_fini(&out);
}

static void expect_strip(const char *children, const char *expected)
{
    struct buf out;
    buf_init(&out, 0);
    bool has_removed = stanza_id_strip(&out, str_from_cstr(children), STR("a@b"));
    assert_int_equal(has_removed, expected != NULL);
    if (!has_removed) {
        assert_int_equal(out.len, 0);
    } else {
        buf_append_char(&out, '\0');
        assert_string_equal(buf_view(&out).ptr, expected);
    }
    buf_fini(&out);
}

static void test_all_forged_ids_go_at_any_position(void **state)
{
    (void)state;
    expect_strip(SID("a@b", "1"), "");
    expect_strip(
            SID("a@b", "1") "<body>x</body>" SID("a@b", "2") SID("a@b", "3"), "<body>x</body>");
    expect_strip("<body/>" SID("a@b", "1") "<c><d/></c>", "<body/><c><d/></c>");
    expect_strip("<stanza-id xmlns='urn:xmpp:sid:0' by='a@b'><x>y</x></stanza-id><b/>", "<b/>");
}

static void test_other_spellings_of_our_address_are_forged_too(void **state)
{
    (void)state;
    expect_strip(SID("A@B.", "1") "<b/>", "<b/>");
    expect_strip(SID("\xEF\xBD\x81@b", "1") "<b/>", "<b/>");
}

static void test_other_ids_stay(void **state)
{
    (void)state;
    expect_strip("", NULL);
    expect_strip("<body>stanza-id</body>", NULL);
    expect_strip(SID("room@c", "1"), NULL);
    expect_strip(SID("not a jid &amp; &lt;", "1"), NULL);
    expect_strip("<stanza-id by='a@b' id='1'/>", NULL);
    expect_strip("<x xmlns='y'>" SID("a@b", "1") "</x>", NULL); /* not at the top */
    expect_strip("<x xmlns='y'>" SID("a@b", "1") "</x>" SID("a@b", "1"),
            "<x xmlns='y'>" SID("a@b", "1") "</x>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_is_the_decimal_number),
        cmocka_unit_test(test_all_forged_ids_go_at_any_position),
        cmocka_unit_test(test_other_spellings_of_our_address_are_forged_too),
        cmocka_unit_test(test_other_ids_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

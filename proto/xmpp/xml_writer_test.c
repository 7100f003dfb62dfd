/* Escapes where they belong, and tags. */
#include "proto/xmpp/xml_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect(struct buf *out, const char *expected)
{
    buf_append_char(out, '\0');
    assert_string_equal(buf_view(out).ptr, expected);
    buf_fini(out);
}

static void test_escapes_by_place(void **state)
{
    (void)state;
    struct str text = STR("a&b<c>d'e\"f\tg\nh\ri\x01\x7F\xC3\xA4");
    struct buf out;
    buf_init(&out, 0);
    xml_escape(&out, text);
    expect(&out, "a&amp;b&lt;c&gt;d&apos;e\"f\tg\nh&#13;i\x7F\xC3\xA4");
    xml_escape_attr(&out, text);
    expect(&out, "a&amp;b&lt;c&gt;d&apos;e\"f&#9;g&#10;h&#13;i\x7F\xC3\xA4");
    xml_text(&out, text);
    expect(&out, "a&amp;b&lt;c&gt;d'e\"f\tg\nh&#13;i\x7F\xC3\xA4");
    xml_text(&out, STR_NULL);
    expect(&out, "");
}

static void test_tags_and_attributes(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "a", NULL);
    xml_attr(&out, "b", STR(""));
    xml_attr_opt(&out, "c", STR(""));
    xml_attr_opt(&out, "d", STR("'"));
    xml_end_open(&out);
    xml_text_element(&out, "e", "urn:x", STR("<"));
    xml_text_element(&out, "f", NULL, STR(""));
    xml_open(&out, "g", "h");
    xml_end_empty(&out);
    xml_close(&out, "a");
    expect(&out, "<a b='' d='&apos;'><e xmlns='urn:x'>&lt;</e><f/><g xmlns='h'/></a>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes_by_place),
        cmocka_unit_test(test_tags_and_attributes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

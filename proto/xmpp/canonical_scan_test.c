/* The scanner's tokens, its escapes, and the writer of start tags. What it refuses is in
 * canonical_test.c. */
#include "proto/xmpp/canonical_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/xmpp/ns.h"

/* STR() is no constant initializer for a nested struct */
#define ATTRIBUTE(ns, name, value)                                                        \
    {                                                                                     \
        { ns, sizeof(ns) - 1 }, { name, sizeof(name) - 1 }, { value, sizeof(value) - 1 }, \
    }

static void expect_str(struct str value, const char *expected)
{
    char *text = str_to_cstr(value);
    assert_string_equal(text, expected);
    free(text);
}

static void test_tokens_come_one_by_one(void **state)
{
    (void)state;
    struct canonical_scan scan;
    struct str value;
    canonical_scan_init(&scan, STR("<a b='1' c='&lt;'>x&amp;y<d/></a>"));
    assert_int_equal(canonical_scan_next(&scan), CANONICAL_OPEN);
    expect_str(scan.name, "a");
    assert_false(scan.is_empty);
    assert_int_equal(scan.attribute_count, 2);
    assert_true(canonical_scan_attribute(&scan, STR("c"), &value));
    expect_str(value, "&lt;");
    assert_false(canonical_scan_attribute(&scan, STR("d"), &value));
    assert_int_equal(canonical_scan_next(&scan), CANONICAL_TEXT);
    expect_str(scan.text, "x&amp;y");
    assert_int_equal(canonical_scan_next(&scan), CANONICAL_OPEN);
    assert_true(scan.is_empty);
    assert_int_equal(canonical_scan_next(&scan), CANONICAL_CLOSE);
    expect_str(scan.name, "a");
    assert_int_equal(canonical_scan_next(&scan), CANONICAL_END);
}

static void test_escapes_are_undone_and_compared(void **state)
{
    (void)state;
    struct str escaped = STR("&amp;&lt;&gt;&apos;&quot;&#9;&#10;&#13;x");
    char plain[64];
    size_t len = canonical_unescape(escaped, plain);
    expect_str(str_from(plain, len), "&<>'\"\t\n\rx");
    assert_true(canonical_value_equal(escaped, str_from(plain, len)));
    assert_false(canonical_value_equal(escaped, str_from(plain, len - 1)));
    assert_false(canonical_value_equal(STR("a"), STR("ab")));
    assert_true(canonical_value_equal(STR(""), STR("")));
}

static void test_start_tags_declare_what_they_use(void **state)
{
    (void)state;
    const struct element_attribute attributes[] = {
        ATTRIBUTE("", "a", "'\n"),
        ATTRIBUTE("urn:x", "b", "1"),
        ATTRIBUTE(NS_XML, "lang", "de"),
        ATTRIBUTE("urn:y", "b", "2"),
        ATTRIBUTE("urn:x", "c", "3"),
    };
    struct element element = {
        .ns = STR("urn:e"),
        .name = STR("e"),
        .attributes = attributes,
        .attribute_count = 5,
    };
    struct buf out;
    buf_init(&out, 0);
    assert_true(canonical_write_start(&out, &element, STR("urn:e")));
    expect_str(buf_view(&out),
            "<e a='&apos;&#10;' xmlns:ns1='urn:x' ns1:b='1' xml:lang='de' xmlns:ns2='urn:y' "
            "ns2:b='2' ns1:c='3'");
    buf_clear(&out);
    element.attribute_count = 0;
    assert_true(canonical_write_start(&out, &element, STR(NS_CLIENT)));
    expect_str(buf_view(&out), "<e xmlns='urn:e'");
    element.attribute_count = CANONICAL_MAX_ATTRIBUTES + 1;
    assert_false(canonical_write_start(&out, &element, STR(NS_CLIENT)));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_come_one_by_one),
        cmocka_unit_test(test_escapes_are_undone_and_compared),
        cmocka_unit_test(test_start_tags_declare_what_they_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

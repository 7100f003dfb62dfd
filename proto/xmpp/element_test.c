/* The tree: namespaces, attributes, text, look-ups; refusal of what is not canonical; and writing
 * it gives the same bytes. */
#include "proto/xmpp/element.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/xmpp/ns.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct element *parse(const char *xml)
{
    struct element *first = NULL;
    assert_int_equal(element_parse(&arena, str_from_cstr(xml), STR(NS_CLIENT), &first), ERR_OK);
    return first;
}

static void expect_str(struct str value, const char *expected)
{
    char *text = str_to_cstr(value);
    assert_string_equal(text, expected);
    free(text);
}

static void test_nothing_is_no_tree(void **state)
{
    (void)state;
    assert_null(parse(""));
}

static void test_children_attributes_and_text_are_found(void **state)
{
    (void)state;
    struct element *first =
            parse("<body>a&amp;b</body><x xmlns='urn:x' k='&lt;&#10;' xml:lang='de' "
                  "xmlns:ns1='urn:&apos;y' ns1:k='2'><y>1</y><y xmlns='urn:z'>2</y>"
                  "tail</x>");
    assert_true(element_is(first, NS_CLIENT, "body"));
    expect_str(first->text, "a&b");
    const struct element *x = element_find(first, "urn:x", "x");
    assert_non_null(x);
    expect_str(element_attribute(x, STR("k")), "<\n");
    assert_true(element_has_attribute(x, STR("k")));
    assert_false(element_has_attribute(x, STR("lang")));
    expect_str(element_attribute(x, STR("none")), "");
    assert_int_equal(x->attribute_count, 3);
    expect_str(x->attributes[1].ns, NS_XML);
    expect_str(x->attributes[2].ns, "urn:'y");
    expect_str(x->text, "tail");
    expect_str(element_child_text(x, "urn:x", "y"), "1");
    expect_str(element_child_text(x, "urn:z", "y"), "2");
    expect_str(element_child_text(x, "urn:none", "y"), "");
    assert_null(element_find(first, "urn:x", "body"));
    size_t count = 0;
    XML_FOREACH_CHILD(child, x) {
        count++;
    }
    assert_int_equal(count, 2);
}

static void test_text_in_pieces_is_joined(void **state)
{
    (void)state;
    struct buf xml;
    buf_init(&xml, 0);
    buf_append_literal(&xml, "<a>");
    for (int i = 0; i < 20000; i++) {
        buf_append_literal(&xml, "x<b/>&amp;");
    }
    buf_append_literal(&xml, "</a>");
    struct element *first = NULL;
    assert_int_equal(element_parse(&arena, buf_view(&xml), STR(""), &first), ERR_OK);
    assert_int_equal(first->text.len, 40000);
    assert_memory_equal(first->text.ptr + 39996, "x&x&", 4);
    assert_true(arena.used_bytes < 8 * 1024 * 1024);
    buf_fini(&xml);
}

static void test_what_is_not_canonical_is_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = { "x",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/>x",
        "<a b='1' b='2'/>",
        "<a>&x;</a>",
        "<p:a/>",
        "<a><b></a></b>" };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct element *first = NULL;
        assert_int_equal(
                element_parse(&arena, str_from_cstr(BAD[i]), STR(""), &first), ERR_INVALID);
        assert_null(first);
    }
}

static void test_tree_writes_the_same_bytes(void **state)
{
    (void)state;
    static const char *const XML[] = {
        "<body>it's &lt; \"&amp;\"&#13;</body>",
        "<a xmlns='urn:q' k='v' xmlns:ns1='urn:q' ns1:n='w' xmlns:ns2='u&apos;z' ns2:n='1' "
        "ns1:m='2' xml:lang='&#9;'><b xmlns='jabber:client'><c xmlns=''/></b><e>t</e></a>",
    };
    for (size_t i = 0; i < sizeof XML / sizeof XML[0]; i++) {
        struct buf out;
        buf_init(&out, 0);
        element_write(&out, parse(XML[i]), STR(NS_CLIENT));
        expect_str(buf_view(&out), XML[i]);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_no_tree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
                test_children_attributes_and_text_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_in_pieces_is_joined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_canonical_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tree_writes_the_same_bytes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The cheap check on bytes from an edge: exactly the format, nothing else (F09). */
#include "proto/xmpp/canonical.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chassis/base/buf.h"

static bool is_valid(const char *xml)
{
    return canonical_is_valid(str_from_cstr(xml), 4, 6);
}

static void test_accepts_what_the_reader_writes(void **state)
{
    (void)state;
    static const char *const GOOD[] = {
        "",
        "<a/>",
        "<a></a>",
        "<a/><b>x</b>",
        "<a xmlns='u' b='c' xml:lang='de' xmlns:ns1='v' ns1:b='c'/>",
        "<a>&amp;&lt;&gt;&apos;&quot;&#9;&#10;&#13; '\"\t\n</a>",
        "<a b='&#9;&#10;&#13;&amp; \"'/>",
        "<\xC3\xA4 \xC3\xB6='1'>\xF0\x9F\x98\x80</\xC3\xA4>",
        "<a xmlns=''><b><c><d/></c></b></a>",
        "<a-b.c_1/>",
    };
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        assert_true(is_valid(GOOD[i]));
    }
}

static void test_refuses_everything_else(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "x",
        " ",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/></a>",
        "<a><b></a></b>",
        "<a",
        "<",
        "<a b='c",
        "<a b=\"c\"/>",
        "<a b = 'c'/>",
        "<a  b='c'/>",
        "<a />",
        "<a b='1'c='2'/>",
        "</a ><a/>",
        "<a b='1' b='2'/>",
        "<a xmlns='1' xmlns='2'/>",
        "<p:a/>",
        "<a p:b='1'/>",
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        "<a xmlns:p='\"' xmlns:q='&quot;' p:b='1' q:b='2'/>",
        "<a xmlns:p=''/>",
        "<a xmlns='a b'/>",
        "<a xmlns='a}b'/>",
        "<a xmlns='a&#10;b'/>",
        "<a xmlns='&quot;'/>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<a p:q:r='1' xmlns:p='u'/>",
        "<a>&nbsp;</a>",
        "<a>&</a>",
        "<a>&#x41;</a>",
        "<a>&#65;</a>",
        "<a>&#0;</a>",
        "<a>></a>",
        "<a>]]></a>",
        "<a b='<'/>",
        "<a b='>'/>",
        "<a b='\n'/>",
        "<a>\r</a>",
        "<a>\x01</a>",
        "<a>\x80</a>",
        "<a>\xC0\xAF</a>",
        "<a>\xED\xA0\x80</a>",
        "<a>\xEF\xBF\xBF</a>",
        "<a>\xF4\x90\x80\x80</a>",
        "<a>\xE2\x82</a>",
        "<!-- c -->",
        "<?pi?>",
        "<!DOCTYPE a>",
        "<a><![CDATA[x]]></a>",
        "<1/>",
        "<-a/>",
        "<a \xF0\x9F\x98\x80='1'/>",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        if (is_valid(BAD[i])) {
            fail_msg("accepted: %s", BAD[i]);
        }
    }
    assert_false(canonical_is_valid(STR("<a>\0</a>"), 9, 9));
}

static void test_depth_and_elements_are_limited(void **state)
{
    (void)state;
    assert_true(is_valid("<a><b><c><d/></c></b></a>"));
    assert_false(is_valid("<a><b><c><d><e/></d></c></b></a>"));
    assert_false(is_valid("<a><b><c><d><e></e></d></c></b></a>"));
    assert_true(is_valid("<a/><a/><a/><a/><a/><a/>"));
    assert_false(is_valid("<a/><a/><a/><a/><a/><a/><a/>"));
    struct buf xml;
    buf_init(&xml, 0);
    for (int i = 0; i < 1000; i++) {
        buf_append_literal(&xml, "<a>");
    }
    assert_false(canonical_is_valid(buf_view(&xml), UINT32_MAX, UINT32_MAX));
    buf_fini(&xml);
}

static bool is_valid_with(const char *before, char byte, const char *after)
{
    struct buf xml;
    buf_init(&xml, 0);
    buf_append_str(&xml, str_from_cstr(before));
    buf_append_char(&xml, byte);
    buf_append_str(&xml, str_from_cstr(after));
    bool is_valid = canonical_is_valid(buf_view(&xml), 4, 6);
    buf_fini(&xml);
    return is_valid;
}

static void test_each_byte_is_judged_where_it_stands(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool is_ascii = byte >= 0x20 && byte < 0x80 && !strchr("&<>", byte);
        bool is_text = is_ascii || byte == '\t' || byte == '\n';
        assert_int_equal(is_valid_with("<a>x", (char)byte, "y</a>"), is_text);
        assert_int_equal(is_valid_with("<a>", (char)byte, "</a>"), is_text);
        assert_int_equal(is_valid_with("<a b='x", (char)byte, "y'/>"), is_ascii && byte != '\'');
        assert_int_equal(is_valid_with("<a b='&amp;", (char)byte, "'/>"), is_ascii && byte != '\'');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_what_the_reader_writes),
        cmocka_unit_test(test_refuses_everything_else),
        cmocka_unit_test(test_depth_and_elements_are_limited),
        cmocka_unit_test(test_each_byte_is_judged_where_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

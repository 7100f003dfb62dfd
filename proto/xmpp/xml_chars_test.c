/* Our tables of name characters against expat itself, over the whole of Unicode. */
#include "proto/xmpp/xml_chars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <expat.h>

static size_t encode(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t LEAD[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (size_t i = count - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(LEAD[count] | code);
    return count;
}

static bool does_expat_take(const char *xml, size_t len)
{
    XML_Parser parser = XML_ParserCreateNS("UTF-8", '\n');
    bool is_taken = XML_Parse(parser, xml, (int)len, 1) == XML_STATUS_OK;
    XML_ParserFree(parser);
    return is_taken;
}

static bool is_name_for_expat(const char *name, size_t len)
{
    char xml[32] = "<";
    memcpy(xml + 1, name, len);
    memcpy(xml + 1 + len, "/>", 2);
    return does_expat_take(xml, len + 3);
}

static void expect_agreement(uint32_t code)
{
    char name[8] = "a";
    size_t len = encode(code, name);
    bool is_start = xml_char_name_length(name, name + len) == len;
    assert_int_equal(is_start, is_name_for_expat(name, len));
    name[0] = 'a';
    len = 1 + encode(code, name + 1);
    assert_int_equal(xml_char_name_length(name, name + len) == len, is_name_for_expat(name, len));
}

static bool is_plain(uint32_t code)
{
    /* these end a name or a tag in ways of their own */
    return code >= 0x20 ? strchr(" />:", (int)code) == NULL || code > 0x7F : false;
}

static void test_names_are_those_of_expat(void **state)
{
    (void)state;
    for (uint32_t code = 1; code < 0x10000; code++) {
        if (is_plain(code) && (code < 0xD800 || code > 0xDFFF)) {
            expect_agreement(code);
        }
    }
    for (uint32_t code = 0x10000; code < 0x110000; code += 97) {
        expect_agreement(code);
    }
}

static void test_characters_are_those_of_expat(void **state)
{
    (void)state;
    for (uint32_t code = 1; code < 0x110000; code += code < 0x11000 ? 1 : 31) {
        char xml[16] = "<a>";
        size_t len = encode(code, xml + 3);
        uint32_t decoded = 0;
        size_t taken = xml_char_decode(xml + 3, xml + 3 + len, &decoded);
        if (code == '&' || code == '<') {
            continue;
        }
        memcpy(xml + 3 + len, "</a>", 4);
        assert_int_equal(taken == len, does_expat_take(xml, len + 7));
        assert_true(taken == 0 || (taken == len && decoded == code));
    }
}

static void test_cut_and_overlong_characters_are_none(void **state)
{
    (void)state;
    static const char *const BAD[] = { "\xC3",
        "\xE2\x82",
        "\xF0\x9F\x98",
        "\xC0\x80",
        "\xE0\x80\x80",
        "\xF0\x80\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFF",
        "\x80" };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        uint32_t code = 0;
        assert_int_equal(xml_char_decode(BAD[i], BAD[i] + strlen(BAD[i]), &code), 0);
    }
}

static void test_namespace_names_hold_no_separator_of_any_parser(void **state)
{
    (void)state;
    assert_true(xml_char_is_namespace(STR("")));
    assert_true(xml_char_is_namespace(STR("http://a.example/%20~b?c=d&e='f'#(g)[*]!")));
    assert_true(xml_char_is_namespace(STR("urn:\xC3\xA4")));
    static const char BAD[] = " \t\n\r\f\x01\x1F\x7F\"<>\\^`{|}";
    for (size_t i = 0; i < sizeof BAD; i++) {
        assert_false(xml_char_is_namespace(str_from(BAD + i, 1)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_those_of_expat),
        cmocka_unit_test(test_characters_are_those_of_expat),
        cmocka_unit_test(test_cut_and_overlong_characters_are_none),
        cmocka_unit_test(test_namespace_names_hold_no_separator_of_any_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every way to cut a stream into reads gives the same elements. */
#include "tests/load/scanner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/mem.h"

static const char stream[] =
        "<?xml version='1.0'?>\n<stream:stream from='a' note=\"x>y\">"
        "<stream:features><a/><b><c>t</c></b></stream:features> \n"
        "<r xmlns='urn:xmpp:sm:3'/><message id='1' note='>' x=\"'/>\"><body>&lt;a></body></message>"
        "<message><body><![CDATA[</message><x>]]></body></message>"
        "<iq/></stream:stream>";

static const char *const items[] = {
    "<stream:features><a/><b><c>t</c></b></stream:features>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<message id='1' note='>' x=\"'/>\"><body>&lt;a></body></message>",
    "<message><body><![CDATA[</message><x>]]></body></message>",
    "<iq/>",
};

/* Reads of `size` bytes, the first of `first`; each read in memory of its own size, so that a
 * sanitizer sees a byte too far. */
static void scan_in_pieces(size_t first, size_t size)
{
    struct scanner scanner;
    struct str item;
    size_t found = 0;
    bool has_header = false;
    bool has_end = false;
    scanner_init(&scanner);
    for (size_t at = 0; at < sizeof(stream) - 1;) {
        size_t len = at == 0 ? first : size;
        len = len < sizeof(stream) - 1 - at ? len : sizeof(stream) - 1 - at;
        char *read = mem_alloc(len);
        memcpy(read, stream + at, len);
        at += len;
        scanner_push(&scanner, str_from(read, len));
        for (enum scan scan; (scan = scanner_next(&scanner, &item)) != SCAN_MORE;) {
            assert_int_not_equal(scan, SCAN_BROKEN);
            has_header |= scan == SCAN_HEADER;
            has_end |= scan == SCAN_END;
            if (scan == SCAN_ELEMENT) {
                assert_true(found < sizeof(items) / sizeof(items[0]));
                assert_true(str_equal(item, str_from_cstr(items[found])));
                found++;
            }
        }
        free(read);
    }
    assert_int_equal(found, sizeof(items) / sizeof(items[0]));
    assert_true(has_header && has_end);
    scanner_fini(&scanner);
}

static void reads_may_end_anywhere(void **state)
{
    (void)state;
    for (size_t first = 1; first < sizeof(stream); first++) {
        scan_in_pieces(first, sizeof(stream));
        scan_in_pieces(first, 1 + first % 7);
    }
    scan_in_pieces(1, 1);
}

static void nothing_is_kept_between_elements(void **state)
{
    (void)state;
    struct scanner scanner;
    struct str item;
    scanner_init(&scanner);
    scanner_push(&scanner, STR("<s><a/> \n"));
    assert_int_equal(scanner_next(&scanner, &item), SCAN_HEADER);
    assert_int_equal(scanner_next(&scanner, &item), SCAN_ELEMENT);
    assert_int_equal(scanner_next(&scanner, &item), SCAN_MORE);
    assert_null(scanner.kept.data);
    scanner_fini(&scanner);
}

static void what_is_no_stream_is_broken(void **state)
{
    (void)state;
    static const char *const texts[] = { "<a/>", "</a>" };
    for (size_t i = 0; i < 2; i++) {
        struct scanner scanner;
        struct str item;
        scanner_init(&scanner);
        scanner_push(&scanner, str_from_cstr(texts[i]));
        assert_int_equal(scanner_next(&scanner, &item), SCAN_BROKEN);
        scanner_fini(&scanner);
    }
}

static void an_endless_element_is_broken(void **state)
{
    (void)state;
    struct scanner scanner;
    struct str item;
    size_t len = 1 << 20;
    char *text = mem_calloc(1, len);
    memset(text, 'x', len);
    scanner_init(&scanner);
    scanner_push(&scanner, STR("<s><a>"));
    assert_int_equal(scanner_next(&scanner, &item), SCAN_HEADER);
    assert_int_equal(scanner_next(&scanner, &item), SCAN_MORE);
    enum scan scan = SCAN_MORE;
    for (unsigned i = 0; i < 8 && scan == SCAN_MORE; i++) {
        scanner_push(&scanner, str_from(text, len));
        scan = scanner_next(&scanner, &item);
    }
    assert_int_equal(scan, SCAN_BROKEN);
    scanner_fini(&scanner);
    free(text);
}

static void names_are_whole(void **state)
{
    (void)state;
    assert_true(scan_is_named(STR("<a/>"), STR("a")));
    assert_true(scan_is_named(STR("<a b='1'>"), STR("a")));
    assert_true(scan_is_named(STR("<stream:error>"), STR("stream:error")));
    assert_false(scan_is_named(STR("<ab/>"), STR("a")));
    assert_false(scan_is_named(STR("<a"), STR("ab")));
}

static void attributes_are_those_of_the_element_itself(void **state)
{
    (void)state;
    struct str element = STR(
            "<message xid='no' note='id=\"no\"' id=\"yes\" to='a'><x id2='b' from='c'/></message>");
    assert_true(str_equal(scan_attribute(element, STR("id")), STR("yes")));
    assert_true(str_equal(scan_attribute(element, STR("to")), STR("a")));
    assert_int_equal(scan_attribute(element, STR("from")).len, 0);
    assert_int_equal(scan_attribute(element, STR("id2")).len, 0);
    assert_int_equal(scan_attribute(STR("<a/>"), STR("h")).len, 0);
    assert_int_equal(scan_attribute(STR("<a h"), STR("h")).len, 0);
    assert_int_equal(scan_attribute(STR("<a h="), STR("h")).len, 0);
    assert_int_equal(scan_attribute(STR("<a h='1"), STR("h")).len, 0);
    assert_true(str_equal(scan_attribute(STR("<a h='12'/>"), STR("h")), STR("12")));
}

static void text_of_a_flat_element(void **state)
{
    (void)state;
    assert_true(str_equal(scan_text(STR("<success xmlns='x'>dj0=</success>")), STR("dj0=")));
    assert_int_equal(scan_text(STR("<success/>")).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_may_end_anywhere),
        cmocka_unit_test(nothing_is_kept_between_elements),
        cmocka_unit_test(what_is_no_stream_is_broken),
        cmocka_unit_test(an_endless_element_is_broken),
        cmocka_unit_test(names_are_whole),
        cmocka_unit_test(attributes_are_those_of_the_element_itself),
        cmocka_unit_test(text_of_a_flat_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

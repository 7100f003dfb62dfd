/* Base64 and hex: vectors and refusals. */
#include "chassis/base/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void base64_vectors_both_ways(void **state)
{
    (void)state;
    /* RFC 4648 §10 */
    static const char *const pairs[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xfb\xff\xfe", "+//+" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct buf out;
        buf_init(&out, 0);
        base64_encode(&out, str_from_cstr(pairs[i][0]));
        assert_true(str_equal(buf_view(&out), str_from_cstr(pairs[i][1])));
        buf_clear(&out);
        assert_int_equal(base64_decode(&out, str_from_cstr(pairs[i][1])), ERR_OK);
        assert_true(str_equal(buf_view(&out), str_from_cstr(pairs[i][0])));
        buf_fini(&out);
    }
}

static void base64_refuses_all_but_the_one_form(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Zg",
        "Zg=",
        "Zg===",
        "Z===",
        "====",
        "Zg==Zg==",
        "Zm 9v",
        "Zm9v\n",
        "Zm9-",
        "Zm9_",
        "Zh==",
        "Zm9=",
        "=m9v",
        "Z=9v",
        "Zm=v",
    };
    struct buf out;
    buf_init(&out, 0);
    buf_append_literal(&out, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(base64_decode(&out, str_from_cstr(bad[i])), ERR_INVALID);
    }
    assert_int_equal(base64_decode(&out, str_from("Zm9v\0m9v", 8)), ERR_INVALID);
    assert_true(str_equal(buf_view(&out), STR("kept")));
    buf_fini(&out);
}

static void hex_both_ways(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    hex_encode(&out, STR("\x01\xab\xff"));
    assert_true(str_equal(buf_view(&out), STR("01abff")));
    buf_fini(&out);
    uint8_t bytes[3] = { 9, 9, 9 };
    assert_int_equal(hex_decode(STR("01abff0"), bytes, 3), ERR_INVALID);
    assert_int_equal(hex_decode(STR("01abf"), bytes, 3), ERR_INVALID);
    assert_int_equal(hex_decode(STR("01abfg"), bytes, 3), ERR_INVALID);
    assert_int_equal(bytes[0], 9); /* untouched */
    assert_int_equal(hex_decode(STR("01aBfF"), bytes, 3), ERR_OK);
    assert_memory_equal(bytes, "\x01\xab\xff", 3);
}

static void json_strings_end_where_they_should(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    json_encode_string(&out, STR("a\"b\\c\n\x01\xc3\xa9"));
    assert_true(str_equal(buf_view(&out), STR("\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\"")));
    buf_clear(&out);
    json_encode_string(&out, STR_NULL);
    assert_true(str_equal(buf_view(&out), STR("\"\"")));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_vectors_both_ways),
        cmocka_unit_test(base64_refuses_all_but_the_one_form),
        cmocka_unit_test(hex_both_ways),
        cmocka_unit_test(json_strings_end_where_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

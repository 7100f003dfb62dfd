/* Views: comparing, cutting, numbers, hash, UTF-8. */
#include "chassis/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "chassis/base/arena.h"

static void assert_view(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_true(str_equal(s, str_from_cstr(expected)));
}

static void compares_prefixes_and_cases(void **state)
{
    (void)state;
    assert_true(str_equal(STR(""), STR_NULL));
    assert_true(str_equal_nocase(STR("BeArEr"), STR("bearer")));
    assert_false(str_equal_nocase(STR("a["), STR("a{")));
    assert_true(str_starts_with(STR("abc"), STR("ab")));
    assert_false(str_starts_with(STR("a"), STR("ab")));
    assert_true(str_ends_with(STR("abc"), STR("bc")));
    assert_true(str_ends_with(STR_NULL, STR_NULL));
    assert_false(str_ends_with(STR("c"), STR("bc")));
    assert_true(str_equal_secret(STR("secret"), STR("secret")));
    assert_false(str_equal_secret(STR("secret"), STR("secreT")));
    assert_false(str_equal_secret(STR("secret"), STR("secre")));
}

static void cuts_and_trims(void **state)
{
    (void)state;
    struct str rest = STR("a,,b");
    assert_view(str_cut(&rest, ','), "a");
    assert_view(str_cut(&rest, ','), "");
    assert_view(str_cut(&rest, ','), "b");
    assert_true(str_is_empty(rest));
    assert_view(str_cut(&rest, ','), "");
    assert_view(str_trim(STR(" \t x y\r\n")), "x y");
    assert_view(str_trim(STR(" \n ")), "");
    assert_int_equal(str_find_char(STR("abc"), 'c'), 2);
    assert_int_equal(str_find_char(STR("abc"), 'x'), 3);
    assert_int_equal(str_find_char(STR_NULL, 'x'), 0);
}

static void copies_end_with_nul(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    struct str copy = str_dup(&arena, STR("name"));
    assert_int_equal(copy.ptr[4], '\0');
    assert_view(copy, "name");
    assert_view(str_dup(&arena, STR_NULL), "");
    arena_fini(&arena);
    char *text = str_to_cstr(STR("x"));
    assert_string_equal(text, "x");
    free(text);
}

static void numbers_are_whole_and_in_range(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(str_to_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR("99999999999999999999999"), &u));
    assert_false(str_to_u64(STR(""), &u));
    assert_false(str_to_u64(STR("+1"), &u));
    assert_false(str_to_u64(STR("1 "), &u));
    assert_false(str_to_u64(STR("0x1"), &u));
    assert_true(u == UINT64_MAX); /* untouched by failures */
    assert_true(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(str_to_i64(STR("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
    assert_false(str_to_i64(STR("-9223372036854775809"), &i));
    assert_false(str_to_i64(STR("-"), &i));
    assert_false(str_to_i64(STR("--1"), &i));
    assert_true(str_to_i64(STR("-0"), &i));
    assert_true(i == 0);
}

/* These values decide on which router an account lives; a change would move all of them. */
static void hash_never_changes(void **state)
{
    (void)state;
    assert_true(str_hash(STR("")) == UINT64_C(0xefd01f60ba992926));
    assert_true(str_hash(STR("romeo@montague.example")) == UINT64_C(0x56142b887ad33080));
}

static void utf8_is_strict(void **state)
{
    (void)state;
    assert_true(str_is_utf8(STR_NULL));
    assert_true(str_is_utf8(STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbd")));
    assert_false(str_is_utf8(STR("\x80")));
    assert_false(str_is_utf8(STR("\xc0\x80")));         /* overlong NUL */
    assert_false(str_is_utf8(STR("\xc1\xbf")));         /* overlong */
    assert_false(str_is_utf8(STR("\xe0\x9f\xbf")));     /* overlong */
    assert_false(str_is_utf8(STR("\xf0\x8f\xbf\xbf"))); /* overlong */
    assert_false(str_is_utf8(STR("\xed\xa0\x80")));     /* surrogate */
    assert_false(str_is_utf8(STR("\xef\xbf\xbe")));     /* U+FFFE */
    assert_false(str_is_utf8(STR("\xef\xbf\xbf")));     /* U+FFFF */
    assert_false(str_is_utf8(STR("\xf4\x90\x80\x80"))); /* above U+10FFFF */
    assert_false(str_is_utf8(STR("\xe2\x82")));         /* cut */
    assert_false(str_is_utf8(STR("\xc3(")));
    assert_false(str_is_utf8(STR("\xff")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_prefixes_and_cases),
        cmocka_unit_test(cuts_and_trims),
        cmocka_unit_test(copies_end_with_nul),
        cmocka_unit_test(numbers_are_whole_and_in_range),
        cmocka_unit_test(hash_never_changes),
        cmocka_unit_test(utf8_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

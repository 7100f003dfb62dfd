/* Identifiers: text form and back. */
#include "chassis/base/id128.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void text_and_back(void **state)
{
    (void)state;
    char text[ID128_TEXT_SIZE];
    struct id128 id = { .hi = UINT64_C(0x0123456789abcdef), .lo = 1 };
    struct id128 parsed;
    id128_format(id, text);
    assert_string_equal(text, "0123456789abcdef0000000000000001");
    assert_true(id128_parse(text, &parsed));
    assert_true(id128_equal(id, parsed));
}

static void wrong_text_is_refused(void **state)
{
    (void)state;
    struct id128 id = { 0 };
    assert_false(id128_parse("", &id));
    assert_false(id128_parse("0123456789abcdef000000000000000", &id));
    assert_false(id128_parse("0123456789abcdef00000000000000012", &id));
    assert_false(id128_parse("0123456789abcdef000000000000000g", &id));
    assert_true(id128_is_zero(id));
}

static void random_ids_differ(void **state)
{
    (void)state;
    struct id128 a = id128_random();
    struct id128 b = id128_random();
    assert_false(id128_equal(a, b));
    assert_false(id128_is_zero(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(wrong_text_is_refused),
        cmocka_unit_test(random_ids_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

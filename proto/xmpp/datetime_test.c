/* XEP-0082 examples, borders of the calendar, and refusals (C17: year 0). */
#include "proto/xmpp/datetime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_format(int64_t wall_us, const char *expected)
{
    char text[DATETIME_SIZE];
    datetime_format(wall_us, text);
    assert_string_equal(text, expected);
}

static void test_formats_utc_with_milliseconds(void **state)
{
    (void)state;
    expect_format(0, "1970-01-01T00:00:00.000Z");
    expect_format(-1, "1969-12-31T23:59:59.999Z");
    expect_format(INT64_C(951782400123456), "2000-02-29T00:00:00.123Z");
    expect_format(INT64_C(1795422840000000), "2026-11-23T08:34:00.000Z");
    expect_format(INT64_MAX, "9999-12-31T23:59:59.775Z");
    expect_format(INT64_MIN, "0001-01-01T00:00:00.224Z");
}

static void expect_parse(const char *text, int64_t expected)
{
    int64_t value = 0;
    assert_int_equal(datetime_parse(str_from_cstr(text), &value), ERR_OK);
    assert_int_equal(value, expected);
}

static void test_parses_zones_and_fractions(void **state)
{
    (void)state;
    expect_parse("1969-07-21T02:56:15Z", INT64_C(-14159025000000));
    expect_parse("1969-07-20T21:56:15-05:00", INT64_C(-14159025000000)); /* XEP-0082 §4 */
    expect_parse("1970-01-01T00:00:00.5Z", 500000);
    expect_parse("1970-01-01T00:00:00.123456789Z", 123456);
    expect_parse("2000-02-29T00:00:00Z", INT64_C(951782400000000));
    expect_parse("1970-01-01T00:00:60Z", 60000000);
    expect_parse("0001-01-01T00:00:00Z", INT64_C(-62135596800000000));
    expect_parse("9999-12-31T23:59:59.999999+00:00", INT64_C(253402300799999999));
}

static void test_refuses_what_is_no_date(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "0000-01-01T00:00:00Z",
        "2001-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2000-13-01T00:00:00Z",
        "2000-00-01T00:00:00Z",
        "2000-01-00T00:00:00Z",
        "2000-01-01T24:00:00Z",
        "2000-01-01T00:60:00Z",
        "2000-01-01T00:00:61Z",
        "2000-01-01T00:00:00",
        "2000-01-01T00:00:00.Z",
        "2000-01-01T00:00:00Zx",
        "2000-01-01 00:00:00Z",
        "2000-01-01T00:00:00+15:00",
        "2000-01-01T00:00:00+0100",
        "20000101T00:00:00Z",
        "-2000-01-01T00:00:00Z",
        "2000-01-01",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        int64_t value = 42;
        assert_int_equal(datetime_parse(str_from_cstr(BAD[i]), &value), ERR_INVALID);
        assert_int_equal(value, 42);
    }
}

static void test_every_day_of_four_centuries_comes_back(void **state)
{
    (void)state;
    for (int64_t day = -80000; day < 80000; day++) {
        char text[DATETIME_SIZE];
        int64_t wall_us = day * INT64_C(86400000000) + 1000;
        int64_t value = 0;
        datetime_format(wall_us, text);
        assert_int_equal(datetime_parse(str_from_cstr(text), &value), ERR_OK);
        assert_int_equal(value, wall_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_utc_with_milliseconds),
        cmocka_unit_test(test_parses_zones_and_fractions),
        cmocka_unit_test(test_refuses_what_is_no_date),
        cmocka_unit_test(test_every_day_of_four_centuries_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

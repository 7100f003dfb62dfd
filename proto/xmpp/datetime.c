/* XEP-0082 date and time. Own calendar arithmetic (proleptic Gregorian): no time zone data, no
 * locale, any year from 1 to 9999. */
#include "proto/xmpp/datetime.h"

#include <stdbool.h>
#include <stdio.h>

#define US_PER_SECOND   INT64_C(1000000)
#define SECONDS_PER_DAY INT64_C(86400)
#define FIRST_SECOND    INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define LAST_SECOND     INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* Days since 1970-01-01; years begin in March here, so that the leap day is the last. */
static int64_t days_from_civil(int year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    *day = (unsigned)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *month = (unsigned)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0 ? 1 : 0);
}

void datetime_format(int64_t wall_us, char out[DATETIME_SIZE])
{
    int64_t seconds = floor_div(wall_us, US_PER_SECOND);
    unsigned ms = (unsigned)((wall_us - seconds * US_PER_SECOND) / 1000);
    seconds = seconds < FIRST_SECOND ? FIRST_SECOND : seconds;
    seconds = seconds > LAST_SECOND ? LAST_SECOND : seconds;
    int64_t days = floor_div(seconds, SECONDS_PER_DAY);
    unsigned second_of_day = (unsigned)(seconds - days * SECONDS_PER_DAY);
    int year = 0;
    unsigned month = 0;
    unsigned day = 0;
    civil_from_days(days, &year, &month, &day);
    snprintf(out,
            DATETIME_SIZE,
            "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
            (unsigned)year % 10000,
            month % 100,
            day % 100,
            second_of_day / 3600 % 100,
            second_of_day / 60 % 60,
            second_of_day % 60,
            ms % 1000);
}

struct cursor {
    struct str rest;
    bool failed;
};

static unsigned take_digits(struct cursor *cursor, size_t count)
{
    unsigned value = 0;
    for (size_t i = 0; i < count; i++) {
        if (i >= cursor->rest.len || cursor->rest.ptr[i] < '0' || cursor->rest.ptr[i] > '9') {
            cursor->failed = true;
            return 0;
        }
        value = value * 10 + (unsigned)(cursor->rest.ptr[i] - '0');
    }
    cursor->rest = str_from(cursor->rest.ptr + count, cursor->rest.len - count);
    return value;
}

static bool take_char(struct cursor *cursor, char c)
{
    if (cursor->rest.len == 0 || cursor->rest.ptr[0] != c) {
        return false;
    }
    cursor->rest = str_from(cursor->rest.ptr + 1, cursor->rest.len - 1);
    return true;
}

static void expect_char(struct cursor *cursor, char c)
{
    if (!take_char(cursor, c)) {
        cursor->failed = true;
    }
}

/* Any number of digits; those beyond microseconds say nothing to us. */
static int64_t take_fraction_us(struct cursor *cursor)
{
    int64_t us = 0;
    int64_t unit = 100000;
    size_t count = 0;
    while (cursor->rest.len > 0 && cursor->rest.ptr[0] >= '0' && cursor->rest.ptr[0] <= '9') {
        us += unit * (cursor->rest.ptr[0] - '0');
        unit /= 10;
        count++;
        cursor->rest = str_from(cursor->rest.ptr + 1, cursor->rest.len - 1);
    }
    if (count == 0) {
        cursor->failed = true;
    }
    return us;
}

static int64_t take_zone_seconds(struct cursor *cursor)
{
    if (take_char(cursor, 'Z')) {
        return 0;
    }
    int64_t sign = 1;
    if (take_char(cursor, '-')) {
        sign = -1;
    } else {
        expect_char(cursor, '+');
    }
    unsigned hours = take_digits(cursor, 2);
    expect_char(cursor, ':');
    unsigned minutes = take_digits(cursor, 2);
    if (hours > 14 || minutes > 59) {
        cursor->failed = true;
    }
    return sign * (int64_t)(hours * 3600 + minutes * 60);
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t DAYS[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return DAYS[month - 1] + (month == 2 && is_leap ? 1U : 0U);
}

static int64_t take_date_days(struct cursor *cursor)
{
    unsigned year = take_digits(cursor, 4);
    expect_char(cursor, '-');
    unsigned month = take_digits(cursor, 2);
    expect_char(cursor, '-');
    unsigned day = take_digits(cursor, 2);
    if (cursor->failed || year == 0 || month < 1 || month > 12 || day < 1
            || day > days_in_month(year, month)) {
        cursor->failed = true;
        return 0;
    }
    return days_from_civil((int)year, month, day);
}

enum err datetime_parse(struct str text, int64_t *wall_us_out)
{
    struct cursor cursor = { .rest = text };
    int64_t days = take_date_days(&cursor);
    expect_char(&cursor, 'T');
    unsigned hour = take_digits(&cursor, 2);
    expect_char(&cursor, ':');
    unsigned minute = take_digits(&cursor, 2);
    expect_char(&cursor, ':');
    unsigned second = take_digits(&cursor, 2);
    int64_t us = take_char(&cursor, '.') ? take_fraction_us(&cursor) : 0;
    int64_t zone = take_zone_seconds(&cursor);
    /* 60: a leap second, the same instant as the next second for us */
    if (cursor.failed || cursor.rest.len > 0 || hour > 23 || minute > 59 || second > 60) {
        return ERR_INVALID;
    }
    int64_t seconds = days * SECONDS_PER_DAY + (int64_t)(hour * 3600 + minute * 60 + second) - zone;
    *wall_us_out = seconds * US_PER_SECOND + us;
    return ERR_OK;
}

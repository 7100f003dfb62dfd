/* Percentiles against a sorted list. */
#include "tests/load/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

static void percentiles_are_within_a_64th(void **state)
{
    (void)state;
    static struct histogram histogram;
    static uint64_t values[20000];
    uint64_t random = 12345;
    for (size_t i = 0; i < 20000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        values[i] = (random >> 33) % (i % 100 == 0 ? 90000000 : 5000);
        histogram_add(&histogram, values[i]);
    }
    qsort(values, 20000, sizeof(values[0]), compare);
    static const double percents[] = { 1, 50, 90, 99, 99.9 };
    for (size_t i = 0; i < 5; i++) {
        uint64_t exact = values[(size_t)(20000 * percents[i] / 100) - 1];
        uint64_t found = histogram_percentile(&histogram, percents[i]);
        assert_true(found >= exact);
        assert_true(found <= exact + exact / 64 + 1);
    }
    assert_int_equal(histogram_percentile(&histogram, 100), values[19999]);
}

static void a_few_values(void **state)
{
    (void)state;
    static struct histogram histogram;
    assert_int_equal(histogram_percentile(&histogram, 50), 0);
    histogram_add(&histogram, 7);
    assert_int_equal(histogram_percentile(&histogram, 0), 7);
    assert_int_equal(histogram_percentile(&histogram, 99), 7);
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram_percentile(&histogram, 50), 7);
    assert_int_equal(histogram.highest, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_within_a_64th),
        cmocka_unit_test(a_few_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

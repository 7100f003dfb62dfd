/* The text form of metrics. */
#include "chassis/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "chassis/base/buf.h"

static struct buf written;

static bool has(const char *text)
{
    buf_clear(&written);
    metrics_write(&written);
    buf_append_char(&written, '\0');
    return strstr(written.data, text) != NULL;
}

static void counters_and_gauges(void **state)
{
    (void)state;
    static struct metric in = METRIC_COUNTER_INIT("stanzas_total", "Stanzas.", "dir=\"in\"");
    static struct metric between = METRIC_GAUGE_INIT("sessions", "Sessions.", NULL);
    static struct metric out = METRIC_COUNTER_INIT("stanzas_total", "Stanzas.", "dir=\"out\"");
    metrics_set_prefix("archive-svc");
    metric_add(&in, 2);
    metric_set(&between, -1);
    metric_register(&out);
    metric_register(&out);
    metric_add(&in, 3);
    /* One header and samples together, although another metric was registered in between. */
    assert_true(has("# HELP archive_svc_stanzas_total Stanzas.\n"
                    "# TYPE archive_svc_stanzas_total counter\n"
                    "archive_svc_stanzas_total{dir=\"in\"} 5\n"
                    "archive_svc_stanzas_total{dir=\"out\"} 0\n"));
    assert_true(has("# TYPE archive_svc_sessions gauge\narchive_svc_sessions -1\n"));
}

static int64_t read_seven(void *context)
{
    return *(const int64_t *)context;
}

static void gauges_may_be_computed(void **state)
{
    (void)state;
    static int64_t seven = 7;
    static struct metric gauge = METRIC_GAUGE_INIT("computed", "Computed.", NULL);
    gauge.read = read_seven;
    gauge.context = &seven;
    metric_register(&gauge);
    assert_true(has("_computed 7\n"));
}

static void histograms_are_cumulative(void **state)
{
    (void)state;
    static struct metric histogram = METRIC_HISTOGRAM_INIT("turn_seconds", "Turns.", "k=\"v\"");
    metric_observe_us(&histogram, 50);
    metric_observe_us(&histogram, 51);
    metric_observe_us(&histogram, 20000000);
    assert_true(has("_turn_seconds_bucket{k=\"v\",le=\"0.00005\"} 1\n"));
    assert_true(has("_turn_seconds_bucket{k=\"v\",le=\"0.0001\"} 2\n"));
    assert_true(has("_turn_seconds_bucket{k=\"v\",le=\"10\"} 2\n"));
    assert_true(has("_turn_seconds_bucket{k=\"v\",le=\"+Inf\"} 3\n"));
    assert_true(has("_turn_seconds_sum{k=\"v\"} 20.000101\n"));
    assert_true(has("_turn_seconds_count{k=\"v\"} 3\n"));
}

static void families_make_one_counter_a_value(void **state)
{
    (void)state;
    static struct metric_family family = {
        .name = "errors_total",
        .help = "Errors.",
        .label = "kind",
    };
    metric_family_add(&family, "parse", 1);
    metric_family_add(&family, "limit", 2);
    metric_family_add(&family, "parse", 1);
    assert_int_equal(family.count, 2);
    assert_true(has("_errors_total{kind=\"parse\"} 2\n"));
    assert_true(has("_errors_total{kind=\"limit\"} 2\n"));
}

static void families_end_in_other(void **state)
{
    (void)state;
    static struct metric_family family = { .name = "many_total", .help = "x.", .label = "n" };
    for (int i = 0; i < 100; i++) {
        char value[16];
        snprintf(value, sizeof(value), "v%d", i);
        metric_family_add(&family, value, 1);
    }
    assert_int_equal(family.count, 64);
    assert_true(has("_many_total{n=\"v62\"} 1\n"));
    assert_true(has("_many_total{n=\"other\"} 37\n"));
}

static void the_process_is_described(void **state)
{
    (void)state;
    metrics_set_prefix("edge");
    assert_true(has("\nbuild_info{program=\"edge\",version=\"" STARLING_VERSION "\"} 1\n"));
    assert_true(has("\nedge_log_dropped_total 0\n"));
    assert_true(has("\nprocess_cpu_seconds_total "));
    long long bytes = 0;
    int fds = 0;
    const char *line = strstr(written.data, "\nprocess_resident_memory_bytes ");
    assert_int_equal(sscanf(line, " process_resident_memory_bytes %lld", &bytes), 1);
    assert_true(bytes > 1000000);
    line = strstr(written.data, "\nprocess_open_fds ");
    assert_int_equal(sscanf(line, " process_open_fds %d", &fds), 1);
    assert_true(fds >= 3 && fds < 100);
    buf_fini(&written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges),
        cmocka_unit_test(gauges_may_be_computed),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(families_make_one_counter_a_value),
        cmocka_unit_test(families_end_in_other),
        cmocka_unit_test(the_process_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

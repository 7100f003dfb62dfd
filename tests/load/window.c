/* See window.h. */
#include "tests/load/window.h"

#include <stdio.h>

#include "tests/load/fleet.h"

static double rounded(double value)
{
    return (double)(int64_t)(value * 1000 + 0.5) / 1000;
}

void window_open(struct window *window, const struct settings *settings, bool has_memory)
{
    *window = (struct window){ .settings = settings };
    for (size_t i = 0; i < settings->watch_count; i++) {
        window->samples[i] = watch_take(&settings->watches[i], has_memory);
    }
    window->own_cpu_s = watch_own_cpu_s();
    window->began_us = now_us();
}

static json_t *describe_watch(const struct watch_sample *before,
        const struct watch_sample *after,
        const struct watch_sample *memory)
{
    json_t *watch = json_object();
    json_object_set_new(watch, "cpu_s", json_real(rounded(after->cpu_s - before->cpu_s)));
    json_object_set_new(watch, "user_s", json_real(rounded(after->user_s - before->user_s)));
    json_object_set_new(watch, "rss_kib", json_integer((json_int_t)memory->rss_kib));
    json_object_set_new(watch, "pss_kib", json_integer((json_int_t)memory->pss_kib));
    json_object_set_new(watch, "processes", json_integer((json_int_t)memory->processes));
    if (before->pss_kib > 0) {
        json_object_set_new(watch, "pss_kib_before", json_integer((json_int_t)before->pss_kib));
        json_object_set_new(watch, "rss_kib_before", json_integer((json_int_t)before->rss_kib));
    }
    return watch;
}

double window_close(struct window *window, json_t *result, const char *unit, uint64_t units)
{
    const struct settings *settings = window->settings;
    double elapsed_s = (double)(now_us() - window->began_us) / 1e6;
    double own_s = watch_own_cpu_s() - window->own_cpu_s;
    struct watch_sample after[WATCHES_MAX];
    json_t *watches = json_object();
    for (size_t i = 0; i < settings->watch_count; i++) {
        after[i] = watch_take(&settings->watches[i], false);
    }
    for (size_t i = 0; i < settings->watch_count; i++) {
        struct watch_sample memory = watch_take(&settings->watches[i], true);
        json_t *watch = describe_watch(&window->samples[i], &after[i], &memory);
        if (unit && units > 0) {
            char key[64];
            double each_us = (after[i].cpu_s - window->samples[i].cpu_s) * 1e6 / (double)units;
            snprintf(key, sizeof(key), "cpu_us_per_%s", unit);
            json_object_set_new(watch, key, json_real(rounded(each_us)));
        }
        json_object_set_new(watches, settings->watches[i].name, watch);
    }
    json_object_set_new(result, "elapsed_s", json_real(rounded(elapsed_s)));
    json_object_set_new(result, "own_cpu_percent", json_real(rounded(100 * own_s / elapsed_s)));
    json_object_set_new(result, "watch", watches);
    return elapsed_s;
}

void window_add_latency(json_t *result, const char *name, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = { { "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p999", 99.9 }, { "max", 100 } };
    json_t *latency = json_object();
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        double value = (double)histogram_percentile(histogram, points[i].percent) / 1000;
        json_object_set_new(latency, points[i].name, json_real(rounded(value)));
    }
    json_object_set_new(result, name, latency);
}

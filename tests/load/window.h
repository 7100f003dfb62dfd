/* The measured window: processor time of the watched trees and of ourselves between two moments,
 * memory at its end. Goes into the result of a mode. */
#pragma once

#include <jansson.h>

#include "tests/load/histogram.h"
#include "tests/load/settings.h"

struct window {
    const struct settings *settings;
    int64_t began_us;
    double own_cpu_s;
    struct watch_sample samples[WATCHES_MAX];
};

void window_open(struct window *window, const struct settings *settings, bool has_memory);
/* Adds to `result`: elapsed_s, own_cpu_percent (100 is one core), and for each --watch its
 * processor time, all of it and for each of `units` ("message", "login"; NULL: none), and its
 * memory. Returns elapsed_s. */
double window_close(struct window *window, json_t *result, const char *unit, uint64_t units);
/* Adds p50, p90, p99 and max of `histogram` in milliseconds under `name`. */
void window_add_latency(json_t *result, const char *name, const struct histogram *histogram);

/* Counters, gauges and histograms in Prometheus text form. Loop thread only. A metric is a static
 * object that registers itself at first use; labels never contain JIDs or addresses. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM, /* values in seconds */
};

struct metric {
    const char
            *name; /* e.g. "stream_errors_total"; the program's name is put in front: "edge_..." */
    const char *help;
    const char *labels; /* fixed label text such as "dir=\"in\"", or NULL */
    enum metric_type type;
    int64_t (*read)(void *context); /* gauges computed at scrape time, or NULL */
    void *context;
    int64_t value;
    struct metric_buckets *buckets;
    struct metric *next;
    int registered;
};

/* clang-format off */
#define METRIC_COUNTER_INIT(n, h, l)   { .name = (n), .help = (h), .labels = (l), .type = METRIC_COUNTER }
#define METRIC_GAUGE_INIT(n, h, l)     { .name = (n), .help = (h), .labels = (l), .type = METRIC_GAUGE }
#define METRIC_HISTOGRAM_INIT(n, h, l) { .name = (n), .help = (h), .labels = (l), .type = METRIC_HISTOGRAM }
/* clang-format on */

void metric_register(
        struct metric *metric); /* shows it with 0 before its first event; twice: nothing */
void metric_add(struct metric *metric, int64_t delta);
void metric_set(struct metric *metric, int64_t value);
void metric_observe_us(struct metric *metric, int64_t microseconds);

/* One family with a counter for each value of one label; `value` strings are constants of the
 * program, at most 64. */
struct metric_family {
    const char *name;
    const char *help;
    const char *label;
    struct metric *items[64];
    size_t count;
};
void metric_family_add(struct metric_family *family, const char *value, int64_t delta);

void metrics_set_prefix(const char *program);
void metrics_write(
        struct buf *out); /* all of them, /metrics format, with process_* and build_info */

/* Metrics in the text format of Prometheus (exposition format 0.0.4). */
#include "chassis/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chassis/base/buf.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"

/* Upper bounds: from one hop on the bus to the longest time-out anybody waits for. */
static const struct {
    int64_t us;
    const char *seconds;
} bounds[] = {
    { 50, "0.00005" },
    { 100, "0.0001" },
    { 250, "0.00025" },
    { 500, "0.0005" },
    { 1000, "0.001" },
    { 2500, "0.0025" },
    { 5000, "0.005" },
    { 10000, "0.01" },
    { 25000, "0.025" },
    { 50000, "0.05" },
    { 100000, "0.1" },
    { 250000, "0.25" },
    { 500000, "0.5" },
    { 1000000, "1" },
    { 2500000, "2.5" },
    { 5000000, "5" },
    { 10000000, "10" },
};

enum {
    BOUND_COUNT = sizeof(bounds) / sizeof(bounds[0]),
    FAMILY_MAX = 64,
};

struct metric_buckets {
    uint64_t counts[BOUND_COUNT + 1]; /* the last one: above all bounds */
    int64_t sum_us;
};

static struct metric *first_metric;
static struct metric **last_metric = &first_metric;
static char prefix[32] = "starling";
static char program_name[32] = "starling";

void metrics_set_prefix(const char *program)
{
    snprintf(program_name, sizeof(program_name), "%s", program);
    snprintf(prefix, sizeof(prefix), "%s", program);
    for (char *c = prefix; *c != '\0'; c++) {
        if (*c == '-') {
            *c = '_';
        }
    }
}

void metric_register(struct metric *metric)
{
    if (metric->registered != 0) {
        return;
    }
    metric->registered = 1;
    metric->next = NULL;
    if (metric->type == METRIC_HISTOGRAM) {
        metric->buckets = MEM_NEW(struct metric_buckets);
    }
    *last_metric = metric;
    last_metric = &metric->next;
}

void metric_add(struct metric *metric, int64_t delta)
{
    metric_register(metric);
    metric->value += delta;
}

void metric_set(struct metric *metric, int64_t value)
{
    metric_register(metric);
    metric->value = value;
}

void metric_observe_us(struct metric *metric, int64_t microseconds)
{
    metric_register(metric);
    size_t i = 0;
    while (i < BOUND_COUNT && microseconds > bounds[i].us) {
        i++;
    }
    metric->buckets->counts[i]++;
    metric->buckets->sum_us += microseconds;
}

/* ---- families */

static struct metric *family_item_create(struct metric_family *family, const char *value)
{
    struct buf labels;
    buf_init(&labels, 0);
    buf_printf(&labels, "%s=\"%s\"", family->label, value);
    struct metric *metric = MEM_NEW(struct metric);
    metric->name = family->name;
    metric->help = family->help;
    metric->labels = str_to_cstr(buf_view(&labels));
    metric->type = METRIC_COUNTER;
    buf_fini(&labels);
    return metric;
}

static bool label_has_value(const struct metric *metric, const char *label, const char *value)
{
    struct str rest = str_from_cstr(metric->labels);
    rest.ptr += strlen(label) + 2; /* behind label=" */
    rest.len -= strlen(label) + 3; /* without the closing quote */
    return str_equal(rest, str_from_cstr(value));
}

void metric_family_add(struct metric_family *family, const char *value, int64_t delta)
{
    for (size_t i = 0; i < family->count; i++) {
        if (label_has_value(family->items[i], family->label, value)) {
            metric_add(family->items[i], delta);
            return;
        }
    }
    if (family->count == FAMILY_MAX) {
        metric_add(family->items[FAMILY_MAX - 1], delta); /* "other" */
        return;
    }
    bool is_last = family->count == FAMILY_MAX - 1;
    struct metric *metric = family_item_create(family, is_last ? "other" : value);
    family->items[family->count++] = metric;
    metric_add(metric, delta);
}

/* ---- writing */

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER: return "counter";
    case METRIC_GAUGE: return "gauge";
    case METRIC_HISTOGRAM: return "histogram";
    }
    return "untyped";
}

static void write_header(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_seconds(struct buf *out, int64_t us)
{
    buf_printf(out, "%" PRId64 ".%06d", us / 1000000, (int)(us % 1000000));
}

static void write_histogram(struct buf *out, const char *name, const struct metric *metric)
{
    const char *labels = metric->labels != NULL ? metric->labels : "";
    const char *comma = metric->labels != NULL ? "," : "";
    uint64_t total = 0;
    for (size_t i = 0; i <= BOUND_COUNT; i++) {
        total += metric->buckets->counts[i];
        buf_printf(out,
                "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n",
                name,
                labels,
                comma,
                i < BOUND_COUNT ? bounds[i].seconds : "+Inf",
                total);
    }
    const char *open = metric->labels != NULL ? "{" : "";
    const char *close = metric->labels != NULL ? "}" : "";
    buf_printf(out, "%s_sum%s%s%s ", name, open, labels, close);
    write_seconds(out, metric->buckets->sum_us);
    buf_printf(out, "\n%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, total);
}

static void write_sample(struct buf *out, const char *name, const struct metric *metric)
{
    if (metric->type == METRIC_HISTOGRAM) {
        write_histogram(out, name, metric);
        return;
    }
    int64_t value = metric->read != NULL ? metric->read(metric->context) : metric->value;
    buf_append_str(out, str_from_cstr(name));
    if (metric->labels != NULL) {
        buf_printf(out, "{%s}", metric->labels);
    }
    buf_printf(out, " %" PRId64 "\n", value);
}

static bool is_first_of_name(const struct metric *metric)
{
    for (const struct metric *m = first_metric; m != metric; m = m->next) {
        if (strcmp(m->name, metric->name) == 0) {
            return false;
        }
    }
    return true;
}

/* All samples of one name stand together, as the format demands. */
static void write_metrics_of_name(struct buf *out, const struct metric *first)
{
    char name[128];
    snprintf(name, sizeof(name), "%s_%s", prefix, first->name);
    write_header(out, name, type_name(first->type), first->help);
    for (const struct metric *m = first; m != NULL; m = m->next) {
        if (strcmp(m->name, first->name) == 0) {
            write_sample(out, name, m);
        }
    }
}

/* ---- the process */

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        if (fscanf(statm, "%*s %lld", &pages) != 1) {
            pages = 0;
        }
        fclose(statm);
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int64_t open_fds(void)
{
    int64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += entry->d_name[0] != '.';
    }
    closedir(dir);
    return count - 1; /* without the one that looks */
}

static void write_process(struct buf *out)
{
    struct timespec cpu = { 0 };
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    write_header(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    buf_printf(out, "process_resident_memory_bytes %" PRId64 "\n", resident_bytes());
    write_header(out, "process_open_fds", "gauge", "Open file descriptors.");
    buf_printf(out, "process_open_fds %" PRId64 "\n", open_fds());
    write_header(out, "process_cpu_seconds_total", "counter", "User and system time.");
    buf_append_literal(out, "process_cpu_seconds_total ");
    write_seconds(out, (int64_t)cpu.tv_sec * 1000000 + cpu.tv_nsec / 1000);
    buf_append_char(out, '\n');
    write_header(out, "build_info", "gauge", "What runs here.");
    buf_printf(
            out, "build_info{program=\"%s\",version=\"%s\"} 1\n", program_name, STARLING_VERSION);
    char name[64];
    snprintf(name, sizeof(name), "%s_log_dropped_total", prefix);
    write_header(out, name, "counter", "Log records lost because the sink was full.");
    buf_printf(out, "%s %" PRIu64 "\n", name, log_dropped_total());
}

void metrics_write(struct buf *out)
{
    write_process(out);
    for (const struct metric *m = first_metric; m != NULL; m = m->next) {
        if (is_first_of_name(m)) {
            write_metrics_of_name(out, m);
        }
    }
}

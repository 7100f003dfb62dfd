/* Latencies in microseconds with a relative error below 1/64, whatever their number. */
#pragma once

#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 64, /* for each doubling */
    HISTOGRAM_BUCKETS = 40 * HISTOGRAM_STEPS,
};

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t highest;
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value `percent` of all are not above (upper edge of its bucket, at most the highest); 0
 * without values. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

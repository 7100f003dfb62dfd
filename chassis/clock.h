/* Time as a parameter, so that tests own it. Monotonic time drives time-outs (a step of the wall
 * clock moves no timer); wall time is for stamps and ids. */
#pragma once

#include <stdint.h>

struct clock {
    int64_t (*monotonic_ms)(void *context);
    int64_t (*wall_us)(void *context); /* microseconds since 1970 UTC */
    void *context;
};

extern const struct clock clock_system;

/* A clock that stands still until moved. `fake_clock_clock` is valid as long as `fake`. */
struct fake_clock {
    int64_t monotonic_ms;
    int64_t wall_us;
};
struct clock fake_clock_clock(struct fake_clock *fake);

/* Timers: thousands of cheap, embedded ones on a hashed wheel (10 ms steps), driven by the loop or
 * by a test. Loop thread only. Starting and stopping cost O(1) and allocate nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/clock.h"

struct timer_wheel;

struct timer {
    struct timer *next;
    struct timer **prev; /* NULL: not running */
    int64_t due_ms;
    void (*on_due)(struct timer *timer, void *context);
    void *context;
};

struct timer_wheel *timer_wheel_create(const struct clock *clock);
void timer_wheel_destroy(struct timer_wheel *wheel);

/* Once, before it is first started: a running one would be in two lists. */
void timer_init(struct timer *timer, void (*on_due)(struct timer *, void *), void *context);
/* Fires once, `delay_ms` from now, never early. Starting a running timer moves it. */
void timer_start(struct timer_wheel *wheel, struct timer *timer, int64_t delay_ms);
void timer_stop(struct timer *timer); /* of a stopped timer: nothing */
bool timer_is_running(const struct timer *timer);

/* Fires what is due; callbacks may start, stop and free any timer. Returns the ms until the next
 * one may be due, -1 without timers. */
int64_t timer_wheel_run(struct timer_wheel *wheel);
/* The same, firing nothing. */
int64_t timer_wheel_next_ms(const struct timer_wheel *wheel);

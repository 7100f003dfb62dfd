/* The system's clocks, and one for tests. */
#include "chassis/clock.h"

#include <time.h>

#include "chassis/base/err.h"

static struct timespec clock_read(clockid_t id)
{
    struct timespec now;
    ASSERT(clock_gettime(id, &now) == 0);
    return now;
}

static int64_t system_monotonic_ms(void *context)
{
    (void)context;
    struct timespec now = clock_read(CLOCK_MONOTONIC);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_wall_us(void *context)
{
    (void)context;
    struct timespec now = clock_read(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const struct clock clock_system = {
    .monotonic_ms = system_monotonic_ms,
    .wall_us = system_wall_us,
};

static int64_t fake_monotonic_ms(void *context)
{
    const struct fake_clock *fake = context;
    return fake->monotonic_ms;
}

static int64_t fake_wall_us(void *context)
{
    const struct fake_clock *fake = context;
    return fake->wall_us;
}

struct clock fake_clock_clock(struct fake_clock *fake)
{
    return (struct clock){
        .monotonic_ms = fake_monotonic_ms,
        .wall_us = fake_wall_us,
        .context = fake,
    };
}

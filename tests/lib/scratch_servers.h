/* Private servers for tests (tests/lib/scratch-pg, scratch-redis) and a loop that runs until
 * something has happened. Header only: a unit test links nothing of tests/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chassis/base/err.h"
#include "chassis/loop.h"

/* Runs "tests/lib/COMMAND" (tests run in the top folder) and ends the test when it fails. */
static inline void scratch_run(const char *command)
{
    char line[512];
    (void)snprintf(line, sizeof(line), "tests/lib/%s >/dev/null", command);
    ASSERT(system(line) == 0);
}

/* Starts "scratch-pg" or "scratch-redis"; `dir_out` gets its folder. */
static inline void scratch_start(const char *server, char dir_out[128])
{
    char line[256];
    (void)snprintf(line, sizeof(line), "tests/lib/%s start", server);
    FILE *pipe = popen(line, "r");
    ASSERT(pipe != NULL && fgets(dir_out, 128, pipe) != NULL);
    dir_out[strcspn(dir_out, "\n")] = '\0';
    ASSERT(pclose(pipe) == 0);
}

static inline void scratch_do(const char *server, const char *verb, const char *dir)
{
    char command[256];
    (void)snprintf(command, sizeof(command), "%s %s %s", server, verb, dir);
    scratch_run(command);
}

/* ---- running the loop until a condition holds */

struct scratch_wait {
    struct loop *loop;
    bool (*is_met)(void *context);
    void *context;
    struct timer poll;
    int64_t deadline_ms;
    bool result;
};

static inline void scratch_wait_poll(struct timer *timer, void *context)
{
    struct scratch_wait *wait = context;
    wait->result = wait->is_met(wait->context);
    if (wait->result || loop_now_ms(wait->loop) >= wait->deadline_ms) {
        loop_stop(wait->loop);
    } else {
        timer_start(loop_timers(wait->loop), timer, 1);
    }
}

static inline bool scratch_run_until(
        struct loop *loop, bool (*is_met)(void *context), void *context, int64_t timeout_ms)
{
    struct scratch_wait wait = {
        .loop = loop,
        .is_met = is_met,
        .context = context,
        .deadline_ms = loop_now_ms(loop) + timeout_ms,
    };
    timer_init(&wait.poll, scratch_wait_poll, &wait);
    timer_start(loop_timers(loop), &wait.poll, 0);
    loop_run(loop);
    timer_stop(&wait.poll);
    return wait.result;
}

static inline bool scratch_is_true(void *context)
{
    return *(const bool *)context;
}

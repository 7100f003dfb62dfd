/* The event loop of a process: thin over libuv. One thread; everything here is called from that
 * thread, unless it says otherwise. Work that arrives in one turn leaves in one piece: see
 * loop_defer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/clock.h"
#include "chassis/timer.h"

struct loop;
struct loop_watch;
struct loop_wake;

struct loop *loop_create(const struct clock *clock);
void loop_destroy(struct loop *loop); /* all watches and wakes must be destroyed before */
void loop_run(struct loop *loop);     /* until loop_stop */
void loop_stop(struct loop *loop);

/* Cached for the turn: cheap. */
int64_t loop_now_ms(const struct loop *loop);
int64_t loop_wall_us(const struct loop *loop);
/* Reads it again: before something that must not happen if the process has slept in this turn. */
void loop_refresh(struct loop *loop);
struct timer_wheel *loop_timers(struct loop *loop);

/* ---- file descriptors */
enum {
    LOOP_READABLE = 1 << 0,
    LOOP_WRITABLE = 1 << 1,
    LOOP_HANGUP = 1 << 2, /* reported only */
};
typedef void (*loop_watch_fn)(void *context, unsigned events);

/* Does not own `fd`; destroy the watch before closing it. Starts with no events. */
struct loop_watch *loop_watch_create(struct loop *loop, int fd, loop_watch_fn fn, void *context);
void loop_watch_set(struct loop_watch *watch, unsigned events); /* cheap when nothing changes */
void loop_watch_destroy(struct loop_watch *watch); /* no callback after it; accepts NULL */

/* ---- the end of the turn */
struct loop_task {
    void (*run)(void *context);
    void *context;
    struct loop_task *next;
    bool queued;
};
/* Runs `task` once at the end of this turn, however often asked. In order of first asking, in
 * `phase`. A task queued while tasks run, runs in the same turn; the loop never sleeps while one
 * waits. */
enum loop_phase {
    LOOP_PHASE_WORK,  /* more work: mailboxes */
    LOOP_PHASE_STORE, /* groups to PostgreSQL, pipelines to Redis */
    LOOP_PHASE_SEND,  /* bus frames, TLS writes */
    LOOP_PHASE_REAP,  /* freeing what died in this turn */
    LOOP_PHASES,
};
void loop_defer(struct loop *loop, enum loop_phase phase, struct loop_task *task);
void loop_task_cancel(struct loop *loop, struct loop_task *task);

/* ---- other threads */
/* loop_wake_signal may be called from any thread; many signals may become one call of `fn`. */
struct loop_wake *loop_wake_create(struct loop *loop, void (*fn)(void *context), void *context);
void loop_wake_signal(struct loop_wake *wake);
void loop_wake_destroy(
        struct loop_wake *wake); /* the other threads must have stopped signalling; accepts NULL */

/* Runs `work` on the thread pool, then `done` on the loop. `context` belongs to the pair until
 * `done`. */
void loop_offload(
        struct loop *loop, void (*work)(void *context), void (*done)(void *context), void *context);

/* ---- signals */
void loop_on_signal(
        struct loop *loop, int signum, void (*fn)(void *context, int signum), void *context);

/* The uv_loop_t, for adapters inside chassis only. */
struct uv_loop_s *loop_uv(struct loop *loop);

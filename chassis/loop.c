/* The event loop over libuv. A turn: sleep, callbacks of descriptors and wakes, due timers, then
 * the deferred phases. libuv's check handle ends the turn; its prepare handle does so once more for
 * whatever libuv ran outside it, and sets how long to sleep. */
#include "chassis/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "chassis/base/mem.h"

enum {
    LOOP_MAX_PASSES = 64,     /* of the phases in one turn */
    LOOP_MAX_TASKS = 1 << 16, /* of one phase in one pass */
};

struct task_queue {
    struct loop_task *head;
    struct loop_task **tail;
};

/* Behind a pointer: reading the time of a const loop may refresh it. */
struct loop_time {
    int64_t now_ms;
    int64_t wall_us;
    bool is_stale;
};

struct loop_signal {
    uv_signal_t uv;
    void (*fn)(void *context, int signum);
    void *context;
};

struct loop {
    uv_loop_t uv;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    const struct clock *clock;
    struct loop_time *time;
    struct timer_wheel *wheel;
    struct task_queue phases[LOOP_PHASES];
    bool is_running;
};

struct loop_watch {
    uv_poll_t uv;
    loop_watch_fn fn;
    void *context;
    unsigned events;
    bool is_dead;
};

struct loop_wake {
    uv_async_t uv;
    void (*fn)(void *context);
    void *context;
};

struct loop_work {
    uv_work_t uv;
    void (*work)(void *context);
    void (*done)(void *context);
    void *context;
};

/* ---- time */

static void refresh_time(const struct loop *loop)
{
    /* Outside loop_run nobody marks the time as stale, so it is read each time. */
    if (loop->time->is_stale || !loop->is_running) {
        loop->time->now_ms = loop->clock->monotonic_ms(loop->clock->context);
        loop->time->wall_us = loop->clock->wall_us(loop->clock->context);
        loop->time->is_stale = false;
    }
}

int64_t loop_now_ms(const struct loop *loop)
{
    refresh_time(loop);
    return loop->time->now_ms;
}

void loop_refresh(struct loop *loop)
{
    loop->time->is_stale = true;
}

int64_t loop_wall_us(const struct loop *loop)
{
    refresh_time(loop);
    return loop->time->wall_us;
}

struct timer_wheel *loop_timers(struct loop *loop)
{
    return loop->wheel;
}

/* ---- the end of the turn */

void loop_defer(struct loop *loop, enum loop_phase phase, struct loop_task *task)
{
    if (task->queued) {
        return;
    }
    struct task_queue *queue = &loop->phases[phase];
    task->queued = true;
    task->next = NULL;
    *queue->tail = task;
    queue->tail = &task->next;
}

static bool queue_unlink(struct task_queue *queue, struct loop_task *task)
{
    for (struct loop_task **at = &queue->head; *at != NULL; at = &(*at)->next) {
        if (*at == task) {
            *at = task->next;
            if (queue->tail == &task->next) {
                queue->tail = at;
            }
            return true;
        }
    }
    return false;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
    if (!task->queued) {
        return;
    }
    for (int phase = 0; phase < LOOP_PHASES; phase++) {
        if (queue_unlink(&loop->phases[phase], task)) {
            break;
        }
    }
    task->queued = false;
    task->next = NULL;
}

static bool has_tasks_before(const struct loop *loop, int phase)
{
    for (int i = 0; i < phase; i++) {
        if (loop->phases[i].head != NULL) {
            return true;
        }
    }
    return false;
}

static void run_phase(struct task_queue *queue)
{
    for (int i = 0; i < LOOP_MAX_TASKS && queue->head != NULL; i++) {
        struct loop_task *task = queue->head;
        queue->head = task->next;
        if (queue->head == NULL) {
            queue->tail = &queue->head;
        }
        task->queued = false;
        task->next = NULL;
        task->run(task->context); /* may free the task */
    }
}

/* A phase that gave an earlier one work makes the phases start again, so that what belongs to this
 * turn leaves with it. Tasks that feed each other without end must not starve the descriptors: the
 * last pass goes straight through, the rest waits for the next turn. */
static void run_phases(struct loop *loop)
{
    for (int pass = 1; pass <= LOOP_MAX_PASSES && has_tasks_before(loop, LOOP_PHASES); pass++) {
        for (int phase = 0; phase < LOOP_PHASES; phase++) {
            run_phase(&loop->phases[phase]);
            if (pass < LOOP_MAX_PASSES && has_tasks_before(loop, phase)) {
                break;
            }
        }
    }
}

static void end_turn(struct loop *loop)
{
    loop->time->is_stale = true;
    timer_wheel_run(loop->wheel);
    run_phases(loop);
}

static void on_check(uv_check_t *check)
{
    end_turn(check->data);
}

/* Only there to wake: due timers are fired by end_turn. */
static void on_uv_timer(uv_timer_t *timer)
{
    (void)timer;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    end_turn(loop);
    int64_t sleep_ms = has_tasks_before(loop, LOOP_PHASES) ? 0 : timer_wheel_next_ms(loop->wheel);
    if (sleep_ms < 0) {
        uv_timer_stop(&loop->timer);
    } else {
        uv_update_time(&loop->uv); /* the turn may have taken a while */
        uv_timer_start(&loop->timer, on_uv_timer, (uint64_t)sleep_ms, 0);
    }
    loop->time->is_stale = true; /* it will be, after the sleep */
}

/* ---- the loop */

struct loop *loop_create(const struct clock *clock)
{
    struct loop *loop = MEM_NEW(struct loop);
    loop->clock = clock;
    loop->time = MEM_NEW(struct loop_time);
    loop->wheel = timer_wheel_create(clock);
    for (int phase = 0; phase < LOOP_PHASES; phase++) {
        loop->phases[phase].tail = &loop->phases[phase].head;
    }
    ASSERT(uv_loop_init(&loop->uv) == 0);
    uv_timer_init(&loop->uv, &loop->timer);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    loop->prepare.data = loop;
    loop->check.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    /* A peer that is gone is an error of write, not the end of the process. */
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    return loop;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle); /* the uv part is the first member of each of our objects */
}

static void close_leftover(uv_handle_t *handle, void *arg)
{
    struct loop *loop = arg;
    bool is_embedded = handle == (uv_handle_t *)&loop->timer
            || handle == (uv_handle_t *)&loop->prepare || handle == (uv_handle_t *)&loop->check;
    if (!uv_is_closing(handle)) {
        /* Watches and wakes are gone already, so only our own and signal handles are left. */
        ASSERT(is_embedded || handle->type == UV_SIGNAL);
        uv_close(handle, is_embedded ? NULL : free_handle);
    }
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    uv_walk(&loop->uv, close_leftover, loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* also waits for the thread pool and calls `done` */
    ASSERT(uv_loop_close(&loop->uv) == 0);
    timer_wheel_destroy(loop->wheel);
    free(loop->time);
    free(loop);
}

void loop_run(struct loop *loop)
{
    loop->is_running = true;
    loop->time->is_stale = true;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->is_running = false;
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

/* ---- file descriptors */

static void on_poll(uv_poll_t *uv, int status, int uv_events);

static void watch_arm(struct loop_watch *watch)
{
    int uv_events = 0;
    if ((watch->events & LOOP_READABLE) != 0) {
        /* Disconnects only for those who read: they will see the end and stop. Others would be
         * called again and again. */
        uv_events |= UV_READABLE | UV_DISCONNECT;
    }
    if ((watch->events & LOOP_WRITABLE) != 0) {
        uv_events |= UV_WRITABLE;
    }
    int failed = uv_events == 0 ? uv_poll_stop(&watch->uv)
                                : uv_poll_start(&watch->uv, uv_events, on_poll);
    ASSERT(failed == 0);
}

static void on_poll(uv_poll_t *uv, int status, int uv_events)
{
    struct loop_watch *watch = (struct loop_watch *)uv;
    unsigned events = 0;
    if (status < 0) {
        /* libuv has stopped the poll because of POLLERR; read or write will tell the reason. */
        events = watch->events | LOOP_HANGUP;
    } else {
        events |= (uv_events & UV_READABLE) != 0 ? LOOP_READABLE : 0U;
        events |= (uv_events & UV_WRITABLE) != 0 ? LOOP_WRITABLE : 0U;
        events |= (uv_events & UV_DISCONNECT) != 0 ? LOOP_READABLE | LOOP_HANGUP : 0U;
    }
    watch->fn(watch->context, events);
    if (status < 0 && !watch->is_dead) {
        watch_arm(watch);
    }
}

struct loop_watch *loop_watch_create(struct loop *loop, int fd, loop_watch_fn fn, void *context)
{
    struct loop_watch *watch = MEM_NEW(struct loop_watch);
    watch->fn = fn;
    watch->context = context;
    ASSERT(uv_poll_init(&loop->uv, &watch->uv, fd) == 0);
    return watch;
}

void loop_watch_set(struct loop_watch *watch, unsigned events)
{
    events &= LOOP_READABLE | LOOP_WRITABLE;
    if (events != watch->events) {
        watch->events = events;
        watch_arm(watch);
    }
}

void loop_watch_destroy(struct loop_watch *watch)
{
    if (watch != NULL) {
        watch->is_dead = true;
        uv_close((uv_handle_t *)&watch->uv, free_handle); /* leaves epoll at once */
    }
}

/* ---- other threads */

static void on_async(uv_async_t *uv)
{
    struct loop_wake *wake = (struct loop_wake *)uv;
    wake->fn(wake->context);
}

struct loop_wake *loop_wake_create(struct loop *loop, void (*fn)(void *context), void *context)
{
    struct loop_wake *wake = MEM_NEW(struct loop_wake);
    wake->fn = fn;
    wake->context = context;
    ASSERT(uv_async_init(&loop->uv, &wake->uv, on_async) == 0);
    return wake;
}

void loop_wake_signal(struct loop_wake *wake)
{
    uv_async_send(&wake->uv);
}

void loop_wake_destroy(struct loop_wake *wake)
{
    if (wake != NULL) {
        uv_close((uv_handle_t *)&wake->uv, free_handle);
    }
}

static void on_work(uv_work_t *uv)
{
    struct loop_work *work = (struct loop_work *)uv;
    work->work(work->context);
}

static void on_work_done(uv_work_t *uv, int status)
{
    (void)status; /* never cancelled */
    struct loop_work *work = (struct loop_work *)uv;
    work->done(work->context);
    free(work);
}

void loop_offload(
        struct loop *loop, void (*work)(void *context), void (*done)(void *context), void *context)
{
    struct loop_work *item = MEM_NEW(struct loop_work);
    item->work = work;
    item->done = done;
    item->context = context;
    ASSERT(uv_queue_work(&loop->uv, &item->uv, on_work, on_work_done) == 0);
}

/* ---- signals */

static void on_signal(uv_signal_t *uv, int signum)
{
    struct loop_signal *item = (struct loop_signal *)uv;
    item->fn(item->context, signum);
}

void loop_on_signal(
        struct loop *loop, int signum, void (*fn)(void *context, int signum), void *context)
{
    struct loop_signal *item = MEM_NEW(struct loop_signal);
    item->fn = fn;
    item->context = context;
    ASSERT(uv_signal_init(&loop->uv, &item->uv) == 0);
    ASSERT(uv_signal_start(&item->uv, on_signal, signum) == 0);
}

/* The loop with real descriptors and threads; time-outs of a few milliseconds. */
#include "chassis/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    char order[256];
    size_t count;
    int fds[2];
    struct loop_watch *watch;
    struct loop_wake *wake;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .loop = loop_create(&clock_system), .fds = { -1, -1 } };
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    loop_watch_destroy(f->watch);
    loop_wake_destroy(f->wake);
    loop_destroy(f->loop);
    for (int i = 0; i < 2; i++) {
        if (f->fds[i] >= 0) {
            close(f->fds[i]);
        }
    }
    return 0;
}

static void note(struct fixture *f, char c)
{
    assert_true(f->count < sizeof(f->order) - 1);
    f->order[f->count++] = c;
    f->order[f->count] = '\0';
}

/* ---- phases */

struct step {
    struct loop_task task;
    struct fixture *fixture;
    char name;
    struct step *then;
    enum loop_phase then_phase;
    bool is_last;
};

static void run_step(void *context)
{
    struct step *step = context;
    note(step->fixture, step->name);
    if (step->then != NULL) {
        loop_defer(step->fixture->loop, step->then_phase, &step->then->task);
        step->then = NULL;
    }
    if (step->is_last) {
        loop_stop(step->fixture->loop);
    }
}

static void step_init(struct fixture *f, struct step *step, char name)
{
    *step = (struct step){ .fixture = f, .name = name };
    step->task.run = run_step;
    step->task.context = step;
}

static void phases_run_in_order_and_each_task_once(void **state)
{
    struct fixture *f = *state;
    struct step work, store, send, reap;
    step_init(f, &work, 'w');
    step_init(f, &store, 's');
    step_init(f, &send, 'x');
    step_init(f, &reap, 'r');
    reap.is_last = true;
    loop_defer(f->loop, LOOP_PHASE_REAP, &reap.task);
    loop_defer(f->loop, LOOP_PHASE_SEND, &send.task);
    loop_defer(f->loop, LOOP_PHASE_STORE, &store.task);
    loop_defer(f->loop, LOOP_PHASE_WORK, &work.task);
    loop_defer(f->loop, LOOP_PHASE_WORK, &work.task);
    loop_run(f->loop);
    assert_string_equal(f->order, "wsxr");
}

static void work_from_a_later_phase_belongs_to_the_same_turn(void **state)
{
    struct fixture *f = *state;
    struct step send, work, store, reap;
    step_init(f, &send, 'x');
    step_init(f, &work, 'w');
    step_init(f, &store, 's');
    step_init(f, &reap, 'r');
    send.then = &work;
    send.then_phase = LOOP_PHASE_WORK;
    work.then = &store;
    work.then_phase = LOOP_PHASE_STORE;
    reap.is_last = true;
    loop_defer(f->loop, LOOP_PHASE_SEND, &send.task);
    loop_defer(f->loop, LOOP_PHASE_REAP, &reap.task);
    loop_run(f->loop);
    assert_string_equal(f->order, "xwsr");
}

static void cancelled_tasks_do_not_run(void **state)
{
    struct fixture *f = *state;
    struct step one, two, three;
    step_init(f, &one, '1');
    step_init(f, &two, '2');
    step_init(f, &three, '3');
    three.is_last = true;
    loop_defer(f->loop, LOOP_PHASE_WORK, &one.task);
    loop_defer(f->loop, LOOP_PHASE_WORK, &two.task);
    loop_task_cancel(f->loop, &two.task);
    loop_task_cancel(f->loop, &two.task);
    loop_defer(f->loop, LOOP_PHASE_WORK, &three.task);
    loop_run(f->loop);
    assert_string_equal(f->order, "13");
}

struct endless {
    struct loop_task task;
    struct loop *loop;
    uint64_t rounds;
};

static void run_endless(void *context)
{
    struct endless *endless = context;
    endless->rounds++;
    loop_defer(endless->loop, LOOP_PHASE_WORK, &endless->task);
}

static void stop_on_read(void *context, unsigned events)
{
    struct fixture *f = context;
    assert_true((events & LOOP_READABLE) != 0);
    loop_stop(f->loop);
}

static void tasks_without_end_do_not_starve_descriptors(void **state)
{
    struct fixture *f = *state;
    struct endless endless = { .loop = f->loop };
    endless.task.run = run_endless;
    endless.task.context = &endless;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, f->fds), 0);
    f->watch = loop_watch_create(f->loop, f->fds[0], stop_on_read, f);
    loop_watch_set(f->watch, LOOP_READABLE);
    assert_int_equal(write(f->fds[1], "x", 1), 1);
    loop_defer(f->loop, LOOP_PHASE_WORK, &endless.task);
    loop_run(f->loop);
    assert_true(endless.rounds > 0);
    loop_task_cancel(f->loop, &endless.task);
}

/* ---- timers */

static void stop_on_timer(struct timer *timer, void *context)
{
    (void)timer;
    struct fixture *f = context;
    note(f, 't');
    loop_stop(f->loop);
}

static void timers_wake_the_sleeping_loop_never_early(void **state)
{
    struct fixture *f = *state;
    struct timer timer;
    timer_init(&timer, stop_on_timer, f);
    int64_t start_ms = loop_now_ms(f->loop);
    timer_start(loop_timers(f->loop), &timer, 15);
    loop_run(f->loop);
    assert_string_equal(f->order, "t");
    assert_true(loop_now_ms(f->loop) - start_ms >= 15);
    assert_true(loop_wall_us(f->loop) > INT64_C(1600000000000000));
}

/* ---- descriptors */

static void note_hangup(void *context, unsigned events)
{
    struct fixture *f = context;
    if ((events & LOOP_HANGUP) != 0) {
        note(f, 'h');
        loop_watch_destroy(f->watch); /* from inside its own callback */
        f->watch = NULL;
        loop_stop(f->loop);
    } else if ((events & LOOP_WRITABLE) != 0) {
        note(f, 'w');
        loop_watch_set(f->watch, LOOP_READABLE);
        close(f->fds[1]);
        f->fds[1] = -1;
    }
}

static void watch_reports_writable_then_hangup(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, f->fds), 0);
    f->watch = loop_watch_create(f->loop, f->fds[0], note_hangup, f);
    loop_watch_set(f->watch, LOOP_READABLE | LOOP_WRITABLE);
    loop_run(f->loop);
    assert_string_equal(f->order, "wh");
}

/* ---- threads and signals */

static void on_wake(void *context)
{
    struct fixture *f = context;
    note(f, 'a');
    loop_stop(f->loop);
}

static void *signal_from_thread(void *context)
{
    loop_wake_signal(context);
    return NULL;
}

static void wake_from_another_thread(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    f->wake = loop_wake_create(f->loop, on_wake, f);
    assert_int_equal(pthread_create(&thread, NULL, signal_from_thread, f->wake), 0);
    loop_run(f->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(f->order, "a");
}

static void offload_work(void *context)
{
    struct fixture *f = context;
    note(f, 'o');
}

static void offload_done(void *context)
{
    struct fixture *f = context;
    note(f, 'd');
    loop_stop(f->loop);
}

static void offload_runs_work_then_done(void **state)
{
    struct fixture *f = *state;
    loop_offload(f->loop, offload_work, offload_done, f);
    loop_run(f->loop);
    assert_string_equal(f->order, "od");
}

static void destroy_waits_for_offloaded_work(void **state)
{
    struct fixture *f = *state;
    loop_offload(f->loop, offload_work, offload_done, f);
    loop_destroy(f->loop);
    f->loop = NULL;
    assert_string_equal(f->order, "od");
    f->loop = loop_create(&clock_system);
}

static void stop_on_signal(void *context, int signum)
{
    struct fixture *f = context;
    assert_int_equal(signum, SIGUSR1);
    note(f, 'S');
    loop_stop(f->loop);
}

static void signals_arrive_and_sigpipe_is_ignored(void **state)
{
    struct fixture *f = *state;
    loop_on_signal(f->loop, SIGUSR1, stop_on_signal, f);
    assert_int_equal(raise(SIGPIPE), 0); /* H08 */
    assert_int_equal(raise(SIGUSR1), 0);
    loop_run(f->loop);
    assert_string_equal(f->order, "S");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(phases_run_in_order_and_each_task_once, setup, teardown),
        cmocka_unit_test_setup_teardown(
                work_from_a_later_phase_belongs_to_the_same_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled_tasks_do_not_run, setup, teardown),
        cmocka_unit_test_setup_teardown(
                tasks_without_end_do_not_starve_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_wake_the_sleeping_loop_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(watch_reports_writable_then_hangup, setup, teardown),
        cmocka_unit_test_setup_teardown(wake_from_another_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(offload_runs_work_then_done, setup, teardown),
        cmocka_unit_test_setup_teardown(destroy_waits_for_offloaded_work, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_arrive_and_sigpipe_is_ignored, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The wheel with a clock that stands still until moved. */
#include "chassis/timer.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MAX_FIRED = 16,
};

struct fixture {
    struct fake_clock fake;
    struct clock clock;
    struct timer_wheel *wheel;
    int fired[MAX_FIRED];
    int count;
};

struct numbered {
    struct timer timer;
    struct fixture *fixture;
    int number;
    struct timer *stops;
    int64_t again_ms; /* 0: not again */
};

static void on_due(struct timer *timer, void *context)
{
    struct numbered *numbered = context;
    struct fixture *f = numbered->fixture;
    assert_false(timer_is_running(timer));
    assert_true(f->count < MAX_FIRED);
    f->fired[f->count++] = numbered->number;
    if (numbered->stops != NULL) {
        timer_stop(numbered->stops);
    }
    if (numbered->again_ms > 0) {
        timer_start(f->wheel, timer, numbered->again_ms);
    }
}

static void number(struct fixture *f, struct numbered *numbered, int value)
{
    *numbered = (struct numbered){ .fixture = f, .number = value };
    timer_init(&numbered->timer, on_due, numbered);
}

static int64_t advance(struct fixture *f, int64_t ms)
{
    f->fake.monotonic_ms += ms;
    return timer_wheel_run(f->wheel);
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .fake = { .monotonic_ms = 1003 } };
    f.clock = fake_clock_clock(&f.fake);
    f.wheel = timer_wheel_create(&f.clock);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    timer_wheel_destroy(f->wheel);
    return 0;
}

static void fires_exactly_at_its_time_and_once(void **state)
{
    struct fixture *f = *state;
    struct numbered one;
    number(f, &one, 1);
    timer_start(f->wheel, &one.timer, 1234);
    assert_true(timer_is_running(&one.timer));
    advance(f, 1233);
    assert_int_equal(f->count, 0);
    advance(f, 1);
    assert_int_equal(f->count, 1);
    advance(f, 100000);
    assert_int_equal(f->count, 1);
    assert_int_equal(timer_wheel_next_ms(f->wheel), -1);
}

static void stopped_and_moved_timers(void **state)
{
    struct fixture *f = *state;
    struct numbered one, two;
    number(f, &one, 1);
    number(f, &two, 2);
    timer_start(f->wheel, &one.timer, 50);
    timer_start(f->wheel, &two.timer, 50);
    timer_stop(&one.timer);
    timer_stop(&one.timer);
    timer_start(f->wheel, &two.timer, 500); /* moves it */
    advance(f, 499);
    assert_int_equal(f->count, 0);
    advance(f, 1);
    assert_int_equal(f->count, 1);
    assert_int_equal(f->fired[0], 2);
}

static void same_time_fires_in_order_of_starting(void **state)
{
    struct fixture *f = *state;
    struct numbered timers[4];
    for (int i = 0; i < 4; i++) {
        number(f, &timers[i], i);
        timer_start(f->wheel, &timers[i].timer, 30);
    }
    advance(f, 30);
    assert_int_equal(f->count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(f->fired[i], i);
    }
}

static void long_timers_survive_rotations_and_jumps(void **state)
{
    struct fixture *f = *state;
    struct numbered hour, day;
    number(f, &hour, 1);
    number(f, &day, 2);
    timer_start(f->wheel, &hour.timer, 3600000);
    timer_start(f->wheel, &day.timer, 86400000);
    int64_t left = 3600000;
    while (left > 0) {
        assert_int_equal(f->count, 0);
        int64_t next = timer_wheel_next_ms(f->wheel);
        assert_true(next > 0 && next <= left);
        left -= next;
        advance(f, next);
    }
    assert_int_equal(f->count, 1);
    advance(f, 86400000); /* the machine slept */
    assert_int_equal(f->count, 2);
}

static void callbacks_stop_others_and_start_themselves(void **state)
{
    struct fixture *f = *state;
    struct numbered one, two;
    number(f, &one, 1);
    number(f, &two, 2);
    one.stops = &two.timer;
    one.again_ms = 100;
    timer_start(f->wheel, &one.timer, 20);
    timer_start(f->wheel, &two.timer, 20);
    advance(f, 20);
    assert_int_equal(f->count, 1);
    assert_false(timer_is_running(&two.timer));
    assert_int_equal(timer_wheel_next_ms(f->wheel), 100);
    one.again_ms = 0;
    advance(f, 100);
    assert_int_equal(f->count, 2);
}

static void zero_delay_fires_in_the_next_run_without_spinning(void **state)
{
    struct fixture *f = *state;
    struct numbered one;
    number(f, &one, 1);
    timer_start(f->wheel, &one.timer, -5);
    assert_int_equal(timer_wheel_next_ms(f->wheel), 0);
    assert_int_equal(timer_wheel_run(f->wheel), -1);
    assert_int_equal(f->count, 1);
}

static void init_while_it_runs(struct fixture *f)
{
    struct numbered one;
    number(f, &one, 1);
    timer_start(f->wheel, &one.timer, 100);
    timer_init(&one.timer, on_due, &one);
    timer_start(f->wheel, &one.timer, 200);
    advance(f, 150);
}

/* It would stay in the wheel when its owner stops and frees it. */
static void timer_in_two_lists_is_a_bug(void **state)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL); /* not cmocka's */
        init_while_it_runs(*state);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fires_exactly_at_its_time_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(stopped_and_moved_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(same_time_fires_in_order_of_starting, setup, teardown),
        cmocka_unit_test_setup_teardown(long_timers_survive_rotations_and_jumps, setup, teardown),
        cmocka_unit_test_setup_teardown(
                callbacks_stop_others_and_start_themselves, setup, teardown),
        cmocka_unit_test_setup_teardown(
                zero_delay_fires_in_the_next_run_without_spinning, setup, teardown),
        cmocka_unit_test_setup_teardown(timer_in_two_lists_is_a_bug, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

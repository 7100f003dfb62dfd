/* Our own tree: children count while they live and after they ended. */
#include "tests/load/proc_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WORK_S 0.15

static void work(void)
{
    volatile uint64_t sum = 0;
    double until = watch_own_cpu_s() + WORK_S;
    while (watch_own_cpu_s() < until) {
        for (unsigned i = 0; i < 10000; i++) {
            sum += i;
        }
    }
}

static void names_and_pids(void **state)
{
    (void)state;
    struct watch watch;
    assert_true(watch_parse("edge=12,34", &watch));
    assert_string_equal(watch.name, "edge");
    assert_int_equal(watch.root_count, 2);
    assert_int_equal(watch.roots[1], 34);
    assert_false(watch_parse("edge", &watch));
    assert_false(watch_parse("edge=", &watch));
    assert_false(watch_parse("=1", &watch));
    assert_false(watch_parse("edge=1,x", &watch));
}

static void children_count_alive_and_dead(void **state)
{
    (void)state;
    struct watch watch = { .name = "self", .root_count = 1 };
    watch.roots[0] = getpid();
    int hold[2];
    int told[2];
    char byte;
    assert_int_equal(pipe(hold), 0);
    assert_int_equal(pipe(told), 0);
    struct watch_sample before = watch_take(&watch, true);
    pid_t child = fork();
    if (child == 0) {
        close(hold[1]);
        work();
        (void)!write(told[1], "x", 1);
        (void)!read(hold[0], &byte, 1);
        _exit(0);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    struct watch_sample alive = watch_take(&watch, true);
    close(hold[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct watch_sample after = watch_take(&watch, false);
    assert_int_equal(alive.processes, before.processes + 1);
    assert_int_equal(after.processes, before.processes);
    assert_true(alive.cpu_s - before.cpu_s > WORK_S - 0.05);
    assert_true(after.cpu_s - before.cpu_s > WORK_S - 0.05);
    assert_true(before.rss_kib > 500 && before.pss_kib > 0 && alive.rss_kib > before.rss_kib);
    assert_int_equal(after.rss_kib, 0);
    close(hold[0]);
    close(told[0]);
    close(told[1]);
}

static void who_is_gone_counts_nothing(void **state)
{
    (void)state;
    struct watch watch = { .name = "gone", .root_count = 1 };
    watch.roots[0] = 0x7ffffff0;
    struct watch_sample sample = watch_take(&watch, true);
    assert_int_equal(sample.processes, 0);
    assert_int_equal(sample.rss_kib, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_pids),
        cmocka_unit_test(children_count_alive_and_dead),
        cmocka_unit_test(who_is_gone_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

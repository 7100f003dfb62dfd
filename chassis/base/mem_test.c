/* Allocation that never fails quietly. */
#include "chassis/base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int exit_signal(void (*run)(void))
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL); /* not cmocka's */
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void overflow_the_product(void)
{
    free(mem_calloc(SIZE_MAX / 2, 3));
}

static void product_overflow_aborts(void **state)
{
    (void)state;
    assert_int_equal(exit_signal(overflow_the_product), SIGABRT);
}

static void zero_bytes_are_a_pointer(void **state)
{
    (void)state;
    void *ptr = mem_alloc(0);
    assert_non_null(ptr);
    ptr = mem_realloc(ptr, 0);
    assert_non_null(ptr);
    free(ptr);
    free(mem_calloc(0, 8));
}

static void calloc_clears(void **state)
{
    (void)state;
    unsigned char *bytes = mem_calloc(10, 10);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(bytes[i], 0);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product_overflow_aborts),
        cmocka_unit_test(zero_bytes_are_a_pointer),
        cmocka_unit_test(calloc_clears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

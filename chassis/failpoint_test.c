/* Failpoints kill at the passage they name, and only there. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/service.h"

/* The passage at which a child dies, 0 if it lives. */
static int dies_at(const char *failpoints, const char *name)
{
    int status = 0;
    int report[2];
    assert_int_equal(pipe(report), 0);
    pid_t child = fork();
    if (child == 0) {
        setenv("STARLING_FAILPOINT", failpoints, 1);
        for (int i = 1; i <= 5; i++) {
            char c = 'x';
            if (write(report[1], &c, 1) == 1) {
                failpoint(name);
            }
        }
        _exit(0);
    }
    close(report[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    char passages[8];
    ssize_t count = read(report[0], passages, sizeof(passages));
    close(report[0]);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return (int)count;
    }
    return 0;
}

static void kills_at_the_counted_passage(void **state)
{
    (void)state;
#ifdef STARLING_TEST_BUILD
    assert_int_equal(dies_at("commit", "commit"), 1);
    assert_int_equal(dies_at("commit:3", "commit"), 3);
    assert_int_equal(dies_at("other:1,commit:2", "commit"), 2);
#endif
    assert_int_equal(dies_at("commit:6", "commit"), 0);
    assert_int_equal(dies_at("other", "commit"), 0);
    assert_int_equal(dies_at("", "commit"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kills_at_the_counted_passage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Names of errors. */
#include "chassis/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void every_error_has_its_own_name(void **state)
{
    (void)state;
    for (int a = ERR_OK; a <= ERR_SYSTEM; a++) {
        assert_string_not_equal(err_name((enum err)a), "unknown");
        for (int b = ERR_OK; b < a; b++) {
            assert_string_not_equal(err_name((enum err)a), err_name((enum err)b));
        }
    }
    assert_string_equal(err_name((enum err)999), "unknown");
    ASSERT(1 + 1 == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

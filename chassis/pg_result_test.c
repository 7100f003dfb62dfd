/* What an SQLSTATE means to who asked (PostgreSQL documentation, appendix A); reading results
 * stands in pg_test.c, with a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/pg_internal.h"

static const struct {
    const char *sqlstate;
    enum err err;
    bool spoils_session;
} states[] = {
    { "", ERR_UNAVAILABLE, false }, /* libpq's own errors */
    { "23505", ERR_EXISTS, false },
    { "23503", ERR_INVALID, false },
    { "22021", ERR_INVALID, false },
    { "40001", ERR_CONFLICT, false },
    { "40P01", ERR_CONFLICT, false },
    { "40002", ERR_INVALID, false },
    { "57014", ERR_TIMEOUT, false },
    { "57P01", ERR_UNAVAILABLE, true },
    { "57P03", ERR_UNAVAILABLE, true },
    { "08006", ERR_UNAVAILABLE, true },
    { "53100", ERR_UNAVAILABLE, false },
    { "58030", ERR_UNAVAILABLE, false },
    { "25006", ERR_UNAVAILABLE, true },
    { "25P02", ERR_UNAVAILABLE, true },
    { "26000", ERR_UNAVAILABLE, true },
    { "0A000", ERR_UNAVAILABLE, true },
    { "ST001", ERR_INVALID, false }, /* our own functions */
};

static void each_class_says_what_can_be_done(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        assert_int_equal(pg_sqlstate_err(states[i].sqlstate), states[i].err);
        assert_int_equal(pg_sqlstate_spoils_session(states[i].sqlstate), states[i].spoils_session);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_class_says_what_can_be_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who an account has to do with. */
#include "router/entity/strangers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct str name(char text[32], int number)
{
    (void)snprintf(text, 32, "user%d@example.org", number);
    return str_from_cstr(text);
}

static void the_newest_are_known(void **state)
{
    (void)state;
    struct strangers strangers = { .next = 0 };
    char text[32];
    assert_false(strangers_has(NULL, STR("a@b")));
    for (int i = 0; i < STRANGERS_MAX + 1; i++) {
        assert_false(strangers_has(&strangers, name(text, i)));
        strangers_add(&strangers, name(text, i));
        strangers_add(&strangers, name(text, i)); /* takes no second place */
        assert_true(strangers_has(&strangers, name(text, i)));
    }
    assert_false(strangers_has(&strangers, name(text, 0)));
    assert_true(strangers_has(&strangers, name(text, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_newest_are_known) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

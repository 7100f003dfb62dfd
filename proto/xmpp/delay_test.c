/* XEP-0203: the element as example 1 there has it. */
#include "proto/xmpp/delay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_delay_names_who_and_when(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    delay_write(&out, STR("example.org"), 1000);
    delay_write(&out, STR(""), 0);
    buf_append_char(&out, '\0');
    assert_string_equal(buf_view(&out).ptr,
            "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='1970-01-01T00:00:00.001Z'/>"
            "<delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:00.000Z'/>");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_names_who_and_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

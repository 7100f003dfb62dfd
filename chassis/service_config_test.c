/* Names of nodes. */
#include "chassis/service_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void node_names_are_words(void **state)
{
    (void)state;
    assert_true(service_is_node_name("edge-1"));
    assert_true(service_is_node_name("Router_2.zone-b"));
    assert_true(service_is_node_name(
            "a23456789012345678901234567890123456789012345678901234567890123"));
    assert_false(service_is_node_name(
            "a234567890123456789012345678901234567890123456789012345678901234"));
    assert_false(service_is_node_name(""));
    assert_false(service_is_node_name("a b"));
    assert_false(service_is_node_name("a:b"));
    assert_false(service_is_node_name("a/b"));
    assert_false(service_is_node_name("\xc3\xa9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_names_are_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

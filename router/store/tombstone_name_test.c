/* Names of tombstones. */
#include "router/store/tombstone_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_name_depends_on_address_and_key(void **state)
{
    (void)state;
    uint8_t name[TOMBSTONE_NAME_BYTES];
    uint8_t again[TOMBSTONE_NAME_BYTES];
    tombstone_name(STR("key 1"), STR("a@example.net"), name);
    tombstone_name(STR("key 1"), STR("a@example.net"), again);
    assert_memory_equal(name, again, sizeof(name));
    tombstone_name(STR("key 1"), STR("b@example.net"), again);
    assert_memory_not_equal(name, again, sizeof(name));
    tombstone_name(STR("key 2"), STR("a@example.net"), again);
    assert_memory_not_equal(name, again, sizeof(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_depends_on_address_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

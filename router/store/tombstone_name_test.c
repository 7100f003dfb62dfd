/* Names of tombstones. */
#include "router/store/tombstone_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define KEY_1 "0123456789abcdef0123456789abcde1"
#define KEY_2 "0123456789abcdef0123456789abcde2"

static void a_name_depends_on_address_and_key(void **state)
{
    (void)state;
    uint8_t name[TOMBSTONE_NAME_BYTES];
    uint8_t again[TOMBSTONE_NAME_BYTES];
    tombstone_name(STR(KEY_1), 0, STR("a@example.net"), name);
    tombstone_name(STR(KEY_1), 0, STR("a@example.net"), again);
    assert_memory_equal(name, again, sizeof(name));
    tombstone_name(STR(KEY_1), 0, STR("b@example.net"), again);
    assert_memory_not_equal(name, again, sizeof(name));
    tombstone_name(STR(KEY_2), 0, STR("a@example.net"), again);
    assert_memory_not_equal(name, again, sizeof(name));
}

static void former_keys_give_the_names_they_gave(void **state)
{
    (void)state;
    uint8_t name[TOMBSTONE_NAME_BYTES];
    uint8_t again[TOMBSTONE_NAME_BYTES];
    assert_int_equal(tombstone_keys(STR_NULL), 0);
    assert_int_equal(tombstone_keys(STR(KEY_1)), 1);
    assert_int_equal(tombstone_keys(STR(KEY_2 KEY_1)), 2);
    tombstone_name(STR(KEY_1), 0, STR("a@example.net"), name);
    tombstone_name(STR(KEY_2 KEY_1), 1, STR("a@example.net"), again);
    assert_memory_equal(name, again, sizeof(name));
    tombstone_name(STR(KEY_2), 0, STR("a@example.net"), name);
    tombstone_name(STR(KEY_2 KEY_1), 0, STR("a@example.net"), again);
    assert_memory_equal(name, again, sizeof(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_depends_on_address_and_key),
        cmocka_unit_test(former_keys_give_the_names_they_gave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Maps: finding, replacing, deleting. */
#include "chassis/base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct item {
    char name[32];
    UT_hash_handle hh;
};

static void thousand_items_are_found_and_deleted(void **state)
{
    (void)state;
    static struct item items[1000];
    struct item *map = NULL;
    struct item *found = NULL;
    for (int i = 0; i < 1000; i++) {
        snprintf(items[i].name, sizeof(items[i].name), "user%d@example", i);
        HASH_ADD_STR(map, name, &items[i]);
    }
    assert_int_equal(HASH_COUNT(map), 1000);
    HASH_FIND_STR(map, "user777@example", found);
    assert_ptr_equal(found, &items[777]);
    HASH_DEL(map, &items[777]);
    HASH_FIND_STR(map, "user777@example", found);
    assert_null(found);
    HASH_CLEAR(hh, map);
    assert_null(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousand_items_are_found_and_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

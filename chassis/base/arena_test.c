/* Arenas: alignment, large objects, reset. */
#include "chassis/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void objects_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    unsigned char *objects[100];
    for (size_t i = 0; i < 100; i++) {
        objects[i] = arena_alloc(&arena, i);
        assert_int_equal((uintptr_t)objects[i] % 16, 0);
        memset(objects[i], (int)i, i);
    }
    for (size_t i = 0; i < 100; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_equal(objects[i][j], i);
        }
    }
    arena_fini(&arena);
}

static void large_objects_do_not_waste_the_open_block(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    char *first = arena_calloc(&arena, 16);
    char *large = arena_calloc(&arena, 10000);
    char *second = arena_calloc(&arena, 16);
    assert_ptr_equal(second, first + 16);
    assert_int_equal(large[9999], 0);
    assert_int_equal(arena.used_bytes, 10032);
    arena_fini(&arena);
}

static void reset_keeps_one_block_and_clears(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    char *large_first = arena_alloc(&arena, 100000); /* before any ordinary block */
    memset(large_first, 'x', 100000);
    for (int i = 0; i < 50; i++) {
        memset(arena_alloc(&arena, 1000), 'x', 1000);
    }
    arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_non_null(arena.head);
    const unsigned char *cleared = arena_calloc(&arena, 1000);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(cleared[i], 0);
    }
    arena_reset(&arena);
    arena_fini(&arena);
    arena_reset(&arena); /* of an empty one: nothing */
    assert_null(arena.head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_aligned_and_apart),
        cmocka_unit_test(large_objects_do_not_waste_the_open_block),
        cmocka_unit_test(reset_keeps_one_block_and_clears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

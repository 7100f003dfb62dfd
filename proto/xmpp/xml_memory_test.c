/* Pieces keep their bytes, are used again, and a parser's block goes back as a whole. */
#include "proto/xmpp/xml_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool lies_in_block(const struct xml_memory *memory, const void *ptr)
{
    const char *at = ptr;
    return at >= memory->block && at < memory->block + XML_MEMORY_BLOCK_BYTES;
}

static void pieces_keep_their_bytes(void **state)
{
    (void)state;
    struct xml_memory memory;
    unsigned char *pieces[200];
    xml_memory_init(&memory);
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = xml_memory_alloc(&memory, i + 1);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, i + 1);
    }
    for (size_t i = 0; i < 200; i += 2) { /* over the sizes of the block and the heap */
        pieces[i] = xml_memory_realloc(&memory, pieces[i], 40 * i + 1);
    }
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(pieces[i][0], i);
        assert_int_equal(pieces[i][i], i);
        xml_memory_free(&memory, pieces[i]);
    }
    assert_int_equal(memory.bytes, 0);
    xml_memory_fini(&memory);
}

static void freed_pieces_are_used_again(void **state)
{
    (void)state;
    struct xml_memory memory;
    xml_memory_init(&memory);
    void *first = xml_memory_alloc(&memory, 100);
    assert_true(lies_in_block(&memory, first));
    xml_memory_free(&memory, first);
    size_t used = memory.used;
    assert_ptr_equal(xml_memory_alloc(&memory, 128), first);
    assert_int_equal(memory.used, used);
    assert_ptr_equal(xml_memory_realloc(&memory, first, 60), first);
    xml_memory_free(&memory, NULL);
    xml_memory_free(&memory, first);
    xml_memory_fini(&memory);
}

static void what_does_not_fit_is_on_the_heap(void **state)
{
    (void)state;
    struct xml_memory memory;
    xml_memory_init(&memory);
    void *large = xml_memory_alloc(&memory, 100000);
    assert_false(lies_in_block(&memory, large));
    void *pieces[8];
    for (size_t i = 0; i < 8; i++) {
        pieces[i] = xml_memory_alloc(&memory, 4000);
    }
    assert_true(lies_in_block(&memory, pieces[0]));
    assert_false(lies_in_block(&memory, pieces[7]));
    for (size_t i = 0; i < 8; i++) {
        xml_memory_free(&memory, pieces[i]);
    }
    xml_memory_free(&memory, large);
    assert_int_equal(memory.bytes, 0);
    xml_memory_fini(&memory);
}

static void many_parsers_have_blocks_of_their_own(void **state)
{
    (void)state;
    static struct xml_memory parsers[300];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 300; i++) {
            xml_memory_init(&parsers[i]);
            assert_non_null(parsers[i].block);
            memset(xml_memory_alloc(&parsers[i], 4096), (int)i, 4096);
        }
        for (size_t i = 0; i < 300; i++) {
            assert_int_equal((unsigned char)parsers[i].block[100], i & 0xff);
            xml_memory_fini(&parsers[i]); /* what lies in the block goes with it */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_keep_their_bytes),
        cmocka_unit_test(freed_pieces_are_used_again),
        cmocka_unit_test(what_does_not_fit_is_on_the_heap),
        cmocka_unit_test(many_parsers_have_blocks_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Allocation that never returns NULL: sizes a peer controls have met a limit before, so running out
 * means the machine is out, and a clean restart is the safest way on. */
#include "chassis/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "chassis/base/attr.h"

NORETURN static void mem_exhausted(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *ptr = malloc(size > 0 ? size : 1);
    if (ptr == NULL) {
        mem_exhausted(size);
    }
    return ptr;
}

void *mem_calloc(size_t count, size_t size)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total)) {
        mem_exhausted(SIZE_MAX);
    }
    void *ptr = calloc(1, total > 0 ? total : 1);
    if (ptr == NULL) {
        mem_exhausted(total);
    }
    return ptr;
}

void *mem_realloc(void *ptr, size_t size)
{
    void *grown = realloc(ptr, size > 0 ? size : 1);
    if (grown == NULL) {
        mem_exhausted(size);
    }
    return grown;
}

/* Heap allocation that aborts when there is none. free() releases all of it. */
#pragma once

#include <stddef.h>

void *mem_alloc(size_t size);                /* not cleared */
void *mem_calloc(size_t count, size_t size); /* cleared; aborts on overflow of the product */
void *mem_realloc(void *ptr, size_t size);

#define MEM_NEW(type) ((type *)mem_calloc(1, sizeof(type)))

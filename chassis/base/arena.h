/* Memory that dies together: a turn, a batch, a parsed tree. No per-object free. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
    struct arena_block *head;
    size_t block_size;
    size_t used_bytes; /* since init or reset */
};

void arena_init(struct arena *arena, size_t block_size); /* 0: 4096 */
void arena_fini(struct arena *arena);
void arena_reset(struct arena *arena); /* keeps one block */

void *arena_alloc(struct arena *arena, size_t size);  /* 16-byte aligned, not cleared; never NULL */
void *arena_calloc(struct arena *arena, size_t size); /* cleared */

#define ARENA_NEW(arena, type) ((type *)arena_calloc((arena), sizeof(type)))

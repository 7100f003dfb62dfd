/* A list of blocks, the newest first; an object that does not fit an ordinary block gets its own.
 */
#include "chassis/base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

enum {
    ARENA_ALIGN = 16,
    ARENA_DEFAULT_BLOCK = 4096,
};

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(16) unsigned char data[];
};

static struct arena_block *block_create(size_t size, struct arena_block *next)
{
    struct arena_block *block = mem_alloc(sizeof(*block) + size);
    block->next = next;
    block->size = size;
    block->used = 0;
    return block;
}

static void blocks_free(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_init(struct arena *arena, size_t block_size)
{
    *arena = (struct arena){ .block_size = block_size > 0 ? block_size : ARENA_DEFAULT_BLOCK };
}

void arena_fini(struct arena *arena)
{
    blocks_free(arena->head);
    arena->head = NULL;
    arena->used_bytes = 0;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = NULL;
    struct arena_block *block = arena->head;
    while (block != NULL) {
        struct arena_block *next = block->next;
        /* An oversized block is not kept: one big turn must not pin its memory for ever. */
        if (kept == NULL && block->size == arena->block_size) {
            kept = block;
            kept->next = NULL;
            kept->used = 0;
        } else {
            free(block);
        }
        block = next;
    }
    arena->head = kept;
    arena->used_bytes = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    ASSERT(size <= SIZE_MAX / 2);
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *head = arena->head;
    if (head == NULL || head->size - head->used < rounded) {
        if (rounded > arena->block_size && head != NULL) {
            /* Behind the head, so that what is left of the head stays usable. */
            head->next = block_create(rounded, head->next);
            head = head->next;
        } else {
            size_t block_size = rounded > arena->block_size ? rounded : arena->block_size;
            head = block_create(block_size, arena->head);
            arena->head = head;
        }
    }
    void *ptr = head->data + head->used;
    head->used += rounded;
    arena->used_bytes += rounded;
    return ptr;
}

void *arena_calloc(struct arena *arena, size_t size)
{
    void *ptr = arena_alloc(arena, size);
    memset(ptr, 0, size);
    return ptr;
}

/* A bump allocator in the block with lists of what was freed, by size class; blocks are cut from
 * large mappings and given back to the kernel when they are free. */
#include "proto/xmpp/xml_memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "chassis/base/mem.h"

enum {
    SMALLEST = 32, /* size classes: 32, 64, ... 4096 */
    CLASSES = 8,
    ON_HEAP = CLASSES,
    BLOCKS_AT_ONCE = 64,
    KEPT_WARM = 16, /* free blocks that keep their pages */
};

/* In front of each piece; keeps the alignment of malloc. */
struct header {
    size_t size; /* that the caller may use */
    size_t class;
};

static struct {
    char **free; /* a stack: the last one freed is the next one given */
    size_t count;
    size_t capacity;
    size_t made;
} pool;

/* ---- blocks */

static bool pool_grow(void)
{
    size_t bytes = (size_t)BLOCKS_AT_ONCE * XML_MEMORY_BLOCK_BYTES;
    char *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return false;
    }
    pool.made += BLOCKS_AT_ONCE;
    if (pool.capacity < pool.made) {
        pool.capacity = 2 * pool.made;
        pool.free = mem_realloc(pool.free, pool.capacity * sizeof(pool.free[0]));
    }
    for (size_t i = BLOCKS_AT_ONCE; i-- > 0;) {
        pool.free[pool.count++] = mapping + i * XML_MEMORY_BLOCK_BYTES;
    }
    return true;
}

static char *block_take(void)
{
    if (pool.count == 0 && !pool_grow()) {
        return NULL;
    }
    return pool.free[--pool.count];
}

/* The kernel takes the pages of all but a few back at once; the addresses stay ours. */
static void block_give(char *block)
{
    if (pool.count >= KEPT_WARM) {
        (void)madvise(block, XML_MEMORY_BLOCK_BYTES, MADV_DONTNEED);
    }
    pool.free[pool.count++] = block;
}

void xml_memory_init(struct xml_memory *memory)
{
    *memory = (struct xml_memory){ .block = block_take() };
}

void xml_memory_fini(struct xml_memory *memory)
{
    if (memory->block) {
        block_give(memory->block);
    }
    *memory = (struct xml_memory){ .block = NULL };
}

/* ---- pieces */

static size_t class_of(size_t size)
{
    size_t class = 0;
    while (class < CLASSES && ((size_t)SMALLEST << class) < size) {
        class ++;
    }
    return class;
}

static struct header *header_of(void *ptr)
{
    return (struct header *)ptr - 1;
}

static void *from_heap(struct xml_memory *memory, size_t size)
{
    struct header *header = mem_alloc(sizeof(*header) + size);
    *header = (struct header){ size, ON_HEAP };
    memory->bytes += sizeof(*header) + size;
    return header + 1;
}

void *xml_memory_alloc(struct xml_memory *memory, size_t size)
{
    size_t class = class_of(size);
    if (class == ON_HEAP) {
        return from_heap(memory, size);
    }
    void *ptr = memory->free_lists[class];
    size_t whole = (size_t)SMALLEST << class;
    if (ptr) {
        memcpy(&memory->free_lists[class], ptr, sizeof(void *));
    } else {
        size_t bytes = sizeof(struct header) + whole;
        if (!memory->block || memory->used + bytes > XML_MEMORY_BLOCK_BYTES) {
            return from_heap(memory, size);
        }
        struct header *header = (struct header *)(void *)(memory->block + memory->used);
        memory->used += bytes;
        *header = (struct header){ whole, class };
        ptr = header + 1;
    }
    memory->bytes += sizeof(struct header) + whole;
    return ptr;
}

void xml_memory_free(struct xml_memory *memory, void *ptr)
{
    if (!ptr) {
        return;
    }
    struct header *header = header_of(ptr);
    memory->bytes -= sizeof(*header) + header->size;
    if (header->class == ON_HEAP) {
        free(header);
        return;
    }
    memcpy(ptr, &memory->free_lists[header->class], sizeof(void *));
    memory->free_lists[header->class] = ptr;
}

void *xml_memory_realloc(struct xml_memory *memory, void *ptr, size_t size)
{
    if (!ptr) {
        return xml_memory_alloc(memory, size);
    }
    size_t old = header_of(ptr)->size;
    if (size <= old) {
        return ptr;
    }
    void *moved = xml_memory_alloc(memory, size);
    memcpy(moved, ptr, old);
    xml_memory_free(memory, ptr);
    return moved;
}

/* Memory of one XML parser, apart from everything else: a block of a pool, and the heap for what
 * does not fit. Parsers come and go with activity; on the heap they would leave holes between the
 * objects of connections that stay, and the process would keep what a thousand logins once needed.
 * One thread.
 */
#pragma once

#include <stddef.h>

#define XML_MEMORY_BLOCK_BYTES 12288 /* a parser with its stream open, after a few stanzas */

struct xml_memory {
    char *block;  /* NULL: the pool gave none, all is on the heap */
    size_t used;  /* of the block */
    size_t bytes; /* allocated now, block and heap, with what it costs to know that */
    void *free_lists[8];
};

void xml_memory_init(struct xml_memory *memory);
/* Everything was freed before, or lies in the block and goes with it. */
void xml_memory_fini(struct xml_memory *memory);

/* As malloc, realloc and free; they abort instead of failing. */
void *xml_memory_alloc(struct xml_memory *memory, size_t size);
void *xml_memory_realloc(struct xml_memory *memory, void *ptr, size_t size);
void xml_memory_free(struct xml_memory *memory, void *ptr); /* accepts NULL */

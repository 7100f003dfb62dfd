/* What posts.c (the doors of entity_table.h) needs of the table itself. */
#pragma once

struct entity;
struct entity_table;
struct router;

struct entity *entity_table_first(struct entity_table *table); /* the others by ->hh.next */
struct router *entity_table_router(struct entity_table *table);

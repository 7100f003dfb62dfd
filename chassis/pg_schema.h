/* Whether the schema of a service is the one its program was built for (G11). Asked until
 * PostgreSQL answers; a daemon never migrates (starlingctl db migrate does). */
#pragma once

#include <stdint.h>

struct pg_pool;
struct pg_schema;
struct service_context;

struct pg_schema_options {
    const char *name; /* the folder in deploy/sql; a string constant */
    int64_t number;   /* of the last file there when the program was built */
    /* It is: called once, never from inside pg_schema_open. On any other number the service fails
     * with a line that says what to do. */
    void (*is_ours)(void *context);
    void *context;
};

/* The pool is borrowed. */
struct pg_schema *pg_schema_open(struct service_context *service,
        struct pg_pool *pool,
        const struct pg_schema_options *options);
/* Before the pool is closed; accepts NULL. */
void pg_schema_close(struct pg_schema *schema);

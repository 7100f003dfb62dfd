/* What the three *_store.c files share. */
#pragma once

#include "archive-svc/archive_store.h"
#include "chassis/pg.h"

struct archive_store {
    struct pg_pool *append_pool;
    struct pg_pool *read_pool;
};

/* A caller waiting for the answer of PostgreSQL. */
struct archive_call {
    union {
        archive_append_done append;
        archive_done plain;
        archive_open_done open;
        archive_read_done read;
        archive_counted counted;
        archive_cleaned cleaned;
    } done;
    void *context;
    uint32_t max_entries; /* of a read */
};

struct archive_call *archive_call_create(void *context);
/* Ready-made pg_done for calls that only want to know whether it worked. Frees the call. */
void archive_call_finish_plain(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count);

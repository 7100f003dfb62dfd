/* All SQL of schema archive. Two pools: a slow read never takes a connection from an append (G02).
 * Results are wire messages, without request and status; they are valid during the callback. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "proto/wire/wire.h"

struct archive_store;
struct pg_pool;

/* The pools are borrowed and live longer. */
struct archive_store *archive_store_create(struct pg_pool *append_pool, struct pg_pool *read_pool);
void archive_store_destroy(
        struct archive_store *store); /* after the pools are closed; accepts NULL */

/* ---- append */

struct archive_append_result {
    int64_t rows; /* new ones: a repeat has none */
    const uint32_t *fenced;
    size_t fenced_count;
};
/* ERR_NOT_FOUND: an id has no partition; nothing was written. Other errors: nothing or everything
 * was. */
typedef void (*archive_append_done)(
        void *context, enum err err, const struct archive_append_result *result);

/* One transaction. ERR_INVALID at once (and no callback): a row of a shard without epoch, an epoch
 * given twice, or a number out of range. Borrows the batch for the call. */
MUST_USE enum err archive_store_append(struct archive_store *store,
        const Wire__Append *batch,
        archive_append_done done,
        void *context);

typedef void (*archive_done)(void *context, enum err err);
/* Creates what partitions the ids of the batch need. */
void archive_store_make_room(
        struct archive_store *store, const Wire__Append *batch, archive_done done, void *context);

/* ---- read */

typedef void (*archive_open_done)(void *context, enum err err, Wire__LogOpenReply *reply);
void archive_store_open(struct archive_store *store,
        int64_t owner,
        int64_t origins_after_id,
        archive_open_done done,
        void *context);

struct archive_page {
    int64_t owner;
    int64_t after_id;
    uint32_t max_entries;
    uint32_t max_bytes; /* of stanzas; the first one is given in any case */
};
typedef void (*archive_read_done)(void *context, enum err err, Wire__LogReadReply *reply);
void archive_store_read(struct archive_store *store,
        const struct archive_page *page,
        archive_read_done done,
        void *context);

void archive_store_erase(
        struct archive_store *store, int64_t owner, archive_done done, void *context);

/* ---- retention; `count` is what was done */

typedef void (*archive_counted)(void *context, enum err err, int64_t count);
/* Ages are measured from `now_us` or the database's clock, whichever is behind: a clock that runs
 * ahead deletes nothing. */
struct archive_age {
    int64_t now_us;
    int64_t age_us;
};
/* Deletes delivered entries of that age: one bounded step. `owners` are those looked at: call again
 * while it is ARCHIVE_CLEAN_OWNERS. */
#define ARCHIVE_CLEAN_OWNERS 100
typedef void (*archive_cleaned)(void *context, enum err err, int64_t owners, int64_t entries);
void archive_store_clean(
        struct archive_store *store, struct archive_age age, archive_cleaned done, void *context);
/* Deletes inputs of sessions not heard of for two days: at most 10000 rows. */
void archive_store_clean_inputs(struct archive_store *store, archive_counted done, void *context);
/* Creates the partitions of this week and the next; `count`: how many were missing. */
void archive_store_ensure_partitions(
        struct archive_store *store, int64_t now_us, archive_counted done, void *context);
/* Drops the partitions whose youngest id may have that age, delivered or not. */
void archive_store_drop_partitions(
        struct archive_store *store, struct archive_age age, archive_counted done, void *context);

/* Rosters as PostgreSQL sees them: row keys and sealed items of an account. Who knows what is in
 * them is router/entity. */
#pragma once

#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct pg_pool;
struct roster_store;

struct roster_row {
    struct str contact; /* 32 bytes */
    struct str item;    /* sealed */
};

struct roster_snapshot {
    struct str wrapped_key; /* "" : the account has none yet */
    int64_t version;        /* 0: never changed */
    const struct roster_row *rows;
    size_t count;
};

struct roster_write {
    int64_t owner;
    unsigned shard;
    uint64_t epoch;         /* under which the writer holds the shard */
    struct str wrapped_key; /* "" : it is stored already */
    struct str contact;
    struct str item; /* "" : the row goes */
    int64_t version;
};

struct roster_store *roster_store_create(struct pg_pool *pool);
void roster_store_destroy(struct roster_store *store); /* accepts NULL */

/* The snapshot is valid during the callback. ERR_UNAVAILABLE, ERR_CLOSED: none. */
typedef void (*roster_loaded)(void *context, enum err err, const struct roster_snapshot *snapshot);
void roster_load(struct roster_store *store, int64_t owner, roster_loaded done, void *context);

/* One transaction. ERR_FENCED: the shard has another epoch; nothing was written. ERR_UNAVAILABLE:
 * whether it was written is unknown. */
typedef void (*roster_saved)(void *context, enum err err);
void roster_save(struct roster_store *store,
        const struct roster_write *write,
        roster_saved done,
        void *context);

/* What an account keeps at its server, sealed (router/data_seal.h): private XML, vCard, block list.
 * All SQL of router.account_data. Writes are fenced by the epoch of the account's shard, so that an
 * old home writes nothing after a new one has read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct account_data_store;
struct pg_pool;

/* Values are in the database: append only. */
enum account_data_kind {
    ACCOUNT_DATA_PRIVATE_XML = 1,
    ACCOUNT_DATA_VCARD = 2,
    ACCOUNT_DATA_BLOCKLIST = 3,
};

struct account_datum {
    struct str key;   /* at most 32 bytes */
    struct str value; /* in a change, empty: the key goes */
    /* Of rows: features name things in the clear. */
    struct str clear_key; /* in a change: a row from before, which this one replaces */
    bool is_sealed;       /* loaded; what is put always is */
};

/* Over the text, and no part of what an account is charged for. */
#define ACCOUNT_DATA_SEAL_BYTES 28

struct account_data_change {
    int64_t owner;
    enum account_data_kind kind;
    unsigned shard;
    uint64_t epoch;         /* under which the caller holds the shard */
    struct str wrapped_key; /* of the account; "": it is stored already */
    const struct account_datum *items;
    size_t count;
    int64_t max_items; /* of this kind, after the change */
    int64_t max_bytes; /* likewise: keys and texts of values */
};

struct account_data_store *account_data_store_create(struct pg_pool *pool);
void account_data_store_destroy(struct account_data_store *store); /* accepts NULL */

/* The rows are valid during the call. ERR_UNAVAILABLE: the store is away. */
typedef void (*account_data_loaded)(
        void *context, enum err err, const struct account_datum *rows, size_t count);
/* One row or none. */
struct account_data_name {
    int64_t owner;
    enum account_data_kind kind;
    struct str key;       /* of a sealed row */
    struct str clear_key; /* of one from before */
};
void account_data_load(struct account_data_store *store,
        const struct account_data_name *name,
        account_data_loaded done,
        void *context);

/* All of it or nothing. ERR_LIMIT: over the limits (but the account has its key now). ERR_FENCED:
 * the shard is somebody else's. ERR_UNAVAILABLE: it is not known whether it is there. */
typedef void (*account_data_changed)(void *context, enum err err);
void account_data_put(struct account_data_store *store,
        const struct account_data_change *change,
        account_data_changed done,
        void *context);

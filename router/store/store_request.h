/* What all stores share: a query goes out with one of these, and its answer comes back to a reader
 * that calls who asked. Writes of what an entity lives by are fenced by the epoch of its shard. */
#pragma once

#include <stddef.h>

#include "chassis/base/err.h"
#include "chassis/pg.h"

struct store_request;

/* Calls `request->done`. `results` only with ERR_OK. A failure of the store is ERR_UNAVAILABLE or
 * ERR_CLOSED, never an answer about the account (B22). */
typedef void store_reader(
        const struct store_request *request, enum err err, const struct pg_result *const *results);

/* A call back of any type; only the reader that belongs to it casts it back. */
typedef void (*store_done)(void);

struct store_request {
    store_reader *reader;
    store_done done;
    void *context;
    enum err when_empty; /* the answer if the last statement gives no row; ERR_OK: that is one */
};

/* Takes the query. */
void store_send(struct pg_query *query,
        store_reader *reader,
        store_done done,
        void *context,
        enum err when_empty);

/* Fencing (F08), as archive-svc appends: the first statement of a query shares the shard's lock,
 * and a takeover takes it exclusively before it raises the epoch. So every statement after it sees
 * the epoch as it is while we write; each has to ask for it. */
void store_lock_shard(struct pg_query *query, unsigned shard);

/* What waits for the log, in batches: rows gathered, who waits for them, what happens when a batch
 * is decided, a shard is lost or nothing gets through. Pure: no peers, no timers. The head is the
 * batch in flight once it was sent; batches are decided in order, so are the waiters of a shard,
 * but for what is withdrawn.
 * A batch of which nothing is left goes at once, however long the head stays. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "router/commit.h"

#define COMMIT_BATCH_MAX_ROWS 512 /* of each kind */
#define COMMIT_BATCH_MAX_MS   500 /* a batch that cannot leave takes nothing younger (G01) */
#define COMMIT_INDEX_SLOTS    1024

struct commit_waiter {
    unsigned shard;
    bool is_input; /* see commit_wait_input */
    commit_done done;
    void *context;
    struct commit_waiter *next;
};

struct commit_batch {
    uint64_t seq; /* the request number, too */
    struct arena arena;
    Wire__ShardEpoch **epochs;
    size_t epoch_count;
    size_t epoch_capacity;
    Wire__LogEntry **entries;
    size_t entry_count;
    Wire__SessionInput **inputs;
    size_t input_count;
    Wire__Watermark **watermarks;
    size_t watermark_count;
    uint16_t input_index[COMMIT_INDEX_SLOTS];     /* 1 + position, by session */
    uint16_t watermark_index[COMMIT_INDEX_SLOTS]; /* by owner */
    struct commit_waiter *waiters;
    struct commit_waiter **waiters_end;
    size_t bytes;
    int64_t opened_ms;
    bool was_sent;
    bool is_gathered; /* made of the watermarks that others had left */
    struct commit_batch *next;
};

struct commit_queue {
    struct commit_batch *head;
    struct commit_batch *tail;
    struct commit_batch *spare;
    size_t spare_count;
    size_t max_batch_bytes; /* a batch takes no more rows beyond it */
    size_t bytes;           /* of all batches */
    size_t entries;
    uint64_t last_seq;
    uint64_t done_seq;
    uint64_t *shard_seq; /* newest batch with rows of the shard */
    unsigned shards;
    struct buf scratch;
};

struct commit_row {
    unsigned shard;
    uint64_t epoch;
    int64_t owner;
    int64_t id;
};

void commit_queue_init(struct commit_queue *queue, unsigned shards, size_t max_batch_bytes);
/* Before the first row: request numbers begin above `seq`. */
void commit_queue_begin_after(struct commit_queue *queue, uint64_t seq);
/* Who waits hears ERR_CLOSED. */
void commit_queue_fini(struct commit_queue *queue);

void commit_queue_entry(struct commit_queue *queue,
        int64_t now_ms,
        const struct commit_row *row,
        const struct origin *origin,
        const struct stanza *stanza);
/* `row->id` is not used. A later `h` of the session replaces an earlier one of the batch. */
void commit_queue_input(struct commit_queue *queue,
        int64_t now_ms,
        const struct commit_row *row,
        const struct commit_input *given);
void commit_queue_watermark(
        struct commit_queue *queue, int64_t now_ms, const struct commit_row *row);

/* False: nothing of the shard is undecided, the caller answers itself. */
bool commit_queue_wait(struct commit_queue *queue, const struct commit_waiter *waiter);

/* The newest undecided watermark of the owner; 0: none. */
int64_t commit_queue_find_watermark(const struct commit_queue *queue, int64_t owner);

/* True when rows of the shard are undecided. */
bool commit_queue_has(const struct commit_queue *queue, unsigned shard);

/* The next batch to send, or the one in flight; NULL when nothing waits. */
struct commit_batch *commit_queue_head(struct commit_queue *queue);
/* Fills the message with views into the batch. */
void commit_batch_message(const struct commit_batch *batch, Wire__Append *message_out);
/* Under which epoch the batch writes for the shard; NULL: it has nothing of it. */
const Wire__ShardEpoch *commit_batch_epoch(const struct commit_batch *batch, unsigned shard);

/* The head is decided: removes it, then tells its waiters. If anything was fenced, archive-svc has
 * left out the inputs that are ahead; those of later batches go, too, since they may cover what is
 * now on its way to another home. Who waits for an input hears ERR_UNAVAILABLE then. */
void commit_queue_decide(struct commit_queue *queue, const uint32_t *fenced, size_t count);
/* The shard is lost: rows that were not sent go, all waiters hear ERR_FENCED. If there were any
 * rows of it, unsent inputs of all shards that are ahead go like after commit_queue_decide. */
void commit_queue_drop(struct commit_queue *queue, unsigned shard);
/* Batches opened at `before_ms` or earlier and never sent: their entries and inputs go, the waiters
 * hear ERR_UNAVAILABLE, also when earlier rows of the same account are in flight: those are decided
 * later, and whatever its sender says next comes behind them in any case (P3). Watermarks stay: so
 * whoever waits for a later batch knows that the earlier ones are written. */
void commit_queue_withdraw(struct commit_queue *queue, int64_t before_ms);

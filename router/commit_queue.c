/* Rows are packed as they come, straight into the messages of the batch's arena; a batch that is
 * done keeps its memory for the next one. */
#include "router/commit_queue.h"

#include <limits.h>

#include "chassis/base/mem.h"

#define ROW_OVERHEAD_BYTES 64
#define MAX_SPARE          4
#define ARENA_BLOCK_BYTES  65536

void commit_queue_init(struct commit_queue *queue, unsigned shards, size_t max_batch_bytes)
{
    *queue = (struct commit_queue){ .shards = shards, .max_batch_bytes = max_batch_bytes };
    queue->shard_seq = mem_calloc(shards, sizeof(*queue->shard_seq));
    buf_init(&queue->scratch, 0);
}

void commit_queue_begin_after(struct commit_queue *queue, uint64_t seq)
{
    queue->last_seq = queue->done_seq = seq;
}

static void batch_destroy(struct commit_batch *batch)
{
    arena_fini(&batch->arena);
    free(batch->epochs);
    free(batch->entries);
    free(batch->inputs);
    free(batch->watermarks);
    free(batch);
}

static void destroy_list(struct commit_batch *batch)
{
    while (batch != NULL) {
        struct commit_batch *next = batch->next;
        batch_destroy(batch);
        batch = next;
    }
}

void commit_queue_fini(struct commit_queue *queue)
{
    for (struct commit_batch *batch = queue->head; batch != NULL; batch = batch->next) {
        for (struct commit_waiter *waiter = batch->waiters; waiter != NULL; waiter = waiter->next) {
            waiter->done(waiter->context, ERR_CLOSED);
        }
    }
    destroy_list(queue->head);
    destroy_list(queue->spare);
    free(queue->shard_seq);
    buf_fini(&queue->scratch);
}

static struct commit_batch *batch_create(void)
{
    struct commit_batch *batch = MEM_NEW(struct commit_batch);
    arena_init(&batch->arena, ARENA_BLOCK_BYTES);
    batch->entries = mem_calloc(COMMIT_BATCH_MAX_ROWS, sizeof(Wire__LogEntry *));
    batch->inputs = mem_calloc(COMMIT_BATCH_MAX_ROWS, sizeof(Wire__SessionInput *));
    batch->watermarks = mem_calloc(COMMIT_BATCH_MAX_ROWS, sizeof(Wire__Watermark *));
    return batch;
}

/* Without a number and in no list yet. */
static struct commit_batch *batch_open(struct commit_queue *queue, int64_t now_ms)
{
    struct commit_batch *batch = queue->spare;
    if (batch != NULL) {
        queue->spare = batch->next;
        queue->spare_count--;
    } else {
        batch = batch_create();
    }

    arena_reset(&batch->arena);
    batch->epoch_count = 0;
    batch->entry_count = 0;
    batch->input_count = 0;
    batch->watermark_count = 0;
    memset(batch->input_index, 0, sizeof(batch->input_index));
    memset(batch->watermark_index, 0, sizeof(batch->watermark_index));
    batch->waiters = NULL;
    batch->waiters_end = &batch->waiters;
    batch->bytes = 0;
    batch->opened_ms = now_ms;
    batch->was_sent = false;
    batch->is_gathered = false;
    batch->next = NULL;
    return batch;
}

static void batch_recycle(struct commit_queue *queue, struct commit_batch *batch)
{
    if (queue->spare_count >= MAX_SPARE) {
        batch_destroy(batch);
        return;
    }

    arena_reset(&batch->arena); /* a spare keeps one block at most */
    batch->next = queue->spare;
    queue->spare = batch;
    queue->spare_count++;
}

static bool is_full(
        const struct commit_queue *queue, const struct commit_batch *batch, int64_t now_ms)
{
    return batch->was_sent || batch->entry_count == COMMIT_BATCH_MAX_ROWS
            || batch->input_count == COMMIT_BATCH_MAX_ROWS
            || batch->watermark_count == COMMIT_BATCH_MAX_ROWS
            || batch->bytes >= queue->max_batch_bytes
            || now_ms - batch->opened_ms >= COMMIT_BATCH_MAX_MS;
}

static void add_epoch(struct commit_batch *batch, unsigned shard, uint64_t number)
{
    if (batch->epoch_count == batch->epoch_capacity) {
        batch->epoch_capacity = batch->epoch_capacity ? 2 * batch->epoch_capacity : 64;
        batch->epochs = mem_realloc(batch->epochs, batch->epoch_capacity * sizeof(*batch->epochs));
    }
    Wire__ShardEpoch *epoch = arena_alloc(&batch->arena, sizeof(*epoch));
    wire__shard_epoch__init(epoch);
    epoch->shard = shard;
    epoch->epoch = number;
    batch->epochs[batch->epoch_count++] = epoch;
}

static void note_shard(
        struct commit_queue *queue, struct commit_batch *batch, const struct commit_row *row)
{
    ASSERT(row->shard < queue->shards);
    if (queue->shard_seq[row->shard] != batch->seq) {
        queue->shard_seq[row->shard] = batch->seq;
        add_epoch(batch, row->shard, row->epoch);
    }
}

/* The batch that takes a row of `bytes`. */
static struct commit_batch *batch_for(
        struct commit_queue *queue, int64_t now_ms, const struct commit_row *row, size_t bytes)
{
    struct commit_batch *batch = queue->tail;
    if (batch == NULL || is_full(queue, batch, now_ms)) {
        batch = batch_open(queue, now_ms);
        batch->seq = ++queue->last_seq;
        if (queue->tail != NULL) {
            queue->tail->next = batch;
        } else {
            queue->head = batch;
        }
        queue->tail = batch;
    }

    note_shard(queue, batch, row);
    batch->bytes += bytes;
    queue->bytes += bytes;
    return batch;
}

static Wire__Id *make_id(struct arena *arena, struct id128 id)
{
    Wire__Id *message = arena_alloc(arena, sizeof(*message));
    *message = WIRE_ID_INIT(id);
    return message;
}

void commit_queue_entry(struct commit_queue *queue,
        int64_t now_ms,
        const struct commit_row *row,
        const struct origin *origin,
        const struct stanza *stanza)
{
    buf_clear(&queue->scratch);
    wire_stanza_pack(&queue->scratch, stanza);
    struct str packed = buf_view(&queue->scratch);
    struct commit_batch *batch = batch_for(queue, now_ms, row, packed.len + ROW_OVERHEAD_BYTES);

    Wire__LogEntry *entry = arena_alloc(&batch->arena, sizeof(*entry));
    wire__log_entry__init(entry);
    entry->owner = row->owner;
    entry->id = row->id;
    entry->shard = row->shard;
    entry->origin = arena_alloc(&batch->arena, sizeof(*entry->origin));
    wire__origin__init(entry->origin);
    entry->origin->session = make_id(&batch->arena, origin->session);
    entry->origin->counter = origin->counter;
    entry->origin->part = origin->part;
    entry->stanza = wire_bytes(str_dup(&batch->arena, packed));
    batch->entries[batch->entry_count++] = entry;
    queue->entries++;
}

/* Open addressing: at most half of the slots are ever used. */
static uint16_t *input_slot(struct commit_batch *batch, struct id128 session)
{
    size_t slot = (size_t)(session.lo ^ session.hi) % COMMIT_INDEX_SLOTS;
    while (batch->input_index[slot] != 0) {
        const Wire__SessionInput *input = batch->inputs[batch->input_index[slot] - 1];
        if (id128_equal(wire_id(input->session), session)) {
            break;
        }
        slot = (slot + 1) % COMMIT_INDEX_SLOTS;
    }

    return &batch->input_index[slot];
}

void commit_queue_input(struct commit_queue *queue,
        int64_t now_ms,
        const struct commit_row *row,
        const struct commit_input *given)
{
    struct commit_batch *batch = queue->tail;
    if (batch != NULL && !is_full(queue, batch, now_ms)) {
        uint16_t known = *input_slot(batch, given->session);
        if (known != 0) {
            Wire__SessionInput *input = batch->inputs[known - 1];
            input->h = given->h;
            input->is_closed = input->is_closed || given->is_closed;
            input->is_ahead = given->is_ahead;
            return;
        }
    }

    batch = batch_for(queue, now_ms, row, ROW_OVERHEAD_BYTES);
    Wire__SessionInput *input = arena_alloc(&batch->arena, sizeof(*input));
    wire__session_input__init(input);
    input->owner = row->owner;
    input->session = make_id(&batch->arena, given->session);
    input->h = given->h;
    input->shard = row->shard;
    input->is_closed = given->is_closed;
    input->is_ahead = given->is_ahead;
    batch->inputs[batch->input_count++] = input;
    *input_slot(batch, given->session) = (uint16_t)batch->input_count;
}

static uint16_t *watermark_slot(struct commit_batch *batch, int64_t owner)
{
    size_t slot =
            (size_t)((uint64_t)owner * UINT64_C(0x9E3779B97F4A7C15) >> 40) % COMMIT_INDEX_SLOTS;
    while (batch->watermark_index[slot] != 0
            && batch->watermarks[batch->watermark_index[slot] - 1]->owner != owner) {
        slot = (slot + 1) % COMMIT_INDEX_SLOTS;
    }

    return &batch->watermark_index[slot];
}

static void add_watermark(struct commit_batch *batch, const struct commit_row *row)
{
    Wire__Watermark *watermark = arena_alloc(&batch->arena, sizeof(*watermark));
    wire__watermark__init(watermark);
    watermark->owner = row->owner;
    watermark->id = row->id;
    watermark->shard = row->shard;
    batch->watermarks[batch->watermark_count++] = watermark;
    *watermark_slot(batch, row->owner) = (uint16_t)batch->watermark_count;
}

void commit_queue_watermark(
        struct commit_queue *queue, int64_t now_ms, const struct commit_row *row)
{
    struct commit_batch *batch = queue->tail;
    if (batch != NULL && !is_full(queue, batch, now_ms)) {
        uint16_t known = *watermark_slot(batch, row->owner);
        if (known != 0) {
            Wire__Watermark *watermark = batch->watermarks[known - 1];
            watermark->id = row->id > watermark->id ? row->id : watermark->id;
            return;
        }
    }

    add_watermark(batch_for(queue, now_ms, row, ROW_OVERHEAD_BYTES), row);
}

int64_t commit_queue_find_watermark(const struct commit_queue *queue, int64_t owner)
{
    int64_t id = 0;
    for (struct commit_batch *batch = queue->head; batch != NULL; batch = batch->next) {
        uint16_t known = *watermark_slot(batch, owner);
        if (known != 0 && batch->watermarks[known - 1]->id > id) {
            id = batch->watermarks[known - 1]->id;
        }
    }

    return id;
}

bool commit_queue_has(const struct commit_queue *queue, unsigned shard)
{
    return queue->shard_seq[shard] > queue->done_seq;
}

bool commit_queue_wait(struct commit_queue *queue, const struct commit_waiter *given)
{
    if (!commit_queue_has(queue, given->shard)) {
        return false;
    }

    struct commit_batch *batch = queue->head;
    while (batch->seq != queue->shard_seq[given->shard]) {
        batch = batch->next;
        ASSERT(batch != NULL);
    }
    struct commit_waiter *waiter = arena_alloc(&batch->arena, sizeof(*waiter));
    *waiter = *given;
    waiter->next = NULL;
    *batch->waiters_end = waiter;
    batch->waiters_end = &waiter->next;
    return true;
}

struct commit_batch *commit_queue_head(struct commit_queue *queue)
{
    return queue->head;
}

void commit_batch_message(const struct commit_batch *batch, Wire__Append *message_out)
{
    wire__append__init(message_out);
    message_out->request = batch->seq;
    message_out->epochs = batch->epochs;
    message_out->n_epochs = batch->epoch_count;
    message_out->entries = batch->entries;
    message_out->n_entries = batch->entry_count;
    message_out->inputs = batch->inputs;
    message_out->n_inputs = batch->input_count;
    message_out->watermarks = batch->watermarks;
    message_out->n_watermarks = batch->watermark_count;
}

/* ---- taking rows back */

struct waiter_list {
    struct commit_waiter *items;
    size_t count;
    size_t capacity;
};

#define WAITERS_OF_INPUTS UINT_MAX /* of all shards */

/* Unlinks the waiters of `shard` and keeps them: callbacks run when the queue is whole again. */
static void take_waiters(struct commit_batch *batch, unsigned shard, struct waiter_list *list)
{
    struct commit_waiter **link = &batch->waiters;
    while (*link != NULL) {
        struct commit_waiter *waiter = *link;
        bool is_meant = shard == WAITERS_OF_INPUTS ? waiter->is_input : waiter->shard == shard;
        if (!is_meant) {
            link = &waiter->next;
            continue;
        }
        if (list->count == list->capacity) {
            list->capacity = list->capacity ? 2 * list->capacity : 64;
            list->items = mem_realloc(list->items, list->capacity * sizeof(*list->items));
        }
        list->items[list->count++] = *waiter;
        *link = waiter->next;
    }
    batch->waiters_end = link;
}

static void tell(struct waiter_list *list, enum err err)
{
    for (size_t i = 0; i < list->count; i++) {
        list->items[i].done(list->items[i].context, err);
    }
    free(list->items);
}

static void rebuild_indexes(struct commit_batch *batch)
{
    memset(batch->input_index, 0, sizeof(batch->input_index));
    memset(batch->watermark_index, 0, sizeof(batch->watermark_index));
    for (size_t i = 0; i < batch->input_count; i++) {
        *input_slot(batch, wire_id(batch->inputs[i]->session)) = (uint16_t)(i + 1);
    }
    for (size_t i = 0; i < batch->watermark_count; i++) {
        *watermark_slot(batch, batch->watermarks[i]->owner) = (uint16_t)(i + 1);
    }
}

static size_t remove_entries(struct commit_queue *queue, struct commit_batch *batch, unsigned shard)
{
    size_t bytes = 0;
    size_t kept = 0;
    for (size_t i = 0; i < batch->entry_count; i++) {
        if (batch->entries[i]->shard == shard) {
            bytes += batch->entries[i]->stanza.len + ROW_OVERHEAD_BYTES;
        } else {
            batch->entries[kept++] = batch->entries[i];
        }
    }
    queue->entries -= batch->entry_count - kept;
    batch->entry_count = kept;
    return bytes;
}

static size_t remove_inputs(struct commit_batch *batch, unsigned shard)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->input_count; i++) {
        if (batch->inputs[i]->shard != shard) {
            batch->inputs[kept++] = batch->inputs[i];
        }
    }
    size_t removed = batch->input_count - kept;
    batch->input_count = kept;
    return removed * ROW_OVERHEAD_BYTES;
}

static size_t remove_watermarks(struct commit_batch *batch, unsigned shard)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->watermark_count; i++) {
        if (batch->watermarks[i]->shard != shard) {
            batch->watermarks[kept++] = batch->watermarks[i];
        }
    }
    size_t removed = batch->watermark_count - kept;
    batch->watermark_count = kept;
    return removed * ROW_OVERHEAD_BYTES;
}

static bool has_watermark(const struct commit_batch *batch, unsigned shard)
{
    for (size_t i = 0; i < batch->watermark_count; i++) {
        if (batch->watermarks[i]->shard == shard) {
            return true;
        }
    }
    return false;
}

/* Of a shard of which nothing is left. */
static void forget_epoch(struct commit_batch *batch, unsigned shard)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->epoch_count; i++) {
        if (batch->epochs[i]->shard != shard) {
            batch->epochs[kept++] = batch->epochs[i];
        }
    }
    batch->epoch_count = kept;
}

enum rows {
    ROWS_ALL,
    ROWS_ANSWERED, /* not watermarks: nobody is told when they go, so they have to stay in order */
};

/* True: something of the shard is still there. */
static bool remove_rows(
        struct commit_queue *queue, struct commit_batch *batch, unsigned shard, enum rows rows)
{
    size_t bytes = remove_entries(queue, batch, shard) + remove_inputs(batch, shard);
    bytes += rows == ROWS_ALL ? remove_watermarks(batch, shard) : 0;
    bool is_left = has_watermark(batch, shard);
    if (!is_left) {
        forget_epoch(batch, shard);
    }
    batch->bytes -= bytes;
    queue->bytes -= bytes;
    rebuild_indexes(batch);
    return is_left;
}

/* ---- what is left of batches that rows were taken back from */

/* Each shard's newest batch. */
static void renumber(struct commit_queue *queue)
{
    memset(queue->shard_seq, 0, queue->shards * sizeof(*queue->shard_seq));
    for (const struct commit_batch *batch = queue->head; batch != NULL; batch = batch->next) {
        for (size_t i = 0; i < batch->epoch_count; i++) {
            queue->shard_seq[batch->epochs[i]->shard] = batch->seq;
        }
    }
}

const Wire__ShardEpoch *commit_batch_epoch(const struct commit_batch *batch, unsigned shard)
{
    for (size_t i = 0; i < batch->epoch_count; i++) {
        if (batch->epochs[i]->shard == shard) {
            return batch->epochs[i];
        }
    }
    return NULL;
}

static bool has_shard(const struct commit_batch *batch, unsigned shard)
{
    return commit_batch_epoch(batch, shard) != NULL;
}

/* Watermarks only, and nobody waits. */
static bool is_remainder(const struct commit_batch *batch)
{
    return !batch->was_sent && batch->entry_count == 0 && batch->input_count == 0
            && batch->waiters == NULL;
}

/* Into an earlier batch: the shard was ours all the time, so under the same epoch. */
static void move_watermarks(
        struct commit_queue *queue, struct commit_batch *to, const struct commit_batch *from)
{
    for (size_t i = 0; i < from->watermark_count; i++) {
        const Wire__Watermark *moved = from->watermarks[i];
        uint16_t known = *watermark_slot(to, moved->owner);
        if (known != 0) {
            Wire__Watermark *kept = to->watermarks[known - 1];
            kept->id = moved->id > kept->id ? moved->id : kept->id;
            continue;
        }
        const Wire__ShardEpoch *epoch = commit_batch_epoch(from, moved->shard);
        ASSERT(epoch != NULL);
        if (!has_shard(to, moved->shard)) {
            add_epoch(to, moved->shard, epoch->epoch);
        }
        struct commit_row row = { .shard = moved->shard, .owner = moved->owner, .id = moved->id };
        add_watermark(to, &row);
        to->bytes += ROW_OVERHEAD_BYTES;
        queue->bytes += ROW_OVERHEAD_BYTES;
    }
}

/* In the place of `batch`, with its number, but none of the memory that the rows it lost needed. */
static struct commit_batch *gather_begin(struct commit_queue *queue, struct commit_batch **at)
{
    struct commit_batch *batch = *at;
    struct commit_batch *fresh = batch_open(queue, batch->opened_ms);
    fresh->seq = batch->seq;
    fresh->is_gathered = true;
    fresh->next = batch->next;
    *at = fresh;
    return fresh;
}

static void discard(struct commit_queue *queue, struct commit_batch *batch)
{
    queue->bytes -= batch->bytes;
    batch_recycle(queue, batch);
}

/* The head may be in flight for as long as PostgreSQL is away. Batches behind it of which nothing
 * is left must not pile up meanwhile (P7), nor those with a few watermarks: these move together. */
static void tidy(struct commit_queue *queue)
{
    struct commit_batch *gathered = NULL;
    struct commit_batch **at = &queue->head;
    queue->tail = NULL;
    while (*at != NULL) {
        struct commit_batch *batch = *at;
        bool fits = gathered != NULL
                && gathered->watermark_count + batch->watermark_count <= COMMIT_BATCH_MAX_ROWS;
        if (is_remainder(batch) && (batch->watermark_count == 0 || fits)) {
            *at = batch->next;
            if (batch->watermark_count > 0) {
                move_watermarks(queue, gathered, batch);
            }
            discard(queue, batch);
            continue;
        }
        if (is_remainder(batch)) {
            gathered = batch;
            if (!batch->is_gathered) {
                gathered = gather_begin(queue, at);
                move_watermarks(queue, gathered, batch);
                discard(queue, batch);
            }
        }
        queue->tail = *at;
        at = &(*at)->next;
    }
    renumber(queue);
}

/* ---- taking rows back: why */

static bool is_used(const struct commit_batch *batch, unsigned shard)
{
    bool is_used = has_watermark(batch, shard);
    for (size_t i = 0; i < batch->entry_count && !is_used; i++) {
        is_used = batch->entries[i]->shard == shard;
    }
    for (size_t i = 0; i < batch->input_count && !is_used; i++) {
        is_used = batch->inputs[i]->shard == shard;
    }
    const struct commit_waiter *waiter = batch->waiters;
    for (; waiter != NULL && !is_used; waiter = waiter->next) {
        is_used = waiter->shard == shard;
    }
    return is_used;
}

static void remove_inputs_ahead(struct commit_queue *queue, struct commit_batch *batch)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->input_count; i++) {
        if (!batch->inputs[i]->is_ahead) {
            batch->inputs[kept++] = batch->inputs[i];
        }
    }
    size_t bytes = (batch->input_count - kept) * ROW_OVERHEAD_BYTES;
    batch->input_count = kept;
    batch->bytes -= bytes;
    queue->bytes -= bytes;
    rebuild_indexes(batch);
    for (size_t i = batch->epoch_count; i > 0; i--) {
        unsigned shard = batch->epochs[i - 1]->shard;
        if (!is_used(batch, shard)) {
            forget_epoch(batch, shard);
        }
    }
}

static void withdraw_inputs_ahead(struct commit_queue *queue, struct waiter_list *list)
{
    for (struct commit_batch *batch = queue->head; batch != NULL; batch = batch->next) {
        if (!batch->was_sent) {
            take_waiters(batch, WAITERS_OF_INPUTS, list);
            remove_inputs_ahead(queue, batch);
        }
    }
    tidy(queue);
}

static bool is_among(const uint32_t *shards, size_t count, unsigned shard)
{
    for (size_t i = 0; i < count; i++) {
        if (shards[i] == shard) {
            return true;
        }
    }
    return false;
}

void commit_queue_decide(struct commit_queue *queue, const uint32_t *fenced, size_t count)
{
    struct commit_batch *batch = queue->head;
    ASSERT(batch != NULL);
    queue->head = batch->next;
    if (queue->head == NULL) {
        queue->tail = NULL;
    }
    queue->done_seq = batch->seq;
    queue->bytes -= batch->bytes;
    queue->entries -= batch->entry_count;
    struct waiter_list inputs = { NULL, 0, 0 };
    if (count > 0) {
        withdraw_inputs_ahead(queue, &inputs);
    }
    for (struct commit_waiter *waiter = batch->waiters; waiter != NULL; waiter = waiter->next) {
        enum err err = waiter->is_input && count > 0 ? ERR_UNAVAILABLE : ERR_OK;
        waiter->done(waiter->context, is_among(fenced, count, waiter->shard) ? ERR_FENCED : err);
    }
    batch_recycle(queue, batch);
    tell(&inputs, ERR_UNAVAILABLE);
}

void commit_queue_drop(struct commit_queue *queue, unsigned shard)
{
    bool had_rows = commit_queue_has(queue, shard);
    struct waiter_list list = { NULL, 0, 0 };
    struct waiter_list inputs = { NULL, 0, 0 };
    for (struct commit_batch *batch = queue->head; batch != NULL; batch = batch->next) {
        take_waiters(batch, shard, &list);
        if (has_shard(batch, shard) && !batch->was_sent) { /* else it is still to be decided */
            (void)remove_rows(queue, batch, shard, ROWS_ALL);
        }
    }
    if (had_rows) {
        withdraw_inputs_ahead(queue, &inputs);
    }
    tell(&list, ERR_FENCED);
    tell(&inputs, ERR_UNAVAILABLE);
}

void commit_queue_withdraw(struct commit_queue *queue, int64_t before_ms)
{
    struct waiter_list list = { NULL, 0, 0 };
    for (struct commit_batch *batch = queue->head; batch != NULL; batch = batch->next) {
        if (batch->was_sent || batch->opened_ms > before_ms) {
            continue;
        }
        for (size_t i = 0; i < batch->epoch_count;) {
            unsigned shard = batch->epochs[i]->shard;
            take_waiters(batch, shard, &list);
            if (remove_rows(queue, batch, shard, ROWS_ANSWERED)) {
                i++;
            } /* else the next one is at i now */
        }
    }
    tidy(queue);
    tell(&list, ERR_UNAVAILABLE);
}

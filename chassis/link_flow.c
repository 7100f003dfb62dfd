/* Sequence numbers, unacknowledged records, credit and duplicates of one pair of processes. */
#include "chassis/link_flow.h"

#include "chassis/base/mem.h"
#include "chassis/link_frame.h"

/* Records lie behind each other in chunks, each as a 4-byte length and its bytes, and never
 * straddle two. Acknowledging frees whole chunks from the front. */
enum {
    CHUNK_BYTES = 32 * 1024,
    LENGTH_BYTES = sizeof(uint32_t),
};

struct link_chunk {
    struct link_chunk *next;
    size_t used, capacity;
    char data[];
};

static size_t cost_of(size_t record_bytes)
{
    return record_bytes + LINK_RECORD_OVERHEAD_BYTES;
}

static void free_chunks(struct link_outbox *outbox)
{
    while (outbox->head) {
        struct link_chunk *next = outbox->head->next;
        free(outbox->head);
        outbox->head = next;
    }
    outbox->tail = NULL;
    outbox->oldest = (struct link_cursor){ NULL, 0 };
    outbox->unsent = (struct link_cursor){ NULL, 0 };
}

void link_outbox_init(struct link_outbox *outbox, size_t max_bytes)
{
    *outbox = (struct link_outbox){ .max_bytes = max_bytes };
}

void link_outbox_fini(struct link_outbox *outbox)
{
    free_chunks(outbox);
}

static struct link_chunk *chunk_with_room(struct link_outbox *outbox, size_t bytes)
{
    struct link_chunk *tail = outbox->tail;
    if (tail && tail->capacity - tail->used >= bytes) {
        return tail;
    }
    size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    struct link_chunk *chunk = mem_alloc(sizeof(*chunk) + capacity);
    chunk->next = NULL;
    chunk->used = 0;
    chunk->capacity = capacity;
    if (tail) {
        tail->next = chunk;
    } else {
        outbox->head = chunk;
        outbox->oldest.chunk = chunk;
        outbox->unsent.chunk = chunk;
    }
    outbox->tail = chunk;
    return chunk;
}

enum err link_outbox_push(struct link_outbox *outbox, struct str record)
{
    ASSERT(record.len <= UINT32_MAX);
    if (outbox->queued_bytes > 0
            && outbox->queued_bytes + cost_of(record.len) > outbox->max_bytes) {
        outbox->owes_room = true;
        return ERR_LIMIT;
    }
    struct link_chunk *chunk = chunk_with_room(outbox, LENGTH_BYTES + record.len);
    uint32_t length = (uint32_t)record.len;
    memcpy(chunk->data + chunk->used, &length, LENGTH_BYTES);
    if (record.len > 0) {
        memcpy(chunk->data + chunk->used + LENGTH_BYTES, record.ptr, record.len);
    }
    chunk->used += LENGTH_BYTES + record.len;
    outbox->queued_bytes += cost_of(record.len);
    outbox->last_seq++;
    return ERR_OK;
}

/* The record at the cursor, which must be in front of the end; hops over the end of a chunk. */
static struct str record_at(struct link_cursor *cursor)
{
    while (cursor->offset == cursor->chunk->used) {
        cursor->chunk = cursor->chunk->next;
        cursor->offset = 0;
        ASSERT(cursor->chunk);
    }
    const char *at = cursor->chunk->data + cursor->offset;
    uint32_t length;
    memcpy(&length, at, LENGTH_BYTES);
    return str_from(at + LENGTH_BYTES, length);
}

static void step_over(struct link_cursor *cursor, struct str record)
{
    cursor->offset += LENGTH_BYTES + record.len;
}

bool link_outbox_has_unsent(const struct link_outbox *outbox)
{
    return outbox->sent_seq < outbox->last_seq;
}

bool link_outbox_is_blocked(const struct link_outbox *outbox, size_t max_frame_bytes)
{
    if (!link_outbox_has_unsent(outbox)) {
        return false;
    }
    struct link_cursor cursor = outbox->unsent;
    return cost_of(record_at(&cursor).len) + LINK_FRAME_OVERHEAD_BYTES > max_frame_bytes;
}

size_t link_outbox_take(struct link_outbox *outbox,
        size_t max_frame_bytes,
        struct str *records,
        size_t max_records,
        uint64_t *first_seq_out)
{
    size_t count = 0;
    size_t frame_bytes = LINK_FRAME_OVERHEAD_BYTES;
    uint64_t first_seq = outbox->sent_seq + 1;

    while (count < max_records && link_outbox_has_unsent(outbox)) {
        struct str record = record_at(&outbox->unsent);
        size_t cost = cost_of(record.len);
        bool has_credit = outbox->in_flight_bytes + cost <= outbox->credit_bytes;
        if (frame_bytes + cost > max_frame_bytes || (!has_credit && outbox->in_flight_bytes > 0)) {
            break;
        }
        step_over(&outbox->unsent, record);
        records[count++] = record;
        frame_bytes += cost;
        outbox->in_flight_bytes += cost;
        outbox->sent_seq++;
    }
    if (outbox->high_seq < outbox->sent_seq) {
        outbox->high_seq = outbox->sent_seq;
    }
    *first_seq_out = first_seq;
    return count;
}

/* Frees the chunks in front of the oldest record. One chunk stays for what comes next. */
static void trim(struct link_outbox *outbox)
{
    while (outbox->head != outbox->oldest.chunk) {
        struct link_chunk *next = outbox->head->next;
        free(outbox->head);
        outbox->head = next;
    }
    if (outbox->acked_seq == outbox->last_seq && outbox->head) {
        if (outbox->head != outbox->tail || outbox->head->capacity > CHUNK_BYTES) {
            free_chunks(outbox);
            return;
        }
        outbox->head->used = 0;
        outbox->oldest = (struct link_cursor){ outbox->head, 0 };
        outbox->unsent = outbox->oldest;
    }
}

static size_t clamp_credit(uint64_t credit_bytes)
{
    return credit_bytes > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)credit_bytes;
}

static void settle(struct link_outbox *outbox, uint64_t seq)
{
    while (outbox->acked_seq < seq) {
        struct str record = record_at(&outbox->oldest);
        step_over(&outbox->oldest, record);
        outbox->queued_bytes -= cost_of(record.len);
        if (outbox->acked_seq < outbox->sent_seq) {
            outbox->in_flight_bytes -= cost_of(record.len);
        }
        outbox->acked_seq++;
    }
}

enum err link_outbox_ack(struct link_outbox *outbox, uint64_t seq, uint64_t credit_bytes)
{
    if (seq < outbox->acked_seq || seq > outbox->sent_seq) {
        return ERR_PROTOCOL;
    }
    settle(outbox, seq);
    trim(outbox);
    outbox->credit_bytes = clamp_credit(credit_bytes);
    return ERR_OK;
}

enum err link_outbox_resume(struct link_outbox *outbox, uint64_t last_seq, uint64_t credit_bytes)
{
    if (last_seq > outbox->high_seq) {
        return ERR_PROTOCOL;
    }
    outbox->settled_seq = last_seq < outbox->acked_seq ? outbox->acked_seq : 0;
    /* As if nothing beyond acked_seq had been sent, then as if last_seq had been acknowledged. */
    outbox->sent_seq = outbox->acked_seq;
    outbox->in_flight_bytes = 0;
    settle(outbox, last_seq);
    outbox->sent_seq = outbox->acked_seq;
    outbox->unsent = outbox->oldest;
    trim(outbox);
    outbox->credit_bytes = clamp_credit(credit_bytes);
    return ERR_OK;
}

void link_outbox_drop(struct link_outbox *outbox)
{
    free_chunks(outbox);
    outbox->acked_seq = outbox->sent_seq = outbox->high_seq = outbox->last_seq;
    outbox->queued_bytes = outbox->in_flight_bytes = 0;
}

uint64_t link_outbox_take_settled(struct link_outbox *outbox)
{
    uint64_t settled_seq = outbox->settled_seq;
    outbox->settled_seq = 0;
    return settled_seq;
}

bool link_outbox_take_room(struct link_outbox *outbox)
{
    if (!outbox->owes_room || outbox->queued_bytes > outbox->max_bytes / 2) {
        return false;
    }
    outbox->owes_room = false;
    return true;
}

void link_inbox_begin(struct link_inbox *inbox, uint64_t boot_epoch)
{
    if (inbox->boot_epoch != boot_epoch) {
        *inbox = (struct link_inbox){ .boot_epoch = boot_epoch };
    }
}

void link_inbox_settle(struct link_inbox *inbox, uint64_t settled_seq)
{
    if (inbox->last_seq < settled_seq) {
        inbox->last_seq = settled_seq;
    }
}

enum err link_inbox_check(
        const struct link_inbox *inbox, uint64_t first_seq, size_t count, size_t *skip_out)
{
    if (first_seq == 0 || first_seq > inbox->last_seq + 1 || first_seq > UINT64_MAX - count) {
        return ERR_PROTOCOL;
    }
    uint64_t seen = inbox->last_seq + 1 - first_seq;
    *skip_out = seen > count ? count : (size_t)seen;
    return ERR_OK;
}

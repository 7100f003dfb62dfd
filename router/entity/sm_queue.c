/* Numbered stanzas of a session, oldest first. */
#include "router/entity/sm_queue.h"

#include <stdlib.h>

#include "chassis/base/mem.h"

#define ENTRY_OVERHEAD 64 /* counted for each, so that empty stanzas are not for nothing */
#define COPY_SLACK     320

void sm_queue_init(struct sm_queue *queue, uint32_t base)
{
    *queue = (struct sm_queue){ .last = base, .acked = base };
}

static void entry_destroy(struct sm_entry *entry)
{
    if (entry->has_stanza) {
        arena_fini(&entry->arena);
    }
    free(entry);
}

void sm_queue_fini(struct sm_queue *queue)
{
    while (queue->head) {
        struct sm_entry *entry = queue->head;
        queue->head = entry->next;
        entry_destroy(entry);
    }
    sm_queue_init(queue, queue->last);
}

static void keep_stanza(struct sm_entry *entry, const struct stanza *stanza)
{
    arena_init(&entry->arena,
            stanza_bytes(stanza) + stanza->payload_ns.len + stanza->payload_name.len + COPY_SLACK);
    stanza_dup(&entry->arena, stanza, &entry->stanza);
    entry->has_stanza = true;
}

static void link_last(struct sm_queue *queue, struct sm_entry *entry, uint32_t sequence)
{
    entry->sequence = sequence;
    entry->next = NULL;
    *(queue->tail ? &queue->tail->next : &queue->head) = entry;
    queue->tail = entry;
    queue->last = sequence;
    if (entry->log_id > queue->newest_log_id) {
        queue->newest_log_id = entry->log_id;
    }
}

static struct sm_entry *append(struct sm_queue *queue, uint32_t sequence, int64_t log_id)
{
    struct sm_entry *entry = MEM_NEW(struct sm_entry);
    entry->log_id = log_id;
    link_last(queue, entry, sequence);
    return entry;
}

static void count_in(struct sm_queue *queue, struct sm_entry *entry, size_t bytes)
{
    entry->bytes = bytes;
    queue->bytes += entry->bytes;
    queue->count++;
    if (!queue->unacked) {
        queue->unacked = entry;
    }
}

static size_t bytes_of(const struct stanza *stanza)
{
    return ENTRY_OVERHEAD + (stanza ? stanza_bytes(stanza) : 0);
}

struct sm_entry *sm_queue_push(struct sm_queue *queue, const struct stanza *stanza, int64_t log_id)
{
    struct sm_entry *entry = append(queue, queue->last + 1, log_id);
    keep_stanza(entry, stanza);
    count_in(queue, entry, bytes_of(stanza));
    return entry;
}

enum err sm_queue_restore(
        struct sm_queue *queue, uint32_t sequence, int64_t log_id, const struct stanza *stanza)
{
    if (queue->tail && !sm_sequence_is_after(sequence, queue->tail->sequence)) {
        return ERR_INVALID;
    }
    uint32_t last = queue->last;
    struct sm_entry *entry = append(queue, sequence, log_id);
    if (sm_sequence_is_after(sequence, queue->acked)) {
        if (stanza) {
            keep_stanza(entry, stanza);
        }
        count_in(queue, entry, bytes_of(stanza));
    } else {
        queue->last = last;
        queue->kept = entry;
    }
    return ERR_OK;
}

void sm_queue_remember(struct sm_queue *queue, uint32_t sequence, int64_t log_id)
{
    ASSERT(!sm_sequence_is_after(sequence, queue->acked));
    struct sm_entry *before = NULL;
    struct sm_entry *next = queue->head;
    while (next && !sm_sequence_is_after(next->sequence, sequence)) {
        before = next;
        next = next->next;
    }
    struct sm_entry *entry = MEM_NEW(struct sm_entry);
    entry->sequence = sequence;
    entry->log_id = log_id;
    entry->next = next;
    *(before ? &before->next : &queue->head) = entry;
    queue->kept = next == queue->unacked ? entry : queue->kept;
    queue->tail = next ? queue->tail : entry;
    queue->newest_log_id = log_id > queue->newest_log_id ? log_id : queue->newest_log_id;
}

void sm_queue_skip(struct sm_queue *queue, uint32_t sequence)
{
    if (sm_sequence_is_after(sequence, queue->last)) {
        queue->last = sequence;
    }
}

struct sm_queue sm_queue_split(struct sm_queue *queue, uint32_t sequence)
{
    struct sm_queue rest;
    sm_queue_init(&rest, queue->last);
    if (!sm_sequence_is_after(queue->last, sequence)) {
        return rest;
    }
    ASSERT(!sm_sequence_is_after(queue->acked, sequence));
    struct sm_entry *before = queue->kept;
    struct sm_entry *entry = queue->unacked;
    for (; entry && !sm_sequence_is_after(entry->sequence, sequence); entry = entry->next) {
        before = entry;
    }
    queue->last = sequence;
    queue->tail = before;
    *(before ? &before->next : &queue->head) = NULL;
    queue->unacked = queue->unacked == entry ? NULL : queue->unacked;
    rest.head = entry;
    rest.unacked = entry;
    for (; entry; entry = entry->next) {
        rest.tail = entry;
        rest.bytes += entry->bytes;
        rest.count++;
    }
    queue->bytes -= rest.bytes;
    queue->count -= rest.count;
    return rest;
}

void sm_queue_drop_volatile(struct sm_queue *rest, uint32_t sequence)
{
    struct sm_entry **at = &rest->head;
    while (*at && !sm_sequence_is_after((*at)->sequence, sequence)) {
        struct sm_entry *entry = *at;
        if (entry->log_id) {
            at = &entry->next;
        } else {
            *at = entry->next;
            entry_destroy(entry);
        }
    }
    rest->unacked = rest->head;
}

void sm_queue_join(struct sm_queue *queue, struct sm_queue *rest)
{
    while (rest->head) {
        struct sm_entry *entry = rest->head;
        rest->head = entry->next;
        if (sm_queue_find_log(queue, entry->log_id)) {
            entry_destroy(entry);
            continue;
        }
        link_last(queue, entry, queue->last + 1);
        count_in(queue, entry, entry->bytes);
    }
    sm_queue_fini(rest);
}

void sm_queue_fill(struct sm_queue *queue, struct sm_entry *entry, const struct stanza *stanza)
{
    if (entry->has_stanza || sm_queue_is_acked(queue, entry)) {
        return;
    }
    keep_stanza(entry, stanza);
    queue->bytes += stanza_bytes(stanza);
    entry->bytes += stanza_bytes(stanza);
}

static void count_out(struct sm_queue *queue, struct sm_entry *entry)
{
    queue->bytes -= entry->bytes;
    queue->count--;
    entry->bytes = 0;
    bool is_on_the_way = entry->sent_total > queue->acked_total
            && entry->sent_total <= queue->sent_total; /* not of before a rewind */
    queue->acked_total = is_on_the_way ? entry->sent_total : queue->acked_total;
    if (entry->has_stanza) {
        arena_fini(&entry->arena);
        entry->has_stanza = false;
        entry->stanza = (struct stanza){ .kind = 0 };
    }
}

/* A volatile one is not remembered. */
static void swallow(struct sm_queue *queue, struct sm_entry *entry)
{
    struct sm_entry *before = queue->kept;
    *(before ? &before->next : &queue->head) = entry->next;
    if (queue->tail == entry) {
        queue->tail = before;
    }
    entry_destroy(entry);
}

enum err sm_queue_ack(
        struct sm_queue *queue, uint32_t sequence, sm_queue_acked acked, void *context)
{
    if (sm_sequence_is_after(sequence, queue->last)) {
        return ERR_INVALID;
    }
    if (!sm_sequence_is_after(sequence, queue->acked)) {
        return ERR_OK;
    }
    queue->acked = sequence;
    while (queue->unacked && !sm_sequence_is_after(queue->unacked->sequence, sequence)) {
        struct sm_entry *entry = queue->unacked;
        queue->unacked = entry->next;
        count_out(queue, entry);
        if (entry->log_id) {
            acked(context, entry->log_id);
            queue->kept = entry;
        } else {
            swallow(queue, entry);
        }
    }
    return ERR_OK;
}

uint32_t sm_queue_forget(struct sm_queue *queue, int64_t watermark)
{
    while (queue->head && queue->head != queue->unacked && queue->head->log_id <= watermark) {
        struct sm_entry *entry = queue->head;
        queue->head = entry->next;
        if (queue->tail == entry) {
            queue->tail = NULL;
        }
        if (queue->kept == entry) {
            queue->kept = NULL;
        }
        entry_destroy(entry);
    }
    return queue->head ? queue->head->sequence : queue->last + 1;
}

void sm_queue_note_sent(struct sm_queue *queue, struct sm_entry *entry, int64_t now_ms)
{
    queue->sent_total += entry->bytes;
    entry->sent_total = queue->sent_total;
    entry->sent_ms = now_ms;
}

size_t sm_queue_in_flight(const struct sm_queue *queue)
{
    return (size_t)(queue->sent_total - queue->acked_total);
}

void sm_queue_rewind(struct sm_queue *queue, uint32_t sequence)
{
    uint64_t total = queue->acked_total;
    const struct sm_entry *entry = queue->unacked;
    for (; entry && !sm_sequence_is_after(entry->sequence, sequence); entry = entry->next) {
        total = entry->sent_total > total ? entry->sent_total : total;
    }
    queue->sent_total = total < queue->sent_total ? total : queue->sent_total;
}

struct sm_entry *sm_queue_after(const struct sm_queue *queue, uint32_t sequence)
{
    if (!queue->tail || !sm_sequence_is_after(queue->tail->sequence, sequence)) {
        return NULL;
    }
    if (queue->tail->sequence == sequence + 1) {
        return queue->tail;
    }
    struct sm_entry *entry = queue->unacked;
    while (entry && !sm_sequence_is_after(entry->sequence, sequence)) {
        entry = entry->next;
    }
    return entry;
}

struct sm_entry *sm_queue_find_log(const struct sm_queue *queue, int64_t log_id)
{
    if (log_id == 0 || log_id > queue->newest_log_id) {
        return NULL;
    }
    for (struct sm_entry *entry = queue->head; entry; entry = entry->next) {
        if (entry->log_id == log_id) {
            return entry;
        }
    }
    return NULL;
}

bool sm_queue_is_acked(const struct sm_queue *queue, const struct sm_entry *entry)
{
    return !sm_sequence_is_after(entry->sequence, queue->acked);
}

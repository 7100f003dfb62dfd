/* Stanzas numbered for one session and not yet acknowledged by its client (XEP-0198 §4, §5). Part
 * of a session at its home. Knows neither XML nor sockets.
 *
 * What is acknowledged stays in front as a bare number while the account's log may still offer it
 * again (the watermark has not passed it), so that nobody gets a message twice. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/err.h"
#include "proto/xmpp/stanza.h"

struct sm_entry {
    struct sm_entry *next;
    uint32_t sequence;
    int64_t log_id;      /* 0: volatile */
    bool has_stanza;     /* false: has to be read from the log */
    bool is_shared;      /* not kept, but other sessions got it as well */
    size_t bytes;        /* counted against the limit */
    uint64_t sent_total; /* of the queue, when it was sent last */
    int64_t sent_ms;     /* when that was */
    struct arena arena;
    struct stanza stanza;
};

struct sm_queue {
    struct sm_entry *head;
    struct sm_entry *tail;
    struct sm_entry *kept;    /* the last one in front of it; NULL: none */
    struct sm_entry *unacked; /* the first one that is not acknowledged */
    size_t count;             /* not acknowledged */
    size_t bytes;             /* likewise */
    uint32_t last;            /* newest number given */
    uint32_t acked;           /* everything up to it is acknowledged */
    int64_t newest_log_id;
    uint64_t sent_total;  /* bytes sent so far */
    uint64_t acked_total; /* those of them that are not on the way any more */
};

/* Numbers wrap: compared by this only. */
static inline bool sm_sequence_is_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* The first number will be base + 1. */
void sm_queue_init(struct sm_queue *queue, uint32_t base);
void sm_queue_fini(struct sm_queue *queue);

/* Gives it the next number and copies it. */
struct sm_entry *sm_queue_push(struct sm_queue *queue, const struct stanza *stanza, int64_t log_id);
/* One that was numbered by a former home, in order; `stanza` NULL: to be read from the log. What is
 * not newer than `acked` is acknowledged already. ERR_INVALID: not in order. */
MUST_USE enum err sm_queue_restore(
        struct sm_queue *queue, uint32_t sequence, int64_t log_id, const struct stanza *stanza);
/* Numbers up to `sequence` were given by somebody else; what they mean is not known here. */
void sm_queue_skip(struct sm_queue *queue, uint32_t sequence);
/* An acknowledged one that is not known here. */
void sm_queue_remember(struct sm_queue *queue, uint32_t sequence, int64_t log_id);
/* Takes off everything behind `sequence` (not acknowledged), as a queue of its own. */
struct sm_queue sm_queue_split(struct sm_queue *queue, uint32_t sequence);
/* Volatile ones up to `sequence` were sent after all. */
void sm_queue_drop_volatile(struct sm_queue *rest, uint32_t sequence);
/* Appends all of `rest`, numbered anew, but for log entries that are in the queue by now. */
void sm_queue_join(struct sm_queue *queue, struct sm_queue *rest);
void sm_queue_fill(struct sm_queue *queue, struct sm_entry *entry, const struct stanza *stanza);

/* The client has everything up to `sequence`; `acked` hears of each durable one. Old news is
 * nothing. ERR_INVALID: more than was ever numbered. */
typedef void (*sm_queue_acked)(void *context, int64_t log_id);
MUST_USE enum err sm_queue_ack(
        struct sm_queue *queue, uint32_t sequence, sm_queue_acked acked, void *context);
/* The log offers nothing up to `watermark` any more. Returns the oldest number that is needed
 * still, or will be. */
uint32_t sm_queue_forget(struct sm_queue *queue, int64_t watermark);

/* An edge was given it for the present stream. */
void sm_queue_note_sent(struct sm_queue *queue, struct sm_entry *entry, int64_t now_ms);
/* Bytes of what was sent and is not acknowledged. What a former home has sent is not in it. */
size_t sm_queue_in_flight(const struct sm_queue *queue);
/* What was sent behind `sequence` did not get there. */
void sm_queue_rewind(struct sm_queue *queue, uint32_t sequence);

/* The first one behind `sequence`; NULL: none. Cheap at the end of the queue. */
struct sm_entry *sm_queue_after(const struct sm_queue *queue, uint32_t sequence);
/* NULL: this session was not sent it, or it is long forgotten. */
struct sm_entry *sm_queue_find_log(const struct sm_queue *queue, int64_t log_id);
bool sm_queue_is_acked(const struct sm_queue *queue, const struct sm_entry *entry);

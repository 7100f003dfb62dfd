/* The two halves of "once and in order" between two incarnations, free of sockets and of time:
 * what the dialer keeps until it is acknowledged, and what the listener remembers of a dialer.
 *
 * Records are numbered from 1 on. A record costs its length plus LINK_RECORD_OVERHEAD_BYTES of
 * credit and of the queue's bound, so that empty ones are not free. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct link_chunk;

struct link_cursor {
    struct link_chunk *chunk;
    size_t offset;
};

/* ---- the sender's half */

struct link_outbox {
    struct link_chunk *head, *tail;
    struct link_cursor oldest; /* first record that is not acknowledged */
    struct link_cursor unsent; /* first record that is not on this connection's wire */
    uint64_t acked_seq;        /* everything up to here is settled */
    uint64_t sent_seq;         /* on the wire of this connection, or settled */
    uint64_t high_seq;         /* ever on any wire */
    uint64_t last_seq;         /* of the newest record */
    size_t queued_bytes;       /* not acknowledged */
    size_t in_flight_bytes;    /* of these, on the wire */
    size_t credit_bytes;
    size_t max_bytes;
    uint64_t settled_seq; /* to be announced on this connection, or 0 */
    bool owes_room;       /* a push met the limit */
};

void link_outbox_init(struct link_outbox *outbox, size_t max_bytes);
void link_outbox_fini(struct link_outbox *outbox);

/* Copies. ERR_LIMIT: max_bytes wait already. */
MUST_USE enum err link_outbox_push(struct link_outbox *outbox, struct str record);

/* The next records that fit into a frame of `max_frame_bytes` and into the credit; 0: none may go
 * now. With nothing in flight, one record goes whatever the credit, so that a window smaller than
 * a record cannot stall for ever. Views live until the records are acknowledged or dropped. */
size_t link_outbox_take(struct link_outbox *outbox,
        size_t max_frame_bytes,
        struct str *records,
        size_t max_records,
        uint64_t *first_seq_out);

/* ERR_PROTOCOL: acknowledges what was never sent, or less than before. */
MUST_USE enum err link_outbox_ack(struct link_outbox *outbox, uint64_t seq, uint64_t credit_bytes);

/* A new connection, to a process that has everything up to `last_seq` of ours: the rest is sent
 * again. ERR_PROTOCOL: it cannot have that. */
MUST_USE enum err link_outbox_resume(
        struct link_outbox *outbox, uint64_t last_seq, uint64_t credit_bytes);
/* Drops all records. Numbers go on, and the next connection announces what is missing. */
void link_outbox_drop(struct link_outbox *outbox);
/* For the next DATA frame of this connection; 0: nothing to announce. Reading takes it. */
uint64_t link_outbox_take_settled(struct link_outbox *outbox);

bool link_outbox_has_unsent(const struct link_outbox *outbox);
/* The largest record that waits is bigger than a frame may be: nothing will ever move. */
bool link_outbox_is_blocked(const struct link_outbox *outbox, size_t max_frame_bytes);
/* True once after ERR_LIMIT, when half of the room is free again. */
bool link_outbox_take_room(struct link_outbox *outbox);

/* ---- the receiver's half */

struct link_inbox {
    uint64_t boot_epoch; /* of the dialer */
    uint64_t last_seq;   /* delivered */
};

/* A connection of the incarnation `boot_epoch` begins. */
void link_inbox_begin(struct link_inbox *inbox, uint64_t boot_epoch);
/* The sender will not send again what is up to `settled_seq`; 0 says nothing. */
void link_inbox_settle(struct link_inbox *inbox, uint64_t settled_seq);
/* `skip_out`: how many records at the front of the frame were seen before. The caller delivers the
 * others and calls link_inbox_advance for each. ERR_PROTOCOL: a gap, or no such numbers. */
MUST_USE enum err link_inbox_check(
        const struct link_inbox *inbox, uint64_t first_seq, size_t count, size_t *skip_out);
static inline void link_inbox_advance(struct link_inbox *inbox)
{
    inbox->last_seq++;
}

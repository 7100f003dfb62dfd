/* Which log entries a client has been sent, and which of them it has for sure: its kernel
 * acknowledged the bytes up to the entry's end. Answers repeats exactly (in doubt: send again).
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DELIVERED_RING_REMEMBERED 128  /* confirmed ids kept to answer repeats */
#define DELIVERED_RING_MAX        8192 /* ids in all; more unconfirmed ones means: does not read */

struct delivered_entry {
    int64_t id;
    uint64_t end_offset; /* transport_written_total behind it */
};

struct delivered_ring {
    struct delivered_entry *entries; /* NULL before first use */
    uint32_t capacity;               /* power of two */
    uint32_t first;                  /* index of the oldest */
    uint32_t confirmed;              /* the oldest so many are confirmed ... */
    uint32_t unconfirmed;            /* ... and the rest is not */
};

enum delivered_known {
    DELIVERED_UNKNOWN, /* never sent */
    DELIVERED_SENT,    /* sent, not yet confirmed: the answer will come by itself */
    DELIVERED_CONFIRMED,
};

void delivered_ring_fini(struct delivered_ring *ring);
enum delivered_known delivered_ring_find(const struct delivered_ring *ring, int64_t id);
/* false: full of unconfirmed entries, nothing was added. */
bool delivered_ring_push(struct delivered_ring *ring, int64_t id, uint64_t end_offset);
/* Copies ids whose bytes are acknowledged up to `acknowledged_offset`, at most `max`; they stay
 * unconfirmed until delivered_ring_confirm, so that a report that could not be sent is not lost. */
size_t delivered_ring_due(const struct delivered_ring *ring,
        uint64_t acknowledged_offset,
        int64_t *ids_out,
        size_t max);
void delivered_ring_confirm(struct delivered_ring *ring, size_t count);

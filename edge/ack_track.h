/* Which plain bytes the peer's kernel has: pairs of (plain bytes written, raw bytes written), so
 * that an acknowledged raw count (TLS adds to every record) tells an acknowledged plain count.
 * Bounded: when too many pairs wait, every second goes, which only delays the knowledge. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ACK_TRACK_POINTS 8

struct ack_point {
    uint64_t plain;
    uint64_t raw;
};

struct ack_track { /* all zero: empty */
    struct ack_point points[ACK_TRACK_POINTS];
    unsigned count;
    uint64_t acknowledged; /* plain */
};

/* After a write: totals so far, never smaller than the last ones. */
void ack_track_push(struct ack_track *track, uint64_t plain, uint64_t raw);
/* The peer has `raw` bytes. */
void ack_track_settle(struct ack_track *track, uint64_t raw);

static inline bool ack_track_is_settled(const struct ack_track *track)
{
    return track->count == 0;
}

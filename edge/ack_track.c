/* Mapping acknowledged raw bytes to plain bytes. */
#include "edge/ack_track.h"

#include <string.h>

/* Keeps the newest: everything acknowledged must be found exactly. */
static void thin_out(struct ack_track *track)
{
    unsigned kept = 0;
    for (unsigned i = 1; i < track->count; i += 2) {
        track->points[kept++] = track->points[i];
    }
    track->count = kept;
}

void ack_track_push(struct ack_track *track, uint64_t plain, uint64_t raw)
{
    if (track->count == ACK_TRACK_POINTS) {
        thin_out(track);
    }
    track->points[track->count++] = (struct ack_point){ .plain = plain, .raw = raw };
}

void ack_track_settle(struct ack_track *track, uint64_t raw)
{
    unsigned settled = 0;
    while (settled < track->count && track->points[settled].raw <= raw) {
        track->acknowledged = track->points[settled].plain;
        settled++;
    }
    track->count -= settled;
    memmove(track->points, track->points + settled, track->count * sizeof(track->points[0]));
}

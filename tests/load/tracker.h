/* What became of the messages of one sender to one receiver: numbered from 1 on, each is expected
 * once and in order. Also says what is lost: sent and never seen. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum track {
    TRACK_EXPECTED,
    TRACK_DISORDERED, /* the first time, but behind a later one */
    TRACK_DUPLICATE,
    TRACK_STRANGE, /* never sent */
};

struct tracker {
    uint64_t sent;    /* the highest number handed out */
    uint64_t arrived; /* distinct numbers seen */
    uint64_t highest; /* the highest number seen */
    uint64_t disordered;
    uint64_t duplicates;
    uint64_t strange;
    uint64_t *seen; /* a bit for each number */
    uint64_t words;
};

void tracker_fini(struct tracker *tracker);
uint64_t tracker_send(struct tracker *tracker); /* the number of the next message */
enum track tracker_receive(struct tracker *tracker, uint64_t number);
uint64_t tracker_missing(
        const struct tracker *tracker); /* sent and not seen: lost, if one waits no longer */

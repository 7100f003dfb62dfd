/* Sequence numbers of one stream of messages; see tracker.h. */
#include "tests/load/tracker.h"

#include <stdlib.h>
#include <string.h>

#include "chassis/base/mem.h"

#define WORD_BITS 64

void tracker_fini(struct tracker *tracker)
{
    free(tracker->seen);
    *tracker = (struct tracker){ 0 };
}

uint64_t tracker_send(struct tracker *tracker)
{
    return ++tracker->sent;
}

static void grow(struct tracker *tracker, uint64_t word)
{
    uint64_t words = tracker->words ? tracker->words : 4;
    while (words <= word) {
        words *= 2;
    }
    if (words > tracker->words) {
        tracker->seen = mem_realloc(tracker->seen, words * sizeof(uint64_t));
        memset(tracker->seen + tracker->words, 0, (words - tracker->words) * sizeof(uint64_t));
        tracker->words = words;
    }
}

enum track tracker_receive(struct tracker *tracker, uint64_t number)
{
    if (number == 0 || number > tracker->sent) {
        tracker->strange++;
        return TRACK_STRANGE;
    }
    uint64_t word = number / WORD_BITS;
    uint64_t bit = UINT64_C(1) << (number % WORD_BITS);
    grow(tracker, word);
    if (tracker->seen[word] & bit) {
        tracker->duplicates++;
        return TRACK_DUPLICATE;
    }
    tracker->seen[word] |= bit;
    tracker->arrived++;
    if (number < tracker->highest) {
        tracker->disordered++;
        return TRACK_DISORDERED;
    }
    tracker->highest = number;
    return TRACK_EXPECTED;
}

uint64_t tracker_missing(const struct tracker *tracker)
{
    return tracker->sent - tracker->arrived;
}

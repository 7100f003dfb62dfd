/* One sends, many receive: what presence and group chat have in common. Each source has the same
 * number of receivers; a round is one stanza of the source that each of them has to see once.
 * Closed loop: a source keeps --window rounds under way. */
#pragma once

#include <jansson.h>

#include "tests/load/fleet.h"
#include "tests/load/histogram.h"
#include "tests/load/message_id.h"
#include "tests/load/tracker.h"

struct fanout_source {
    struct client *sender;
    struct tracker *trackers; /* one for each receiver */
    uint64_t rounds, arrivals;
};

struct fanout {
    const struct settings *settings;
    struct fleet fleet;
    struct fanout_source *sources;
    unsigned source_count;
    unsigned receivers; /* of each source */
    uint32_t run_id;
    bool is_sending;
    uint64_t seen; /* with those --self-test-drop overlooks */
    uint64_t arrived, errors;
    int64_t measured_from_us;
    struct histogram latency_us;
    /* Sends one round whose id (text) is `id`; part of the mode. */
    void (*send)(struct fanout *fanout, unsigned source, struct str id);
};

void fanout_init(struct fanout *fanout,
        const struct settings *settings,
        unsigned sources,
        unsigned receivers);
void fanout_fini(struct fanout *fanout);
/* Receiver `receiver` of a source saw a stanza with this id; others' ids are ignored. */
void fanout_take(struct fanout *fanout, struct str id, unsigned receiver);
/* Warm-up, the window, draining; fills `result`. */
void fanout_measure(struct fanout *fanout, json_t *result);

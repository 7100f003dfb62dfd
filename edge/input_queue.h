/* Stanzas of one session that no router has answered for: packed Input records in order. Kept until
 * Handled, repeated when the shard moves (P1, F06). Knows neither sockets nor XML. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

struct input; /* one record */

struct input_queue {
    struct input *first, *last;
    struct input *unsent; /* the first one that the present owner has not been sent */
    uint32_t count;
    size_t bytes; /* memory held */
};

void input_queue_fini(struct input_queue *queue);
/* Copies `record`. Counters come in order, modulo 2^32. */
void input_queue_push(struct input_queue *queue, uint32_t counter, struct str record);
/* Drops everything up to and including `counter`; an older or unknown one drops nothing. Returns
 * the bytes that became free. */
size_t input_queue_handled(struct input_queue *queue, uint32_t counter);
/* Puts `record` in the place of an input that is not handled yet; an unknown counter changes
 * nothing. */
void input_queue_replace(struct input_queue *queue, uint32_t counter, struct str record);
/* Everything is to be sent again. */
void input_queue_rewind(struct input_queue *queue);
/* The next to send; false: all are sent. */
bool input_queue_peek(const struct input_queue *queue, struct str *record_out);
void input_queue_sent(struct input_queue *queue);

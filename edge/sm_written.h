/* Which log entries were written to the client, under which numbers of its home (XEP-0198): the
 * newest of them, acknowledged or not. The next home hears of them, since the former one may have
 * sent more than it could leave behind. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/wire/wire.h"

#define SM_WRITTEN_REMEMBERED 64 /* also when they are acknowledged */
/* In all; of more the oldest are forgotten, and come again. */
#define SM_WRITTEN_MAX WIRE_MAX_WRITTEN

struct sm_written_entry {
    int64_t log_id;
    uint32_t sequence;
};

struct sm_written { /* all zero: empty */
    struct sm_written_entry *entries;
    uint32_t capacity; /* power of two, or 0 */
    uint32_t first;    /* index of the oldest */
    uint32_t count;
};

void sm_written_fini(struct sm_written *written);
/* `sequence` is newer than all before it; the client has acknowledged everything up to `acked`. */
void sm_written_push(struct sm_written *written, uint32_t sequence, int64_t log_id, uint32_t acked);
/* Oldest first; both arrays have room for `count` of them. */
void sm_written_list(const struct sm_written *written, uint32_t *sequences, int64_t *log_ids);

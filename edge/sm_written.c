/* A ring that grows while its oldest entry is not acknowledged. */
#include "edge/sm_written.h"

#include <stdbool.h>

#include "chassis/base/mem.h"

#define FIRST_CAPACITY 8

static struct sm_written_entry *entry_at(const struct sm_written *written, uint32_t index)
{
    return &written->entries[(written->first + index) & (written->capacity - 1)];
}

void sm_written_fini(struct sm_written *written)
{
    free(written->entries);
    *written = (struct sm_written){ 0 };
}

static void grow(struct sm_written *written)
{
    uint32_t capacity = written->capacity ? written->capacity * 2 : FIRST_CAPACITY;
    struct sm_written_entry *entries = mem_alloc(capacity * sizeof(*entries));
    for (uint32_t i = 0; i < written->count; i++) {
        entries[i] = *entry_at(written, i);
    }
    free(written->entries);
    written->entries = entries;
    written->capacity = capacity;
    written->first = 0;
}

static bool may_forget_oldest(const struct sm_written *written, uint32_t acked)
{
    return written->count == SM_WRITTEN_MAX
            || (written->count >= SM_WRITTEN_REMEMBERED
                    && (int32_t)(entry_at(written, 0)->sequence - acked) <= 0);
}

static void make_room(struct sm_written *written, uint32_t acked)
{
    while (may_forget_oldest(written, acked)) {
        written->first = (written->first + 1) & (written->capacity - 1);
        written->count--;
    }
    if (written->count == written->capacity) {
        grow(written);
    }
}

void sm_written_push(struct sm_written *written, uint32_t sequence, int64_t log_id, uint32_t acked)
{
    make_room(written, acked);
    *entry_at(written, written->count++) =
            (struct sm_written_entry){ .log_id = log_id, .sequence = sequence };
}

void sm_written_list(const struct sm_written *written, uint32_t *sequences, int64_t *log_ids)
{
    for (uint32_t i = 0; i < written->count; i++) {
        sequences[i] = entry_at(written, i)->sequence;
        log_ids[i] = entry_at(written, i)->log_id;
    }
}

/* A ring that grows while entries are unconfirmed and forgets old confirmed ones. */
#include "edge/delivered_ring.h"

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

#define FIRST_CAPACITY 8

static struct delivered_entry *entry_at(const struct delivered_ring *ring, uint32_t index)
{
    return &ring->entries[(ring->first + index) & (ring->capacity - 1)];
}

void delivered_ring_fini(struct delivered_ring *ring)
{
    free(ring->entries);
    *ring = (struct delivered_ring){ 0 };
}

/* Newest first: a repeat comes soon after the original. */
enum delivered_known delivered_ring_find(const struct delivered_ring *ring, int64_t id)
{
    for (uint32_t i = ring->confirmed + ring->unconfirmed; i > 0; i--) {
        if (entry_at(ring, i - 1)->id == id) {
            return i - 1 < ring->confirmed ? DELIVERED_CONFIRMED : DELIVERED_SENT;
        }
    }
    return DELIVERED_UNKNOWN;
}

static void grow(struct delivered_ring *ring)
{
    uint32_t capacity = ring->capacity ? ring->capacity * 2 : FIRST_CAPACITY;
    struct delivered_entry *entries = mem_alloc(capacity * sizeof(*entries));
    uint32_t count = ring->confirmed + ring->unconfirmed;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = *entry_at(ring, i);
    }
    free(ring->entries);
    ring->entries = entries;
    ring->capacity = capacity;
    ring->first = 0;
}

static bool make_room(struct delivered_ring *ring)
{
    if (ring->confirmed + ring->unconfirmed < ring->capacity) {
        return true;
    }
    if (ring->capacity < DELIVERED_RING_REMEMBERED) {
        grow(ring);
        return true;
    }
    if (ring->confirmed > 0) {
        ring->first = (ring->first + 1) & (ring->capacity - 1);
        ring->confirmed--;
        return true;
    }
    if (ring->capacity < DELIVERED_RING_MAX) {
        grow(ring);
        return true;
    }
    return false;
}

bool delivered_ring_push(struct delivered_ring *ring, int64_t id, uint64_t end_offset)
{
    if (!make_room(ring)) {
        return false;
    }
    uint32_t index = ring->confirmed + ring->unconfirmed;
    *entry_at(ring, index) = (struct delivered_entry){ .id = id, .end_offset = end_offset };
    ring->unconfirmed++;
    return true;
}

size_t delivered_ring_due(const struct delivered_ring *ring,
        uint64_t acknowledged_offset,
        int64_t *ids_out,
        size_t max)
{
    size_t count = 0;
    while (count < ring->unconfirmed && count < max) {
        const struct delivered_entry *entry = entry_at(ring, ring->confirmed + (uint32_t)count);
        if (entry->end_offset > acknowledged_offset) {
            break;
        }
        ids_out[count++] = entry->id;
    }
    return count;
}

void delivered_ring_confirm(struct delivered_ring *ring, size_t count)
{
    ASSERT(count <= ring->unconfirmed);
    ring->confirmed += (uint32_t)count;
    ring->unconfirmed -= (uint32_t)count;
}

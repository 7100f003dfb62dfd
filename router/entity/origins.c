/* Ring with chained hash; rebuilt when it grows. */
#include "router/entity/origins.h"

#include "chassis/base/mem.h"
#include "router/entity/resource.h"

#define ORIGINS_FIRST 16

struct origin_entry {
    struct origin origin;
    int64_t id;     /* 0: empty or removed */
    uint32_t chain; /* index + 1 of the next older one in the bucket */
};

static size_t bucket_of(const struct origins *origins, const struct origin *origin)
{
    uint64_t hash = origin->session.lo ^ (origin->counter * UINT64_C(0x9e3779b97f4a7c15))
            ^ ((uint64_t)origin->part << 17);
    return (size_t)(hash ^ (hash >> 29)) & (origins->capacity - 1);
}

static bool origin_equal(const struct origin *a, const struct origin *b)
{
    return id128_equal(a->session, b->session) && a->counter == b->counter && a->part == b->part;
}

static bool is_younger(const struct origin *a, const struct origin *b)
{
    return id128_equal(a->session, b->session) && counter_is_after(a->counter, b->counter);
}

void origins_init(struct origins *origins)
{
    *origins = (struct origins){ 0 };
}

void origins_fini(struct origins *origins)
{
    free(origins->entries);
    free(origins->buckets);
    *origins = (struct origins){ 0 };
}

static void link_entry(struct origins *origins, size_t slot)
{
    uint32_t *bucket = &origins->buckets[bucket_of(origins, &origins->entries[slot].origin)];
    origins->entries[slot].chain = *bucket;
    *bucket = (uint32_t)slot + 1;
}

static void unlink_entry(struct origins *origins, size_t slot)
{
    uint32_t *at = &origins->buckets[bucket_of(origins, &origins->entries[slot].origin)];
    while (*at && *at != slot + 1) {
        at = &origins->entries[*at - 1].chain;
    }
    if (*at) {
        *at = origins->entries[slot].chain;
    }
    origins->entries[slot].id = 0;
}

static void grow(struct origins *origins)
{
    origins->capacity = origins->capacity ? origins->capacity * 2 : ORIGINS_FIRST;
    origins->entries =
            mem_realloc(origins->entries, origins->capacity * sizeof(origins->entries[0]));
    free(origins->buckets);
    origins->buckets = mem_calloc(origins->capacity, sizeof(origins->buckets[0]));
    for (size_t i = 0; i < origins->capacity; i++) {
        if (i >= origins->count) {
            origins->entries[i] = (struct origin_entry){ .id = 0 };
        } else if (origins->entries[i].id) {
            link_entry(origins, i);
        }
    }
    origins->next = origins->count;
}

void origins_add(struct origins *origins, const struct origin *origin, int64_t id)
{
    ASSERT(id != 0); /* an empty slot: it would stay in its chain when it is used again */
    if (origins->count == origins->capacity && origins->capacity < ORIGINS_MAX) {
        grow(origins);
    }
    size_t slot = origins->next;
    origins->next = (slot + 1) & (origins->capacity - 1);
    if (origins->entries[slot].id) {
        unlink_entry(origins, slot);
    }
    origins->entries[slot] = (struct origin_entry){ .origin = *origin, .id = id };
    link_entry(origins, slot);
    if (origins->count < origins->capacity) {
        origins->count++;
    }
    if (is_younger(origin, &origins->in_order)) {
        origins->in_order = *origin;
    }
}

static bool find_slot(const struct origins *origins, const struct origin *origin, size_t *slot_out)
{
    if (origins->capacity == 0) {
        return false;
    }
    uint32_t at = origins->buckets[bucket_of(origins, origin)];
    while (at) {
        if (origin_equal(&origins->entries[at - 1].origin, origin)) {
            *slot_out = at - 1;
            return true;
        }
        at = origins->entries[at - 1].chain;
    }
    return false;
}

bool origins_find(const struct origins *origins, const struct origin *origin, int64_t *id_out)
{
    size_t slot;
    if (!find_slot(origins, origin, &slot)) {
        return false;
    }
    *id_out = origins->entries[slot].id;
    return true;
}

bool origins_has_younger(struct origins *origins, const struct origin *origin)
{
    const struct origin *last = &origins->in_order;
    if (id128_equal(last->session, origin->session) && !is_younger(last, origin)) {
        origins->in_order = *origin;
        return false;
    }
    for (size_t i = 0; i < origins->count; i++) {
        const struct origin_entry *entry = &origins->entries[i];
        int64_t id; /* the newest: it may have been taken back */
        if (entry->id > 0 && is_younger(&entry->origin, origin)
                && origins_find(origins, &entry->origin, &id) && id > 0) {
            return true;
        }
    }
    origins->in_order = *origin;
    return false;
}

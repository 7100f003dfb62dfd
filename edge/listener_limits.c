/* How many connections an address may hold and how fast it may come (A29, XEP-0205 §3). The table
 * is bounded: entries that say nothing any more are pruned, and a full table gives up its oldest
 * idle entry. */
#include "edge/listener_limits.h"

#include <stdlib.h>

#include "chassis/base/mem.h"
#include "chassis/base/str.h"
#include "chassis/loop.h"
#include "chassis/timer.h"
#include "edge/address.h"

#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)str_hash(str_from((key), (len))))
#include <uthash.h>

enum {
    LIMITS_MAX_ENTRIES = 1 << 17,
    LIMITS_EVICT_STEPS = 64,
    LIMITS_PRUNE_MS = 60000,
    MINUTE_US = 60000000,
};

struct limit_entry {
    struct address_key key;
    int64_t connections;
    int64_t next_us; /* GCRA's theoretical arrival time: one number is a whole leaky bucket */
    UT_hash_handle hh;
};

struct listener_limits {
    struct loop *loop;
    struct listener_limit_options options;
    struct limit_entry *entries;
    int64_t connections;
    struct timer prune_timer;
};

static int64_t now_us(const struct listener_limits *limits)
{
    return loop_now_ms(limits->loop) * 1000;
}

/* ---- the table */

static bool is_idle(const struct limit_entry *entry, int64_t now)
{
    return entry->connections == 0 && entry->next_us <= now;
}

static void drop_entry(struct listener_limits *limits, struct limit_entry *entry)
{
    HASH_DEL(limits->entries, entry);
    free(entry);
}

static void on_prune(struct timer *timer, void *context)
{
    struct listener_limits *limits = context;
    struct limit_entry *entry = NULL;
    struct limit_entry *next = NULL;
    int64_t now = now_us(limits);
    HASH_ITER(hh, limits->entries, entry, next)
    {
        if (is_idle(entry, now)) {
            drop_entry(limits, entry);
        }
    }
    timer_start(loop_timers(limits->loop), timer, LIMITS_PRUNE_MS);
}

/* From the oldest on; an address without open connections loses its attempts' count. */
static bool evict_one(struct listener_limits *limits)
{
    struct limit_entry *entry = limits->entries;
    for (int step = 0; entry != NULL && step < LIMITS_EVICT_STEPS; step++) {
        if (entry->connections == 0) {
            drop_entry(limits, entry);
            return true;
        }
        entry = entry->hh.next;
    }
    return false;
}

static struct limit_entry *find_entry(
        const struct listener_limits *limits, const struct sockaddr_storage *address)
{
    struct address_key key = address_limit_key(address);
    struct limit_entry *entry = NULL;
    HASH_FIND(hh, limits->entries, &key, sizeof(key), entry);
    return entry;
}

static struct limit_entry *obtain_entry(
        struct listener_limits *limits, const struct sockaddr_storage *address)
{
    struct limit_entry *entry = find_entry(limits, address);
    if (entry != NULL
            || (HASH_COUNT(limits->entries) >= LIMITS_MAX_ENTRIES && !evict_one(limits))) {
        return entry;
    }
    entry = MEM_NEW(struct limit_entry);
    entry->key = address_limit_key(address);
    HASH_ADD(hh, limits->entries, key, sizeof(entry->key), entry);
    return entry;
}

/* ---- admitting */

/* GCRA: a burst of a whole minute's allowance, then evenly. A refused attempt costs nothing. */
static bool take_attempt(struct limit_entry *entry, int64_t per_minute, int64_t now)
{
    int64_t interval = MINUTE_US / per_minute;
    int64_t due = entry->next_us > now ? entry->next_us : now;
    if (due - now > MINUTE_US - interval) {
        return false;
    }
    entry->next_us = due + interval;
    return true;
}

enum admission listener_limits_admit(
        struct listener_limits *limits, const struct peer_address *address)
{
    if (limits->connections >= limits->options.max_connections) {
        return ADMISSION_FULL;
    }
    struct limit_entry *entry = obtain_entry(limits, &address->storage);
    if (entry == NULL) {
        return ADMISSION_FULL;
    }
    if (!take_attempt(entry, limits->options.max_attempts_per_minute, now_us(limits))) {
        return ADMISSION_TOO_FAST;
    }
    if (entry->connections >= limits->options.max_connections_per_address) {
        return ADMISSION_TOO_MANY;
    }
    entry->connections++;
    limits->connections++;
    return ADMISSION_GRANTED;
}

void listener_limits_release(struct listener_limits *limits, const struct peer_address *address)
{
    struct limit_entry *entry = find_entry(limits, &address->storage);
    ASSERT(entry != NULL && entry->connections > 0 && limits->connections > 0);
    entry->connections--;
    limits->connections--;
}

size_t listener_limits_entries(const struct listener_limits *limits)
{
    return HASH_COUNT(limits->entries);
}

/* ---- life */

struct listener_limits *listener_limits_create(
        struct loop *loop, const struct listener_limit_options *options)
{
    struct listener_limits *limits = MEM_NEW(struct listener_limits);
    limits->loop = loop;
    limits->options = *options;
    ASSERT(options->max_attempts_per_minute > 0);
    timer_init(&limits->prune_timer, on_prune, limits);
    timer_start(loop_timers(loop), &limits->prune_timer, LIMITS_PRUNE_MS);
    return limits;
}

void listener_limits_destroy(struct listener_limits *limits)
{
    if (limits == NULL) {
        return;
    }
    struct limit_entry *entry = NULL;
    struct limit_entry *next = NULL;
    HASH_ITER(hh, limits->entries, entry, next)
    {
        drop_entry(limits, entry);
    }
    timer_stop(&limits->prune_timer);
    free(limits);
}

void listener_limits_set(
        struct listener_limits *limits, const struct listener_limit_options *options)
{
    ASSERT(options->max_attempts_per_minute > 0);
    limits->options = *options;
}

/* Which edge holds which session, in Redis: one hash for each account (key "s:{bare}", field =
 * resource), written by the home router at bind, presence and close, read when an entity is
 * activated. A hint that saves time: an edge announces what is missing here, and answers
 * SessionGone for what is stale (P6). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "chassis/base/str.h"

struct redis;

/* Stream management (XEP-0198). */
struct session_record_sm {
    bool is_resumable;
    bool is_detached;
    uint32_t base_sequence;
    uint32_t base_counter;
    uint32_t acked;
    uint32_t attach;
    uint32_t max_s;
    uint32_t granted;         /* see struct sm_session; of a detached one 0 */
    int64_t detached_wall_ms; /* of one that is not detached 0 */
};

struct session_record {
    struct str resource;
    struct id128 session;
    struct str edge;
    bool is_available;
    bool has_blocklist;
    bool has_carbons;
    int8_t priority;
    uint32_t handled;
    bool is_interested; /* asked for the roster */
    bool has_sm;
    struct session_record_sm sm;
    /* In a field of its own ("p:{bare}"), since most sessions have none of it. */
    struct str presence; /* children of the last presence */
    uint32_t presence_child_count;
    struct str directed; /* addresses of directed presence, each with a NUL behind it */
};

void session_registry_write(
        struct redis *redis, struct str bare, const struct session_record *record);
void session_registry_remove(struct redis *redis, struct str bare, struct str resource);
/* presence, presence_child_count and directed; nothing of it: forgets them. */
void session_registry_write_presence(
        struct redis *redis, struct str bare, const struct session_record *record);
/* Keys that nobody writes any more go by themselves after two days; those of sessions that are
 * quiet for as long have to be kept alive. */
void session_registry_renew(struct redis *redis, struct str bare);
void session_registry_erase(struct redis *redis, struct str bare);

/* Records are valid during the callback; broken ones are left out. ERR_UNAVAILABLE, ERR_TIMEOUT:
 * none. */
typedef void (*session_registry_loaded)(
        void *context, enum err err, const struct session_record *records, size_t count);
void session_registry_load(
        struct redis *redis, struct str bare, session_registry_loaded done, void *context);

/* The value of a field, for tests and other versions: u8 version, u64 hi, u64 lo, u8 flags, u8
 * priority, u32 handled; in version 2 base sequence, base counter, acked, attach, max_s (u32 each)
 * and u64 wall ms; edge. */
void session_record_encode(struct buf *out, const struct session_record *record);
/* Of "p:{bare}": u32 child count, u32 length, children, directed. */
void session_presence_encode(struct buf *out, const struct session_record *record);
MUST_USE enum err session_presence_decode(struct str value, struct session_record *record_out);
MUST_USE enum err session_record_decode(struct str value, struct session_record *record_out);

/* What a session with stream management was sent and has not acknowledged, in Redis: one sorted set
 * for each session (key "u:{bare}:session"), written by the home router in the same turn in
 * which it sends, read by its next home. It is trimmed by position, not by count, so that what
 * Redis has lost or refused (FLUSHALL, no memory) costs nothing that came later. And one set for
 * each shard of the accounts that have such sessions (key "live:shard"), so that a next home wakes
 * them without being asked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "chassis/base/str.h"

struct redis;
struct stanza;

struct spool_key {
    struct str bare;
    struct id128 session;
};

struct spool_element {
    uint64_t position; /* its low half is the sequence, which wraps */
    int64_t log_id;    /* 0: volatile, the stanza itself is here */
    struct str stanza; /* packed */
    /* Numbered by a home that did not know where the stream was, so nobody was sent it: the number
     * is a place in the queue only, since a former home may have sent something else under it. */
    bool is_provisional;
};

/* `stanza` is kept when there is no log id, whatever element->stanza is. */
void spool_push(struct redis *redis,
        const struct spool_key *key,
        const struct spool_element *element,
        const struct stanza *stanza);
/* Everything up to `position`. */
void spool_trim(struct redis *redis, const struct spool_key *key, uint64_t position);
/* It outlives its session by this much. */
void spool_expire(struct redis *redis, const struct spool_key *key, int64_t seconds);
void spool_erase(struct redis *redis, const struct spool_key *key);

/* Elements are valid during the callback, oldest first; broken ones are left out. */
typedef void (*spool_loaded)(
        void *context, enum err err, const struct spool_element *elements, size_t count);
void spool_load(struct redis *redis, const struct spool_key *key, spool_loaded done, void *context);

void spool_add_live(struct redis *redis, unsigned shard, struct str bare);
void spool_remove_live(struct redis *redis, unsigned shard, struct str bare);
typedef void (*spool_live_loaded)(
        void *context, enum err err, const struct str *bares, size_t count);
void spool_load_live(struct redis *redis, unsigned shard, spool_live_loaded done, void *context);

/* An element as bytes, for tests and other versions: u64 position, i64 log id, packed stanza. Of a
 * provisional one all bits of the log id are inverted: routers of the version before leave it out.
 */
void spool_element_encode(struct buf *out, const struct spool_element *element);
MUST_USE enum err spool_element_decode(struct str value, struct spool_element *element_out);

/* Shard leases with epochs in PostgreSQL (DESIGN 3.2): which router is home of which bare JID. One
 * statement a second renews, takes over what expired, and evens out; the table is told to every
 * peer as ShardMap. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "proto/wire/wire.h"

struct router;
struct shard_table;

struct shard_handlers {
    void (*on_gained)(void *context, unsigned shard, uint64_t epoch);
    /* No longer ours (fenced, taken): everything of it must be dropped now, nothing may be
     * sent for it. */
    void (*on_lost)(void *context, unsigned shard);
    /* Hand-over: refuse new work for the shard (NotOwner), finish what runs, then call
     * shard_quiesced. */
    void (*on_release)(void *context, unsigned shard);
    void (*on_map)(void *context);     /* some owner, address or epoch changed */
    void (*on_renewed)(void *context); /* the table was asked; what is held now is ours */
};

MUST_USE enum err shard_table_open(struct router *router,
        const struct shard_handlers *handlers,
        void *context,
        struct shard_table **table_out);
void shard_table_close(struct shard_table *table); /* accepts NULL */
/* Shards are asked for from now on. */
void shard_table_begin(struct shard_table *table);

/* Everybody at a component is at home with it. */
unsigned shard_of(const struct shard_table *table, struct str bare);
/* Owned and not being released; also when the lease has lapsed and nobody is known to have taken
 * the shard: what is written is fenced by the epoch. */
bool shard_is_owned(const struct shard_table *table, unsigned shard);
/* Owned in any state: acks and deliveries of running turns may still leave. */
bool shard_is_held(const struct shard_table *table, unsigned shard);
/* Under which we hold it; 0: we do not, and nothing may be written. */
uint64_t shard_epoch(const struct shard_table *table, unsigned shard);
/* Its owner's, as PostgreSQL tells (shard_listed_epoch is for showing only). */
uint64_t shard_listed_epoch(const struct shard_table *table, unsigned shard);
const char *shard_owner_node(const struct shard_table *table, unsigned shard); /* NULL: nobody */
uint64_t shard_map_version(const struct shard_table *table);
void shard_quiesced(struct shard_table *table, unsigned shard);
/* What was written under `epoch` came back as fenced: we do not hold the shard under it, and the
 * lease is re-read at once. No news when it has come back since under a newer one. */
void shard_fenced(struct shard_table *table, unsigned shard, uint64_t epoch);
/* Another router told its map: newer versions are re-read from PostgreSQL soon. */
void shard_on_map(struct shard_table *table, const Wire__ShardMap *map);
/* The map as a packed envelope; for new peers. */
void shard_pack_map(const struct shard_table *table, struct buf *out);
/* Sends it to one that came up (edges and routers; others need none). */
struct peer;
void shard_tell(const struct shard_table *table, struct peer *peer);
bool shard_has_lease(const struct shard_table *table);
/* What timed out may be answered with an error: nobody else answers for it, since our lease is good
 * or PostgreSQL is away. False: we have slept, and the next tick that succeeds tells. */
bool shard_may_give_up(const struct shard_table *table);
unsigned shard_count(const struct shard_table *table);
/* SIGTERM: hands every shard to the others; `done` when none is left (at once when this is the only
 * router: then they are just released). */
void shard_drain(struct shard_table *table, void (*done)(void *context), void *context);

/* Between the roster of an entity and its rows: keys, seals, epochs. Internal to router/entity, but
 * for roster_access_read. */
#pragma once

#include "router/entity/entity.h"

struct roster_snapshot;
struct vault;

/* What the store has of an account's roster, opened; `bare` is for the log. Rows that do not open
 * are left out. ERR_DENIED: the account's key does not open. */
MUST_USE enum err roster_access_read(const struct vault *vault,
        int64_t owner,
        struct str bare,
        const struct roster_snapshot *snapshot,
        struct roster *roster_out);

/* The roster of entity->account into memory. `done` is not called when that activation is gone.
 * ERR_UNAVAILABLE: the store is away; ERR_DENIED: the account's key does not open. */
void roster_access_load(struct entity *entity, void (*done)(struct entity *entity, enum err err));

/* The item becomes what it says (without flags: it goes), first in the store, then in memory.
 * Takes the item; it is in memory when `done` hears ERR_OK. ERR_FENCED: the shard is not ours any
 * more. ERR_UNAVAILABLE: it may be written or not; the roster is not loaded any more. `done` is
 * always called, also when the entity is gone. */
void roster_access_save(struct entity *entity,
        struct roster_item *item,
        void (*done)(void *context, enum err err),
        void *context);

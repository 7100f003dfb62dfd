/* All entities this router is home of. Ingress posts what arrives; the entity's mailbox works it
 * off one turn at a time (DESIGN 3.3). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "proto/wire/wire.h"
#include "router/egress.h"

struct entity_table;
struct router;

MUST_USE enum err entity_table_create(struct router *router, struct entity_table **table_out);
void entity_table_destroy(struct entity_table *table); /* accepts NULL */

/* From edge `edge`, which has shown itself as that node in HELLO. The caller has checked that the
 * shard is owned. Messages are valid during the call. */
void entity_on_bind(struct entity_table *table,
        const char *edge,
        const Wire__Bind *bind); /* the grant is checked already */
void entity_on_announce(struct entity_table *table,
        const char *edge,
        const Wire__Announce *announce); /* so is the token */
/* The stanza is checked (canonical XML, JIDs prepared). Refused when the session is not on that
 * edge (F04). */
void entity_on_input(struct entity_table *table,
        const char *edge,
        const Wire__Input *input,
        const struct stanza *stanza);
void entity_on_close(struct entity_table *table, const char *edge, const Wire__Close *close);
void entity_on_delivered(
        struct entity_table *table, const char *edge, const Wire__Delivered *delivered);
void entity_on_session_gone(
        struct entity_table *table, const char *edge, const Wire__SessionGone *gone);
void entity_on_acked(struct entity_table *table, const char *edge, const Wire__Acked *acked);
void entity_on_enable(struct entity_table *table, const char *edge, const Wire__Enable *enable);
/* The grant is checked already; it was given at `authenticated_us` of the wall clock, 0: not known.
 */
void entity_on_resume(struct entity_table *table,
        const char *edge,
        const Wire__Resume *resume,
        int64_t authenticated_us);
void entity_on_client_state(
        struct entity_table *table, const char *edge, const Wire__ClientState *state);
/* `done` is called exactly once: ERR_OK when the stanza is committed or was answered, ERR_DENIED
 * when it certainly was not kept (who asks answers its sender), ERR_FENCED: its home is elsewhere.
 * NULL: the stanza is volatile. */
typedef void (*entity_route_done)(void *context, enum err err);
void entity_on_route(struct entity_table *table,
        const struct origin *origin,
        const struct stanza *stanza,
        entity_route_done done,
        void *context);

/* One volatile presence to many accounts at home here, by their JIDs; everything is copied. */
void entity_on_route_many(struct entity_table *table,
        const struct origin *origin,
        const struct stanza *stanza,
        const struct str *to,
        size_t count);

/* An edge's incarnation is gone: its sessions end, what they had not confirmed goes where RFC 6121
 * §8 sends it. */
void entity_on_edge_dead(struct entity_table *table, const char *edge);
/* Redis may lack what it was told: everything is written there again, a part at a time. Anew when
 * that is going on. */
void entity_on_redis_up(struct entity_table *table);
bool entity_is_writing_redis(struct entity_table *table); /* that is going on */
/* An operator changed or removed the account: reload it; sessions of a disabled or deleted one are
 * kicked. */
void entity_on_account_changed(struct entity_table *table, struct str bare);

/* A deleted account leaves memory: its sessions end now. False: not yet, ask again soon. */
bool entity_let_go(struct entity_table *table, struct str bare);
/* What came with this origin is in the log, or was delivered, while the account is in memory. */
bool entity_has_taken(struct entity_table *table, struct str bare, const struct origin *origin);
/* A session is there, detached ones included. */
bool entity_is_in_use(struct entity_table *table, struct str bare);
/* Accounts of `host` with one, each with a NUL behind it. */
void entity_list_in_use(struct entity_table *table, struct str host, struct buf *out);
/* The shard is here for long enough that the last one is sure. */
bool entity_knows_sessions(const struct entity_table *table, unsigned shard);

/* An operator ends its sessions, whatever the account's state is. */
void entity_on_end_sessions(struct entity_table *table, struct str bare);
/* Accounts with a session here. */
uint64_t entity_count_online(const struct entity_table *table);

/* All sessions as JSON. */
void entity_report_sessions(struct entity_table *table, struct buf *out);

/* Shard life cycle. */
/* It has come to us: accounts with sessions that survive their stream are woken by and by, so that
 * those end in time. */
void entity_revive_shard(struct entity_table *table, unsigned shard);
/* It is lost; one that was being quiesced is so no more. */
void entity_drop_shard(struct entity_table *table, unsigned shard);
/* Drops it when nothing of it is at work and Redis, unless it is away, has all of it, at the latest
 * after messages.commit_timeout; then `done`. */
void entity_quiesce_shard(struct entity_table *table,
        unsigned shard,
        void (*done)(void *context, unsigned shard),
        void *context);

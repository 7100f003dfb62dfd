/* An account and everything that is true of it while this router is its home. Internal to
 * router/entity; features see bare, account, roster and resources. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/map.h"
#include "chassis/base/str.h"
#include "chassis/timer.h"
#include "router/entity/account_log.h"
#include "router/entity/mailbox.h"
#include "router/entity/origins.h"
#include "router/entity/outbox.h"
#include "router/entity/resource.h"
#include "router/entity/roster.h"
#include "router/quota.h"
#include "router/store/account_store.h"
#include "router/vault.h"

struct blocklist;
struct carbon_memory;
struct router;

enum entity_state {
    ENTITY_NEW,
    ENTITY_LOADING_ACCOUNT,
    ENTITY_LOADING_ROSTER,
    ENTITY_LOADING_SESSIONS,
    ENTITY_LOADING_LOG,
    ENTITY_BACKING_OFF, /* a store was away: tried again soon */
    ENTITY_ACTIVE,
    ENTITY_UNKNOWN, /* no such account (or disabled, deleted): remembered for a short while */
};

struct entity {
    UT_hash_handle hh; /* by bare */
    struct entity_table *table;
    struct router *router;
    char *bare_text;
    struct str bare;
    struct str domain;
    unsigned shard;
    uint64_t serial; /* of this activation: callbacks of a former one find nothing */
    enum entity_state state;
    unsigned load_tries;
    struct account_row account;
    struct blocklist *blocklist; /* NULL: nothing is blocked */
    struct vault_key key;        /* of what it keeps in PostgreSQL; owner 0: it has none yet */
    struct roster roster;
    struct quota_bucket quotas[QUOTA_ACCOUNT_KINDS];
    struct strangers *strangers; /* NULL: nobody yet */
    int64_t reports_since_us;    /* XEP-0377: their hour began */
    int64_t reports;

    struct resource *resources;
    unsigned spools_loading; /* while sessions are loaded */
    size_t resource_count;   /* without closing ones */
    bool is_online;          /* counted as such by the table */
    /* Ended by us: what their edges still say of them is no news. The last max_resources, so that
     * all of an account may be ended at once. */
    struct id128 *kicked;
    size_t kicked_count;
    size_t kicked_next;         /* the oldest, when there are as many */
    struct id128 asked_session; /* its edge was asked to announce it, last at asked_ms */
    int64_t asked_ms;
    bool has_lost_sessions; /* an edge was away when something was sent: see sessions_end_lost */

    struct mailbox mailbox;
    struct item *waiting; /* its turn waits for the store; the mailbox stands still */
    struct turn_request *request;
    bool is_queued; /* on the run list */
    struct entity *run_next;
    bool is_dirty; /* input windows have moved */
    struct entity *dirty_next;

    struct outbox outbox;
    struct account_log log;
    const struct id128 *send_except; /* during a send: sessions left out */
    size_t send_except_count;
    /* Durable parts on their way, see forward.c: through egress, in mailboxes of this router, and
     * behind those when their home is leaving. */
    struct part *routed, *posted, *held;
    bool is_log_open;      /* a reload of the account goes on with what is known */
    bool has_settled;      /* its first activation is over */
    bool is_nobody;        /* reads what an account would read, and finds nothing (C08) */
    uint64_t read_request; /* a page; its reference belongs to the callback, or to the cancel */
    struct entity_ref *read_ref;
    int64_t pending_watermark; /* of a former activation, on its way when the log was asked */
    uint64_t fill_request;     /* content of numbered entries being read, likewise */
    struct entity_ref *fill_ref;
    int64_t fill_id;
    struct carbon_memory *carbons; /* NULL: none was made yet */
    bool is_live;                  /* Redis names it among those to be woken by the next home */
    bool knows_sessions;           /* Redis has told them: one that is announced now had ended */
    bool is_revived;               /* woken because Redis names it there */
    struct origins origins;
    /* Input counters: from the log, or answered while the stores were away. */
    struct stored_input {
        struct id128 session;
        uint32_t h;
        bool is_answered; /* here; else the log says so */
    } * stored_inputs;
    size_t stored_input_count, stored_input_capacity;

    struct timer load_timer; /* backoff: then load_again */
    void (*load_again)(struct entity *entity);
    int64_t opened_ms;         /* when its log was */
    int64_t redis_asked_ms;    /* since when its sessions are asked for */
    struct timer untold_timer; /* sessions from Redis whose edges do not announce them */
    struct timer retry_timer;  /* reads and deliveries that failed */
    int64_t idle_since_ms;
    struct entity *idle_next; /* least recently used first */
    struct entity *idle_prev;
    bool is_idle;
};

/* ---- entity_table.c */
struct entity *entity_find(struct entity_table *table, struct str bare);
/* Finds or makes it. */
struct entity *entity_get(struct entity_table *table, struct str bare);
void entity_post(struct entity *entity, struct item *item); /* takes the item */
/* In front of what waits; takes all of them. */
void entity_post_first(struct entity *entity, struct mailbox *items);
void entity_wake(struct entity *entity); /* its mailbox may run again */
void entity_mark_dirty(struct entity *entity);
bool entity_is_young(const struct entity *entity); /* a former home's work may be repeated here */
void entity_note_online(struct entity *entity);    /* resource_count has changed */
/* Everything of it is gone, nothing is sent; whoever waits for an answer gets ERR_FENCED. */
void entity_drop(struct entity *entity);
/* A store told that the shard is another router's: the whole shard goes. */
void entity_drop_fenced(struct entity *entity);
bool entity_is_quiet(const struct entity *entity); /* nothing waits, runs or flies */

/* A reference for callbacks that may come after the entity is gone. */
struct entity_ref;
struct entity_ref *entity_ref_create(struct entity *entity);
/* NULL: that activation is gone. */
struct entity *entity_ref_find(const struct entity_ref *ref);
/* The same, and frees the reference. */
struct entity *entity_ref_take(struct entity_ref *ref);

/* ---- activation.c */
void entity_init_loading(struct entity *entity); /* once: its timers may run during any call */
void entity_activate(struct entity *entity);
void entity_set_blocklist(struct entity *entity, struct str stored); /* XEP-0191 */
void entity_reload(struct entity *entity); /* the account row again, from the start */

/* ---- inputs.c */
/* False: the turn waits for the store, the item is kept. */
bool inputs_handle(struct entity *entity, struct item *item);
struct origin inputs_origin(const struct resource *resource, const struct item *item); /* or NULL */
/* One part of an input has its entry in the commit group of this turn; is decided. */
void inputs_part_appended(struct entity *entity, struct id128 session, uint32_t counter);
/* An appended part was fenced: its entry is in no group any more. */
void inputs_part_fenced(struct entity *entity, struct id128 session, uint32_t counter);
void inputs_part_done(struct entity *entity, struct id128 session, uint32_t counter);
/* The part came back to the client as an error, and PostgreSQL may be away: its edge is told at
 * once to repeat nothing of it, wherever the home of the session goes meanwhile (P5). */
void inputs_part_answered(struct entity *entity, struct id128 session, uint32_t counter);
/* Commits and tells what has moved since the last time. */
void inputs_flush(struct entity *entity);

/* ---- routes.c: the turn of a recipient. False: it waits for the store, the item is kept. */
bool routes_handle(struct entity *entity, struct item *item);
/* A volatile stanza for this account from the server itself (replies): decided and sent now. */
void routes_deliver_volatile(struct entity *entity, const struct stanza *stanza);
extern const struct account_log_ops routes_log_ops;
void routes_cancel_read(struct entity *entity);
void routes_on_retry(struct timer *timer, void *context);

/* ---- forward.c: to the home of stanza->to, in this router or another. `work` NULL: volatile; else
 * the input is done when this part is. */
void forward_stanza(struct entity *entity,
        const struct origin *origin,
        const struct stanza *stanza,
        struct input_work *work);

/* Followed until it is decided, like a durable part. `work` NULL: nobody's input waits for it. */
void forward_kept(struct entity *entity,
        const struct origin *origin,
        const struct stanza *stanza,
        struct input_work *work);

void forward_forget(struct entity *entity); /* its parts stay until they are decided */

/* ---- effects.c */
struct turn;
void effects_begin(
        struct turn *turn, struct arena *arena, struct entity *entity, const struct stanza *stanza);
void effects_apply(struct turn *turn);
struct turn_audit;
void effects_write_audit(const struct entity *entity, const struct turn_audit *audit);

/* ---- account_request.c */
void account_request_start(
        struct entity *entity, struct item *item, const struct turn_request *request);
/* admin_request.c: for it, when entity->waiting is set (likewise data_request.h). */
void admin_request_start(struct entity *entity, const struct turn_request *request);

/* One stanza's work at one entity (DESIGN 3.3): what features see and the effects they ask for.
 * Nothing leaves while a turn runs; router/entity carries the effects out in order afterwards.
 * Lives in an arena that dies with the turn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/stanza.h"
#include "proto/xmpp/stanza_error.h"
#include "proto/xmpp/stream_error.h"
#include "router/egress.h"
#include "router/store/account_data_store.h"
#include "router/turn_admin.h"

struct entity;
struct host;
struct resource;
struct roster_item;
struct settings;

enum verdict {
    VERDICT_PASS,    /* not mine, or looked at it: the next feature goes on */
    VERDICT_HANDLED, /* done with it; effects tell what happens */
    VERDICT_REJECT,  /* turn->error goes back to the sender (turn_reject fills it) */
    VERDICT_WAIT, /* turn->request asks the store; the mailbox stands still until its continuation
                   */
};

/* An IQ request as its handler gets it. */
struct iq {
    const struct stanza *stanza;
    const struct element *payload; /* the one child, parsed into the turn's arena */
};

enum effect_kind {
    EFFECT_ROUTE,           /* stanza to the home of stanza.to, this entity included */
    EFFECT_ROUTE_KEPT,      /* likewise, and repeated until it is worked off there */
    EFFECT_ROUTE_MANY,      /* one presence to the homes of many addresses */
    EFFECT_DELIVER,         /* stanza to one session of this entity (volatile) */
    EFFECT_KICK,            /* end a session with a stream error */
    EFFECT_SESSION_CHANGED, /* availability or priority of a session: registry, catch-up */
    EFFECT_ACCOUNT_REMOVED, /* end everything that belongs to this account */
    EFFECT_AUDIT,           /* a line of the audit log */
};

/* Who did what to whom, and what came of it. The session's own address is added. */
struct turn_audit {
    const char *command;
    struct str target; /* "": nobody */
    const char *outcome;
};

struct effect {
    struct effect *next;
    enum effect_kind kind;
    struct stanza stanza;
    const struct str *to; /* ROUTE_MANY */
    size_t to_count;
    struct id128 session;
    enum stream_condition condition;
    struct str text;
    struct turn_audit audit;
};

struct turn;
typedef void (*turn_continuation)(struct turn *turn, const struct stanza *request, enum err err);

enum turn_request_kind {
    TURN_REQUEST_NONE,
    TURN_REQUEST_SET_PASSWORD,
    TURN_REQUEST_DELETE_ACCOUNT,
    TURN_REQUEST_LOAD_DATA,
    TURN_REQUEST_STORE_DATA,
    TURN_REQUEST_ADMIN,
    TURN_REQUEST_CHANGE_ROSTER,
};

/* The one storage request of a turn that waits. */
struct turn_request {
    enum turn_request_kind kind;
    struct str password;      /* SET_PASSWORD: prepared */
    struct roster_item *item; /* CHANGE_ROSTER: owned */
    turn_continuation continuation;
    struct turn_admin admin;
    struct account_data_change data; /* STORE_DATA; LOAD_DATA: kind, and the key of its one item */
};

/* What a continuation of CHANGE_ROSTER sees: the roster has it already. */
struct roster_change {
    const struct roster_item *item; /* as it is now; flags 0: it is gone */
    unsigned before;                /* its flags until now */
};

struct turn {
    struct arena *arena;
    struct entity *entity;
    const struct settings *settings;
    const struct host *host; /* the entity's domain; NULL when it is not served any more */
    int64_t wall_us;
    struct resource *session; /* who sent it, when the sender is a session of this entity */
    const struct stanza *stanza;
    struct jid from;
    struct jid to; /* to.full empty: no `to` */
    struct effect *effects;
    struct effect **effects_end;
    struct stanza_error error;
    struct turn_request request;
    struct str loaded;    /* in continuations: the value, "": none */
    struct origin origin; /* of the stanza; a repeat has the same one (P2) */
    uint32_t parts;       /* routed and kept by now */
    const struct roster_change *change;
};

/* `stanza` may be NULL (a session ends). Its addresses are prepared. */
void turn_init(
        struct turn *turn, struct arena *arena, struct entity *entity, const struct stanza *stanza);

/* The stanza's children as a tree, parsed at the first call; NULL without children. */
const struct element *turn_parse_children(struct turn *turn);

/* Texts of effects are views: they must live as long as the turn's arena. */
void turn_route(struct turn *turn, const struct stanza *stanza);
/* What belongs to the stanza at work and must arrive (P5): the sender's client hears its ack when
 * the other home is done with it. */
void turn_route_kept(struct turn *turn, const struct stanza *stanza);
/* Presence (available, unavailable, probe) to each of `to` (DESIGN 3.6). Views, as all texts.
 * Whoever is not in memory at its home has no session and is not woken. */
void turn_route_many(
        struct turn *turn, const struct stanza *stanza, const struct str *to, size_t count);
void turn_deliver(struct turn *turn, const struct resource *session, const struct stanza *stanza);
void turn_kick(struct turn *turn,
        const struct resource *session,
        enum stream_condition condition,
        struct str text);
void turn_session_changed(struct turn *turn, const struct resource *session);
void turn_account_removed(struct turn *turn);
void turn_note_audit(struct turn *turn, const struct turn_audit *audit);

/* Answers to a request; `children` is canonical XML in the turn's arena, may be empty. */
void turn_reply_result(struct turn *turn, const struct stanza *request, struct str children);
/* Nothing when the stanza must not be answered with an error (C07). The payload is never echoed. */
void turn_reply_error(
        struct turn *turn, const struct stanza *request, const struct stanza_error *error);

enum verdict turn_reject(struct turn *turn, enum stanza_condition condition, struct str text);
enum verdict turn_wait_set_password(
        struct turn *turn, struct str password, turn_continuation continuation);
enum verdict turn_wait_delete_account(struct turn *turn, turn_continuation continuation);

/* The account's own data. */
enum verdict turn_wait_load_data(struct turn *turn,
        enum account_data_kind kind,
        struct str key,
        turn_continuation continuation);
struct turn_data_limits {
    int64_t max_items;
    int64_t max_bytes;
};
/* Items live in the turn's arena. The continuation comes after the commit; ERR_LIMIT: over the
 * limits, nothing was stored. */
enum verdict turn_wait_store_data(struct turn *turn,
        enum account_data_kind kind,
        const struct account_datum *items,
        size_t count,
        struct turn_data_limits limits,
        turn_continuation continuation);
/* The continuation finds the answer in turn->loaded. ERR_EXISTS, ERR_NOT_FOUND, ERR_LIMIT. Where
 * accounts are changed, it is a line for each, "address outcome", and ERR_OK means that at least
 * one was ("done"), else it is the error of the first. */
enum verdict turn_wait_admin(
        struct turn *turn, const struct turn_admin *admin, turn_continuation continuation);
/* The item (copied) becomes what it says; without flags it goes. */
enum verdict turn_wait_change_roster(
        struct turn *turn, const struct roster_item *item, turn_continuation continuation);

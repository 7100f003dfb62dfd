/* What waits for an entity: items with everything they need copied into one allocation, worked off
 * first in, first out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "proto/wire/wire.h"
#include "router/entity/entity_table.h"

enum item_kind {
    ITEM_BIND,
    ITEM_ANNOUNCE,
    ITEM_INPUT,
    ITEM_CLOSE,
    ITEM_DELIVERED,
    ITEM_SESSION_GONE,
    ITEM_ROUTE,
    ITEM_EDGE_DEAD,
    ITEM_ACCOUNT_CHANGED,
    ITEM_ACKED,
    ITEM_ENABLE,
    ITEM_RESUME,
    ITEM_CLIENT_STATE,
    ITEM_END_SESSIONS,
};

/* Stream management and client state. */
struct item_sm {
    bool has_sm;               /* ANNOUNCE */
    bool is_resumable;         /* CLOSE, ENABLE */
    bool is_inactive;          /* CLIENT_STATE */
    uint32_t attach;           /* of an edge that holds it; 0: not said */
    bool is_proved;            /* ANNOUNCE: a router has signed that attach */
    uint32_t acked;            /* ANNOUNCE, ACKED */
    uint32_t written;          /* ANNOUNCE; the log entries among them are the item's ids ... */
    const uint32_t *sequences; /* ... with these numbers, oldest first */
    uint32_t max_s;            /* ENABLE */
    uint32_t h;                /* RESUME */
    struct str resume_id;      /* RESUME */
    /* RESUME, on the wall clock: when it came, and when its stream had authenticated (0: not
     * known). */
    int64_t asked_us, authenticated_us;
};

/* Bind 2 (XEP-0386). */
struct item_bind {
    struct id128 client; /* zero: none */
    struct str tag;
    bool wants_sm;
    bool has_carbons; /* ANNOUNCE, too */
};

struct item {
    struct item *next;
    struct arena arena; /* holds the item itself, too */
    enum item_kind kind;
    int64_t posted_ms;
    const char *edge;       /* all that come from one */
    struct id128 session;   /* all of those but BIND, RESUME, EDGE_DEAD */
    uint64_t request;       /* BIND, ENABLE, RESUME */
    struct str resource;    /* BIND, ANNOUNCE */
    uint32_t counter;       /* INPUT; ANNOUNCE: handled */
    bool is_answered;       /* INPUT without a stanza: it came back as an error before */
    struct str answer_from; /* INPUT: an answer to the session itself, from there; else empty */
    bool is_available;      /* ANNOUNCE */
    int8_t priority;        /* ANNOUNCE */
    struct item_sm sm;
    struct item_bind bind; /* BIND; with sm: is_resumable, max_s, is_inactive */
    const int64_t *ids;    /* DELIVERED, ANNOUNCE */
    size_t id_count;
    struct stanza stanza;   /* INPUT, ROUTE */
    struct origin origin;   /* ROUTE */
    entity_route_done done; /* ROUTE; NULL: volatile */
    /* ROUTE inside this router: the entry waits in the commit group of this turn. */
    void (*appended)(void *context);
    void *context;
};

struct mailbox {
    struct item *head;
    struct item **end;
    size_t count;
};

/* `extra` bytes will be put into the item's arena besides the stanza (may be NULL). */
struct item *item_create(enum item_kind kind, const struct stanza *stanza, size_t extra);
void item_destroy(struct item *item); /* accepts NULL */

void mailbox_init(struct mailbox *mailbox);
void mailbox_push(struct mailbox *mailbox, struct item *item); /* takes the item */
struct item *mailbox_pop(struct mailbox *mailbox);             /* NULL: empty; the caller owns it */
void mailbox_unpop(struct mailbox *mailbox, struct item *item); /* back to the front */
/* All of `items`, which is empty then, in front of the others. */
void mailbox_push_first(struct mailbox *mailbox, struct mailbox *items);

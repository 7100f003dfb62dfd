/* The contact list of an account in memory (RFC 6121 §2): items by bare JID, with the state of both
 * subscriptions (Appendix A), as compact as they are stored. Pure; part of an entity. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/map.h"
#include "router/egress.h"

/* Stored: append only. */
enum roster_flag {
    ROSTER_TO = 1 << 0,          /* the account sees the contact's presence */
    ROSTER_FROM = 1 << 1,        /* the contact sees the account's presence */
    ROSTER_PENDING_OUT = 1 << 2, /* asked for TO, not answered */
    ROSTER_PENDING_IN = 1 << 3,  /* was asked for FROM; `request` waits for an answer */
    ROSTER_APPROVED = 1 << 4,    /* FROM will be granted without asking (§3.4) */
    ROSTER_LISTED = 1 << 5,      /* clients see the item */
};

/* Texts live behind the item itself. */
struct roster_item {
    UT_hash_handle hh; /* by jid */
    struct str jid;    /* bare */
    struct str name;
    struct str groups;    /* each with a NUL behind it */
    unsigned flags;       /* 0: there is nothing to remember */
    struct str request;   /* the packed <presence type='subscribe'/> (wire_stanza_pack) */
    struct origin origin; /* of the last subscription stanza that changed it: a repeat is known */
    int64_t version;      /* the roster's when it came to be as it is; 0: not since `since` */
};

/* An item clients do not see any more. */
#define ROSTER_MAX_REMOVED 32
struct roster_removal {
    char *jid;
    int64_t version;
};

struct roster {
    struct roster_item *items;
    size_t listed;   /* items clients see */
    size_t bytes;    /* texts of those */
    int64_t version; /* microseconds, growing; 0: never changed */
    int64_t since;   /* what changed after this version is known here (RFC 6121 §2.6) */
    struct roster_removal *removed; /* room for ROSTER_MAX_REMOVED, the oldest first; NULL: none */
    size_t removed_count;
    bool is_loaded;
};

void roster_clear(struct roster *roster); /* as it was at first: not loaded */

struct roster_item *roster_find(const struct roster *roster, struct str jid); /* NULL */
/* 0 without an item. */
unsigned roster_flags(const struct roster *roster, struct str jid);

/* What an item adds to a roster's bytes. */
size_t roster_item_bytes(const struct roster_item *item);
/* A copy of the fields and texts of `from`, in one allocation. */
struct roster_item *roster_item_create(const struct roster_item *from);
void roster_item_destroy(struct roster_item *item); /* accepts NULL */
/* Takes it, in the place of a former one of that JID; one without flags only removes that. */
void roster_put(struct roster *roster, struct roster_item *item);

/* The same, as the change that makes the roster's version. */
void roster_change(struct roster *roster, struct roster_item *item, int64_t version);

/* One thing clients see differently since a version of theirs. */
struct roster_delta {
    const struct roster_item *item; /* NULL: it was removed */
    struct str jid;
    int64_t version;
};
#define ROSTER_MAX_DELTAS 50 /* more of them are worth the whole list */
/* Everything that has changed since `version`, the oldest first. False: that is not known here, or
 * is too much: the whole list is needed. Views until the next change. */
bool roster_deltas(const struct roster *roster,
        int64_t version,
        struct roster_delta deltas_out[ROSTER_MAX_DELTAS],
        size_t *count_out);

/* The group behind `group` (NULL: the first one); false: there is none. */
bool roster_next_group(const struct roster_item *item, struct str *group);

/* The content of a row before it is sealed. */
void roster_item_encode(struct buf *out, const struct roster_item *item);
/* ERR_INVALID: not such content. */
MUST_USE enum err roster_item_decode(struct str content, struct roster_item **item_out);

/* "none", "to", "from", "both". */
const char *roster_subscription(unsigned flags);
/* <item/> as clients see it; subscription='remove' without flags. */
void roster_item_write(struct buf *xml, const struct roster_item *item);

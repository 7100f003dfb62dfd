/* A stanza as it travels inside Starling (DESIGN 3.1): a small header that routes it, and the
 * children as canonical XML bytes. All views borrow; whoever holds a stanza longer than a call
 * copies it with stanza_dup into an arena. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/str.h"

enum stanza_kind {
    STANZA_MESSAGE = 1,
    STANZA_PRESENCE = 2,
    STANZA_IQ = 3,
};

/* One number space for all kinds; values are wire format: append only. */
enum stanza_type {
    STANZA_TYPE_NONE = 0, /* message: normal; presence: available */
    STANZA_TYPE_ERROR = 1,
    STANZA_TYPE_CHAT = 2,
    STANZA_TYPE_GROUPCHAT = 3,
    STANZA_TYPE_HEADLINE = 4,
    STANZA_TYPE_NORMAL = 5,
    STANZA_TYPE_GET = 6,
    STANZA_TYPE_SET = 7,
    STANZA_TYPE_RESULT = 8,
    STANZA_TYPE_UNAVAILABLE = 9,
    STANZA_TYPE_SUBSCRIBE = 10,
    STANZA_TYPE_SUBSCRIBED = 11,
    STANZA_TYPE_UNSUBSCRIBE = 12,
    STANZA_TYPE_UNSUBSCRIBED = 13,
    STANZA_TYPE_PROBE = 14,
    STANZA_TYPE_INVALID = 15, /* text that means nothing for this kind */
};

/* What the parsing edge saw among the children; wire format: append only. */
enum stanza_flag {
    STANZA_HAS_BODY = 1 << 0,   /* <body/> (RFC 6121 §5.2.3) */
    STANZA_HAS_ERROR = 1 << 1,  /* <error/> of the stanza namespace */
    STANZA_HINT_STORE = 1 << 2, /* XEP-0334 */
    STANZA_HINT_NO_STORE = 1 << 3,
    STANZA_HINT_NO_PERMANENT_STORE = 1 << 4,
    STANZA_HINT_NO_COPY = 1 << 5,
    STANZA_CHAT_STATE_ONLY = 1 << 6, /* XEP-0085 and nothing else but thread or hints */
    STANZA_HAS_RECEIPT = 1 << 7,     /* XEP-0184 <received/> or XEP-0333 marker */
    STANZA_ENCRYPTED = 1 << 8,       /* XEP-0380, 0384, 0373, 0027 */
    STANZA_CARBON_PRIVATE = 1 << 9,  /* XEP-0280 <private/> */
    STANZA_HAS_SUBJECT = 1 << 10,
    STANZA_IM_PAYLOAD = 1 << 11, /* XEP-0085 state, or a receipt or marker is asked for */
    STANZA_MUC_USER = 1 << 12,   /* XEP-0045 <x/> of muc#user */
    STANZA_HAS_INVITE = 1 << 13, /* XEP-0249 */
};

struct stanza {
    enum stanza_kind kind;
    enum stanza_type type;
    uint32_t flags;
    struct str id;   /* "" : none */
    struct str lang; /* xml:lang of the stanza or its stream, at most 35 bytes */
    struct str from; /* prepared JID; "" : none */
    struct str to;   /* prepared JID; "" : none */
    /* The first child element, for dispatch: namespace and local name; "" without children. */
    struct str payload_ns;
    struct str payload_name;
    uint32_t child_count; /* child elements */
    struct str children;  /* canonical XML (canonical.h) of all child elements */
    int32_t priority;     /* presence: <priority/>, default 0, clamped to -128..127 */
};

const char *stanza_kind_name(enum stanza_kind kind);
/* "" for NONE. */
const char *stanza_type_name(enum stanza_type type);
/* STANZA_TYPE_INVALID when `text` is no type of `kind`; an absent attribute is "" and gives NONE.
 */
enum stanza_type stanza_type_parse(enum stanza_kind kind, struct str text);

/* Durable stanzas are committed before they are acked (P1): messages with a body or a store hint,
 * receipts; never errors and headlines, never with no-store unless they have no such hint. */
bool stanza_is_durable(const struct stanza *stanza);

void stanza_dup(struct arena *arena, const struct stanza *from, struct stanza *to);
size_t stanza_bytes(const struct stanza *stanza); /* for limits: header texts + children */

/* The stanza as XML of a jabber:client stream: <message from= to= type= id=
 * xml:lang=>children</message>. */
void stanza_write(struct buf *out, const struct stanza *stanza);
/* The same inside an element of another namespace: with xmlns='jabber:client' (XEP-0297). */
void stanza_write_forwarded(struct buf *out, const struct stanza *stanza);

/* Reply skeletons: swapped addresses, same id, no children. Views borrow from `request`. */
void stanza_init_reply(struct stanza *reply, const struct stanza *request, enum stanza_type type);

/* A bound resource. It has a stream while it lives; afterwards it lingers without one until routers
 * have answered for its last stanzas and for its end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/id128.h"
#include "chassis/base/map.h"
#include "edge/delivered_ring.h"
#include "edge/input_queue.h"
#include "proto/wire/wire.h"
#include "proto/xmpp/stanza.h"

struct session_table;
struct sm;
struct stream;
struct uplink;

enum session_state {
    SESSION_NEW,       /* not in the table yet */
    SESSION_LIVE,      /* has a stream */
    SESSION_LINGERING, /* stream ended; inputs and Close wait for answers */
    SESSION_ENDED,     /* out of the table, freed */
    SESSION_STATES,
};

struct session {
    struct id128 id;
    char *full_text;
    struct str full, bare; /* views into full_text */
    char *token;           /* for Announce */
    uint32_t token_len;
    uint32_t attach_token_len;
    char *attach_token; /* likewise, of a resumed one; or NULL */
    uint32_t shard;
    uint32_t generation; /* of the shard, when it was announced last; 0: never */
    uint32_t counter;    /* of the last input */
    uint32_t handled;
    int32_t priority;
    enum session_state state;
    bool is_available;
    bool is_close_sent;
    bool is_stalled;     /* in the uplink's list: something could not be sent */
    bool is_unconfirmed; /* in the downlink's list: delivered entries wait for acknowledgement */
    bool is_ended;       /* lingering: by the client or for an error: no resuming */
    bool has_carbons;    /* XEP-0280, as its home said last: for the next home */
    bool is_inactive;    /* XEP-0352 */
    bool is_state_due;   /* the router does not know `is_inactive` */
    int64_t close_sent_ms;
    struct stream *stream; /* NULL: lingering */
    struct sm *sm;         /* XEP-0198; NULL without */
    struct input_queue inputs;
    struct delivered_ring delivered;
    struct session *state_prev, *state_next;
    struct session *shard_prev, *shard_next;
    struct session *stalled_prev, *stalled_next;
    struct session *unconfirmed_prev, *unconfirmed_next;
    UT_hash_handle hh;
};

/* Made from a successful BindReply; not in the table yet. NULL: the reply makes no sense. */
struct session *session_create(const Wire__BindReply *reply, unsigned shards);
/* Made from a successful ResumeReply, with stream management on. NULL: as above. */
struct session *session_create_resumed(const Wire__ResumeReply *reply, unsigned shards);
void session_destroy(struct session *session); /* accepts NULL; it must be NEW or ENDED */
/* Stanzas to and from the client are numbered. */
bool session_has_sm(const struct session *session);
/* Which attachment of the session this is; the first is 1. */
uint32_t session_attach(const struct session *session);
/* What a router sends is for this attachment, not a former one on this edge; 0: it does not say. */
bool session_is_meant(const struct session *session, uint32_t attach);
/* If its stream were lost now, it would wait for another one. */
bool session_may_resume(const struct session *session);

/* The only way to change the state: keeps the table's lists and the metrics right. */
void session_set_state(
        struct session_table *table, struct session *session, enum session_state state);

/* Packs one inbound stanza as the next Input. `stanza->from` is stamped already. */
void session_push_input(
        struct session_table *table, struct session *session, const struct stanza *stanza);
/* Packs our own answer to a stanza of the client's likewise: its router gives it back, with
 * `answer->from`. */
void session_push_answer(
        struct session_table *table, struct session *session, const struct stanza *answer);
void session_handled(struct session_table *table, struct session *session, uint32_t counter);
/* It came back as an error: what may be repeated of it is that its counter is used (P5). */
void session_answered(struct session_table *table, struct session *session, uint32_t counter);

struct session_window {
    uint32_t max_stanzas;
    size_t max_bytes;
    size_t max_total_bytes; /* of all sessions */
};
/* No more of the client may be read now (F06). */
bool session_is_window_full(const struct session_table *table,
        const struct session *session,
        const struct session_window *window);

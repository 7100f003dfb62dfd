/* Stream management of one session (XEP-0198): the queue of what its client has not acknowledged,
 * and whether an edge holds its stream. Part of a resource; NULL there while it is off. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/timer.h"
#include "proto/xmpp/stream_error.h"
#include "router/entity/sm_queue.h"

struct entity;
struct resource;

/* A <resume/> that waits until the inputs at work are decided. */
struct sm_resume {
    char *edge;
    uint64_t request;
    uint32_t acked;  /* what the client says it has, as one of our numbers */
    bool is_granted; /* by a former home, whose answer its edge may have had: the same attachment */
};

/* A <resume/> that failed and waits for the same, so that its answer tells an exact h. */
struct sm_failed {
    char *edge;
    uint64_t request;
    uint32_t counter; /* where its client's h counts from */
};

/* The <resume/> that holds the session or is about to: who asked at the same time is refused. */
struct sm_winner {
    int64_t asked_us; /* on the wall clock; 0: not resumed while its home was here */
    int64_t authenticated_us;
    uint64_t request;
};

struct sm_session {
    struct entity *entity;
    struct resource *resource;
    struct sm_queue queue;
    bool is_resumable;
    uint32_t attach;        /* which attachment is the current one; the first is 1 */
    uint32_t granted;       /* the edge's question that made it, its low half; 0: none */
    uint32_t base_sequence; /* where the client's h counts from */
    uint32_t base_counter;  /* where our h counts from */
    uint32_t sent;          /* everything up to it was handed to the edge's link */
    /* Everything up to it means to the client what it means here: it is in a former home's queue,
     * or left this home at some time, whether it is to be sent again or not. */
    uint32_t reached;
    bool has_unknown; /* numbers up to unknown_until were given by a home that is lost */
    uint32_t unknown_until;
    /* Not NONE: it is ended with this as soon as nobody iterates. */
    enum stream_condition over;

    bool is_spooled;    /* Redis has a set of it, with a time-out */
    uint64_t position;  /* of the newest element there: its low half is a sequence */
    uint32_t trimmed;   /* sequence; nothing up to it is there any more */
    bool is_inherited;  /* a former home wrote that set, and may not have stopped in time */
    bool is_spool_read; /* by this home, or there is none */
    bool is_queue_lost; /* a former home had a queue that could not be read */
    struct timer trim_timer;
    int64_t settled_watermark; /* of the account, known to be in the log by now */

    int64_t progress_ms; /* when it was attached here, or its client acknowledged something */
    bool is_detached;    /* no stream: waits for <resume/> until max_ms is over */
    int64_t max_ms;
    int64_t detached_ms;      /* since when, on the loop's clock */
    int64_t detached_wall_ms; /* since when, for a next home */
    struct timer timer;       /* detached: the end; not announced: detached; else: the client
                                 owes too much for too long */
    struct sm_resume *resume; /* NULL: nobody is taking it over */
    struct sm_failed *failed; /* NULL: nobody waits for that answer */
    struct sm_winner winner;
};

/* `base`: last number given before. */
struct sm_session *sm_session_create(
        struct entity *entity, struct resource *resource, uint32_t base_sequence);
void sm_session_destroy(struct sm_session *sm); /* accepts NULL */
/* Numbers up to `until`, if not known, mean something nobody knows: the client cannot resume before
 * it has them. */
void sm_note_unknown(struct sm_session *sm, uint32_t until);
/* Numbers up to `sequence` are agreed with the client. */
void sm_note_reached(struct sm_session *sm, uint32_t sequence);
/* An edge holds the stream and has said so here, and nobody is taking it over. */
bool sm_session_is_attached(const struct sm_session *sm);
/* `attach` is how an edge names its attachment; one that does not say is believed. */
bool sm_session_is_current(const struct sm_session *sm, uint32_t attach);

/* An edge that counts from 0 means the first one, too. */
static inline uint32_t sm_attach_of(uint32_t attach)
{
    return attach ? attach : 1;
}

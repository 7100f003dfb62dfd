/* Stream management of one session as its edge sees it (XEP-0198): where counting began, what was
 * written and acknowledged, which questions are open. The queue itself is the home router's. Made
 * by <enable/> or <resume/>, so other sessions pay a pointer only. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/str.h"
#include "edge/sm_written.h"

#define SM_MAX_ID_BYTES 4000 /* XEP-0198 §5 */
#define SM_FIRST_ATTACH 1    /* each resumption adds one */

struct session;
struct Wire__EnableReply;

enum sm_phase {
    SM_WANTED, /* the router is asked */
    SM_ON,
};

struct sm {
    enum sm_phase phase;
    bool may_resume;      /* WANTED: the client would like to; ON: it may */
    bool is_enable_sent;  /* WANTED: to the present owner */
    bool is_ack_due;      /* `acked` is news for the router */
    bool is_listed;       /* ON: in the uplink's list of this turn's news */
    bool is_request_open; /* our <r/> has no answer */
    bool is_answer_due;   /* the client's <r/> has none with all it may expect */
    uint32_t max_s;       /* WANTED: the client's wish */
    uint64_t request;     /* WANTED: of the Enable sent last */
    uint32_t attach;
    /* Deliveries: sequence numbers of the router. */
    uint32_t sequence_base; /* the client's h counts from here */
    uint32_t written;
    uint32_t acked;
    struct sm_written entries;
    int64_t gap_ms;         /* when it was announced for what is missing; 0: nothing is */
    uint32_t gap_announces; /* in a row: nothing was written since */
    /* Inputs: counters of the session. */
    uint32_t counter_base;   /* our h counts from here */
    uint32_t answer_counter; /* what was received before the <r/> */
    int64_t answer_ms;       /* when it is answered at the latest; 0: it was already */
    int64_t request_ms;      /* when our <r/> was sent, or is due; 0: nothing to ask */
    int64_t written_ms;
    uint64_t asked_total; /* bytes written to the stream before our last <r/> */
    void (*enabled)(struct session *session, const struct Wire__EnableReply *reply);
    struct session *session;
    struct sm *prev, *next; /* in the uplink: waits for EnableReply, or its acks are to be told */
};

/* An unsigned 32-bit number in decimal digits and nothing else (C19). */
bool sm_parse_h(struct str text, uint32_t *h_out);

enum sm_ack {
    SM_ACK_NEWS,
    SM_ACK_OLD,
    SM_ACK_TOO_HIGH, /* more than was written */
};
enum sm_ack sm_take_ack(struct sm *sm, uint32_t h);

enum sm_order {
    SM_NEXT,
    SM_REPEAT, /* written already */
    SM_GAP,
};
enum sm_order sm_take_sequence(struct sm *sm, uint32_t sequence);

enum sm_gap {
    SM_GAP_ANNOUNCE, /* the home is to send again from `written` */
    SM_GAP_WAIT,     /* it was told: more may come that it had sent before */
    SM_GAP_HOPELESS, /* it was told again and again */
};
/* What to do about a number that does not follow. Ends with the next one that does. */
enum sm_gap sm_note_gap(struct sm *sm, int64_t now_ms);
/* When the one that was noted counts once more, unless it has closed; 0: there is none. */
int64_t sm_gap_due_ms(const struct sm *sm);

static inline uint32_t sm_unacked(const struct sm *sm)
{
    return sm->written - sm->acked;
}

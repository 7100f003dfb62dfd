/* What a stream needs until a resource is bound, and not afterwards. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "edge/sasl/mechanism.h"

struct negotiation {
    int64_t step_deadline_ms;           /* handshake or header; 0: none */
    int64_t wake_ms;                    /* a delayed failure is due; 0: none */
    struct request *request;            /* a router is asked */
    const struct sasl_profile *profile; /* of the attempt that runs or has failed last */
    struct sasl2_request *sasl2;        /* XEP-0388: what it asks for beside; NULL without */
    struct sasl_exchange *exchange;
    const struct sasl_mechanism *mechanism;
    enum sasl_condition failure; /* to be told at wake_ms */
    unsigned failures;           /* of any kind */
    unsigned guesses;            /* a router has looked and said no */
    bool is_judged;              /* the router has answered for this exchange */
    struct sasl_binding bindings[2];
    size_t binding_count;
    bool is_plus_offered;
    bool has_from;     /* the first header had one: */
    bool is_from_user; /* and named a user, not a host only */
    uint64_t from_hash;
    char *bare;       /* authenticated, NULL before */
    struct buf grant; /* what Bind presents */
    char *stream_id;  /* XEP-0114: what the handshake is about */
    char *iq_id;      /* of the bind or register request that is asked */
    char *previd;     /* of the <resume/> that is asked, NULL: none */
    uint32_t h;       /* of the same */
};

struct negotiation *negotiation_create(void);
void negotiation_forget_sasl2(struct negotiation *negotiation);
/* Wipes secrets. The request must be answered or cancelled. Accepts NULL. */
void negotiation_destroy(struct negotiation *negotiation);

/* One <authenticate/> (XEP-0388): everything it asks for beside proving who the client is, and what
 * has become of it so far. Lives in the negotiation until <success/> or the next attempt. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "proto/wire/wire.h"
#include "proto/xmpp/ht.h"

#define SASL2_MAX_TAG_BYTES 256 /* a longer <tag/> is left out */

struct xml_element;

struct sasl2_request {
    struct arena arena;
    struct id128 attempt; /* random: this one and no other */
    struct id128 client;  /* <user-agent id=''/>; zero: none, or not a UUID */
    /* <resume/> (XEP-0198 §9.2) */
    bool has_resume;
    struct str previd;
    struct str h;
    /* <bind/> (XEP-0386) */
    bool has_bind;
    struct str tag; /* prepared; "": none */
    bool wants_sm;
    bool may_resume;
    uint32_t max_s;
    bool has_carbons;
    bool is_inactive;
    /* <fast/> (XEP-0484) */
    bool has_fast;
    bool has_count;
    uint64_t count;
    bool is_invalidated;
    enum ht_mechanism wanted_token; /* HT_ABSENT: none */
    /* <upgrade/> (XEP-0480): bit n stands for digest n; what is left to do after the result */
    uint32_t upgrades;
    uint32_t iterations;
    bool is_task_begun; /* of the lowest bit */
    uint8_t salt[16];
    /* For <success/>: */
    struct buf additional_data;
    struct buf token;
    int64_t token_expires_s;
    struct buf failed; /* <failed/> of a <resume/> */
};

/* The first SASL message as base64; `has_data_out` false: there is none. Views live as long as the
 * element. ERR_INVALID: not what XEP-0388 allows; an element that nobody knows is no error. */
MUST_USE enum err sasl2_request_parse(const struct xml_element *element,
        struct sasl2_request **request_out,
        struct str *data_out,
        bool *has_data_out);
void sasl2_request_destroy(struct sasl2_request *request); /* wipes secrets; accepts NULL */

/* For the verbs of a login. NULL request: nothing is wished. */
struct sasl2_wish {
    uint32_t upgrades;
    Wire__Id client;
    Wire__TokenWish token;
};
Wire__TokenWish *sasl2_request_wish(const struct sasl2_request *request, struct sasl2_wish *wish);
/* What came of the wishes. Accepts NULL. */
void sasl2_request_take(struct sasl2_request *request, const Wire__AuthResult *result);

/* The digest of "UPGR-SCRAM-SHA-256"; false: none of ours. */
bool sasl2_task_digest(struct str task, enum digest *digest_out);
const char *sasl2_task_name(enum digest digest);

/* The negotiation as one table: in which state which element is taken by whom, and which stream
 * error answers each wrong step (RFC 6120 §4.3, §5.4, §6.4, §7). */
#pragma once

#include <stdbool.h>

#include "chassis/base/str.h"

struct stream;
struct xml_element;

enum stream_state {
    STREAM_HEADER_PLAIN,         /* waits for the first header */
    STREAM_NEGOTIATE_PLAIN,      /* features sent without TLS */
    STREAM_TLS_HANDSHAKE,        /* after <proceed/>, or from the first byte */
    STREAM_HEADER_SECURED,       /* waits for a header inside TLS */
    STREAM_NEGOTIATE_SECURED,    /* features sent: SASL, registration */
    STREAM_SASL2,                /* XEP-0388: a challenge waits for its response */
    STREAM_SASL2_TASKS,          /* XEP-0388: authenticated, tasks are to be done */
    STREAM_HEADER_AUTHENTICATED, /* after SASL success */
    STREAM_BIND,                 /* features sent: resource binding */
    STREAM_SESSION,              /* stanzas */
    STREAM_HANDSHAKE,            /* XEP-0114: our stream id was sent */
    STREAM_COMPONENT,            /* XEP-0114: stanzas */
    STREAM_CLOSING,              /* our end was sent */
    STREAM_STATES,
};
const char *stream_state_name(enum stream_state state);

enum stream_element {
    ELEMENT_STARTTLS,
    ELEMENT_AUTH,
    ELEMENT_RESPONSE,
    ELEMENT_ABORT,
    ELEMENT_AUTHENTICATE, /* XEP-0388 */
    ELEMENT_SASL2_RESPONSE,
    ELEMENT_SASL2_ABORT,
    ELEMENT_SASL2_NEXT,
    ELEMENT_SASL2_TASK_DATA,
    ELEMENT_IQ,
    ELEMENT_MESSAGE,
    ELEMENT_PRESENCE,
    ELEMENT_ERROR,  /* <stream:error/> */
    ELEMENT_ENABLE, /* XEP-0198 */
    ELEMENT_RESUME,
    ELEMENT_SM_REQUEST,
    ELEMENT_SM_ACK,
    ELEMENT_ACTIVE, /* XEP-0352 */
    ELEMENT_INACTIVE,
    ELEMENT_OTHER,
    STREAM_ELEMENTS,
};
enum stream_element stream_element_classify(struct str ns, struct str name);

typedef void (*stream_step)(struct stream *stream, const struct xml_element *element);
/* Never NULL. */
stream_step stream_states_find(enum stream_state state, enum stream_element element);

/* The state after a header that was accepted. */
enum stream_state stream_state_after_header(enum stream_state state);
bool stream_state_wants_header(enum stream_state state);

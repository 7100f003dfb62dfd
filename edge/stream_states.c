/* THE table of the stream negotiation. */
#include "edge/stream_states.h"

#include "edge/feature/features.h"
#include "edge/session_stream.h"
#include "edge/stream.h"
#include "proto/xmpp/ns.h"

static const char *const state_names[STREAM_STATES] = {
    [STREAM_HEADER_PLAIN] = "header-plain",
    [STREAM_NEGOTIATE_PLAIN] = "negotiate-plain",
    [STREAM_TLS_HANDSHAKE] = "tls-handshake",
    [STREAM_HEADER_SECURED] = "header-secured",
    [STREAM_NEGOTIATE_SECURED] = "negotiate-secured",
    [STREAM_SASL2] = "sasl2",
    [STREAM_SASL2_TASKS] = "sasl2-tasks",
    [STREAM_HEADER_AUTHENTICATED] = "header-authenticated",
    [STREAM_BIND] = "bind",
    [STREAM_SESSION] = "session",
    [STREAM_HANDSHAKE] = "handshake",
    [STREAM_COMPONENT] = "component",
    [STREAM_CLOSING] = "closing",
};

const char *stream_state_name(enum stream_state state)
{
    return state_names[state];
}

/* ---- the answers to wrong steps */

static void not_authorized(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL);
}

static void unsupported(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    stream_fail(stream, STREAM_ERROR_UNSUPPORTED_STANZA_TYPE, STR_NULL);
}

/* RFC 6120 §6.4.6: SASL is over; a second negotiation is no way to change the identity (B18). */
static void policy_violation(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    stream_fail(stream, STREAM_ERROR_POLICY_VIOLATION, STR_NULL);
}

/* RFC 6120 §4.9.1.1: the other side ends the stream; its error is never echoed (A32). */
static void peer_error(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    stream->is_ended = true;
    stream_close(stream);
}

/* An element where only a header may come: the XML reader reports none, so a row for the reader's
 * mistakes. */
static void no_header(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    stream_fail(stream, STREAM_ERROR_BAD_FORMAT, STR_NULL);
}

static void ignore(struct stream *stream, const struct xml_element *element)
{
    (void)stream;
    (void)element;
}

/* clang-format off */
/* In three parts, since one line would be too long to read. Stream management and client state: */
#define TOO_EARLY   sm_refuse,   sm_refuse,   unsupported, unsupported, unsupported, unsupported
/*                  ENABLE            RESUME            R                  A              ACTIVE             INACTIVE */
#define MAY_RESUME  sm_refuse,        sm_handle_resume, sm_refuse,         sm_refuse,     unsupported,       unsupported
#define HAS_SESSION sm_handle_enable, sm_refuse,        sm_handle_request, sm_handle_ack, csi_handle_active, csi_handle_inactive

/* XEP-0388. It goes from <authenticate/> to <success/> without anything else in between (§2.4), and once (§4.8); a message that is
 * nobody's turn (B12) and what comes before TLS end the stream. */
/*                  AUTHENTICATE               RESPONSE               ABORT               NEXT               TASK_DATA */
#define NO_TLS      unsupported,               not_authorized,        not_authorized,     not_authorized,    not_authorized
#define MAY_LOG_IN  sasl2_handle_authenticate, not_authorized,        not_authorized,     not_authorized,    not_authorized
#define CHALLENGED  policy_violation,          sasl2_handle_response, sasl2_handle_abort, policy_violation,  policy_violation
#define TASK        policy_violation,          policy_violation,      sasl2_handle_abort, sasl2_handle_next, sasl2_handle_task_data
#define LOGGED_IN   policy_violation,          policy_violation,      policy_violation,   policy_violation,  policy_violation

/* In the middle of XEP-0388: a stanza, or anything. */
#define NOT_NOW policy_violation, policy_violation, policy_violation, policy_violation
#define NO_SM   policy_violation, policy_violation, policy_violation, policy_violation, policy_violation, policy_violation

#define ANY_ELEMENT(step) \
    { step, step, step, step, step, step, step, step, step, step, step, step, step, step, step, step, step, step, step, step }

static const stream_step steps[STREAM_STATES][STREAM_ELEMENTS] = {
    /*                                STARTTLS         AUTH              RESPONSE              ABORT              (sasl2)     IQ                  MESSAGE         PRESENCE        ERROR       (sm, csi)    OTHER */
    [STREAM_HEADER_PLAIN]         = ANY_ELEMENT(no_header),
    [STREAM_NEGOTIATE_PLAIN]      = { starttls_begin,  sasl_handle_auth, sasl_handle_response, sasl_handle_abort, NO_TLS,     register_handle_iq, not_authorized, not_authorized, peer_error, TOO_EARLY,   unsupported },
    [STREAM_TLS_HANDSHAKE]        = ANY_ELEMENT(no_header),
    [STREAM_HEADER_SECURED]       = ANY_ELEMENT(no_header),
    [STREAM_NEGOTIATE_SECURED]    = { starttls_refuse, sasl_handle_auth, sasl_handle_response, sasl_handle_abort, MAY_LOG_IN, register_handle_iq, not_authorized, not_authorized, peer_error, TOO_EARLY,   unsupported },
    [STREAM_SASL2]                = { NOT_NOW,                                                                    CHALLENGED, not_authorized,     not_authorized, not_authorized, peer_error, NO_SM,       policy_violation },
    [STREAM_SASL2_TASKS]          = { NOT_NOW,                                                                    TASK,       not_authorized,     not_authorized, not_authorized, peer_error, NO_SM,       policy_violation },
    [STREAM_HEADER_AUTHENTICATED] = ANY_ELEMENT(no_header),
    [STREAM_BIND]                 = { starttls_refuse, policy_violation, policy_violation,     policy_violation,  LOGGED_IN,  bind_handle_iq,     not_authorized, not_authorized, peer_error, MAY_RESUME,  unsupported },
    [STREAM_SESSION]              = { starttls_refuse, policy_violation, policy_violation,     policy_violation,  LOGGED_IN,  session_stanza,     session_stanza, session_stanza, peer_error, HAS_SESSION, unsupported },
    /* Another namespace, another vocabulary: these look at the element themselves. */
    [STREAM_HANDSHAKE]            = ANY_ELEMENT(component_handle_handshake),
    [STREAM_COMPONENT]            = ANY_ELEMENT(component_handle_element),
    [STREAM_CLOSING]              = ANY_ELEMENT(ignore),
};
/* clang-format on */

stream_step stream_states_find(enum stream_state state, enum stream_element element)
{
    return steps[state][element];
}

struct element_name {
    const char *ns;
    const char *name;
    enum stream_element element;
};

static const struct element_name element_names[] = {
    { NS_CLIENT, "message", ELEMENT_MESSAGE },
    { NS_CLIENT, "presence", ELEMENT_PRESENCE },
    { NS_CLIENT, "iq", ELEMENT_IQ },
    { NS_TLS, "starttls", ELEMENT_STARTTLS },
    { NS_SASL, "auth", ELEMENT_AUTH },
    { NS_SASL, "response", ELEMENT_RESPONSE },
    { NS_SASL, "abort", ELEMENT_ABORT },
    { NS_SASL2, "authenticate", ELEMENT_AUTHENTICATE },
    { NS_SASL2, "response", ELEMENT_SASL2_RESPONSE },
    { NS_SASL2, "abort", ELEMENT_SASL2_ABORT },
    { NS_SASL2, "next", ELEMENT_SASL2_NEXT },
    { NS_SASL2, "task-data", ELEMENT_SASL2_TASK_DATA },
    { NS_STREAM, "error", ELEMENT_ERROR },
    { NS_SM, "enable", ELEMENT_ENABLE },
    { NS_SM, "resume", ELEMENT_RESUME },
    { NS_SM, "r", ELEMENT_SM_REQUEST },
    { NS_SM, "a", ELEMENT_SM_ACK },
    { NS_CSI, "active", ELEMENT_ACTIVE },
    { NS_CSI, "inactive", ELEMENT_INACTIVE },
};

enum stream_element stream_element_classify(struct str ns, struct str name)
{
    for (size_t i = 0; i < sizeof(element_names) / sizeof(element_names[0]); i++) {
        const struct element_name *known = &element_names[i];
        if (str_equal(ns, str_from_cstr(known->ns))
                && str_equal(name, str_from_cstr(known->name))) {
            return known->element;
        }
    }
    return ELEMENT_OTHER;
}

enum stream_state stream_state_after_header(enum stream_state state)
{
    switch ((int)state) {
    case STREAM_HEADER_PLAIN: return STREAM_NEGOTIATE_PLAIN;
    case STREAM_HEADER_SECURED: return STREAM_NEGOTIATE_SECURED;
    case STREAM_HEADER_AUTHENTICATED: return STREAM_BIND;
    default: return state;
    }
}

bool stream_state_wants_header(enum stream_state state)
{
    return state == STREAM_HEADER_PLAIN || state == STREAM_HEADER_SECURED
            || state == STREAM_HEADER_AUTHENTICATED;
}

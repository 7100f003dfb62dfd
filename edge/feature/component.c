/* Components, XEP-0114 1.6: a shared secret instead of SASL, one domain for each stream. */
#include "chassis/log.h"
#include "edge/edge.h"
#include "edge/feature/features.h"
#include "edge/negotiation.h"
#include "edge/session.h"
#include "edge/session_stream.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/ns.h"

static bool is_named(const struct xml_element *element, const char *name)
{
    return str_equal(element->ns, STR(NS_COMPONENT))
            && str_equal(element->name, str_from_cstr(name));
}

static bool is_stanza(const struct xml_element *element)
{
    return is_named(element, "message") || is_named(element, "presence") || is_named(element, "iq");
}

static bool is_error(const struct xml_element *element)
{
    return str_equal(element->ns, STR(NS_STREAM)) && str_equal(element->name, STR("error"));
}

/* ---- the handshake */

static enum stream_condition refusal_of(const Wire__BindReply *reply)
{
    switch (reply ? (int)reply->status : WIRE__STATUS__STATUS_TEMPORARY) {
    case WIRE__STATUS__STATUS_NOT_AUTHORIZED: return STREAM_ERROR_NOT_AUTHORIZED;
    case WIRE__STATUS__STATUS_NOT_FOUND: return STREAM_ERROR_HOST_UNKNOWN;
    default: return STREAM_ERROR_INTERNAL_SERVER_ERROR;
    }
}

static void connected(struct stream *stream, const Wire__BindReply *reply)
{
    struct session *session = session_create(reply, stream->edge->settings->shards);
    if (!session || !str_equal(session->bare, stream->host->domain)) {
        log_error("component", "router sent a malformed session");
        session_destroy(session);
        stream_fail(stream, STREAM_ERROR_INTERNAL_SERVER_ERROR, STR_NULL);
        return;
    }
    stream->mechanism = "handshake";
    log_info("component",
            "component connected",
            log_str("domain", session->bare),
            log_cstr("peer", stream->address.text),
            log_cstr("tls", stream->is_secured ? "yes" : "no"));
    uplink_adopt(stream->edge->uplink, session);
    stream_write(stream, STR("<handshake/>"));
    stream_become_session(stream, session);
}

static void on_answer(void *context, const Wire__Envelope *envelope)
{
    struct stream *stream = context;
    stream->negotiation->request = NULL;
    const Wire__BindReply *reply =
            envelope && envelope->verb_case == WIRE__ENVELOPE__VERB_BIND_REPLY
            ? envelope->bind_reply
            : NULL;
    if (reply && reply->status == WIRE__STATUS__STATUS_OK) {
        connected(stream, reply);
    } else {
        enum stream_condition condition = refusal_of(reply);
        log_warn("component",
                "component refused",
                log_str("domain", stream->host->domain),
                log_cstr("peer", stream->address.text),
                log_cstr("condition", stream_condition_name(condition)));
        stream_fail(stream, condition, STR_NULL);
    }
    stream_resume(stream, PAUSE_ANSWER);
}

static void ask(struct stream *stream, struct str handshake)
{
    struct negotiation *negotiation = stream->negotiation;
    struct str domain = stream->host->domain;
    Wire__ComponentBind bind = WIRE__COMPONENT_BIND__INIT;
    bind.domain = wire_bytes(domain);
    bind.stream_id = wire_bytes(str_from_cstr(negotiation->stream_id));
    bind.handshake = wire_bytes(handshake);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_COMPONENT_BIND;
    envelope.component_bind = &bind;
    stream_pause(stream, PAUSE_ANSWER);
    negotiation->request = uplink_ask(stream->edge->uplink, domain, &envelope, on_answer, stream);
}

void component_handle_handshake(struct stream *stream, const struct xml_element *element)
{
    if (is_error(element)) {
        stream->is_ended = true;
        stream_close(stream);
    } else if (is_named(element, "handshake")) {
        ask(stream, element->text);
    } else {
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* D05 */
    }
}

/* ---- afterwards */

void component_handle_element(struct stream *stream, const struct xml_element *element)
{
    if (is_stanza(element)) {
        session_stanza(stream, element);
    } else if (is_error(element)) {
        stream->is_ended = true;
        stream_close(stream);
    } else {
        stream_fail(stream, STREAM_ERROR_UNSUPPORTED_STANZA_TYPE, STR_NULL);
    }
}

/* In-Band Registration, XEP-0077 2.4, on a stream that is not authenticated. */
#include "chassis/base/arena.h"
#include "chassis/log.h"
#include "edge/address.h"
#include "edge/feature/features.h"
#include "edge/iq_answer.h"
#include "edge/negotiation.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

/* A password goes over a line that is encrypted, or the operator has waived it. */
static bool is_offered(const struct stream *stream)
{
    bool is_negotiating =
            stream->state == STREAM_NEGOTIATE_PLAIN || stream->state == STREAM_NEGOTIATE_SECURED;
    return is_negotiating && stream->host->registration
            && (stream->is_secured || !stream->host->tls_required);
}

static void advertise(struct stream *stream, struct buf *out)
{
    if (is_offered(stream)) {
        xml_open(out, "register", NS_IQ_REGISTER_FEATURE);
        xml_end_empty(out);
    }
}

const struct stream_feature feature_register = { .name = "register", .advertise = advertise };

static void refuse(struct stream *stream, struct str id, enum stanza_condition condition)
{
    const struct stanza_error error = { .condition = condition };
    iq_answer_error(stream, id, &error);
}

static enum stanza_condition condition_of(Wire__Status status)
{
    switch ((int)status) {
    case WIRE__STATUS__STATUS_OK: return STANZA_ERROR_NONE;
    case WIRE__STATUS__STATUS_CONFLICT: return STANZA_ERROR_CONFLICT;
    case WIRE__STATUS__STATUS_LIMIT: return STANZA_ERROR_RESOURCE_CONSTRAINT;
    case WIRE__STATUS__STATUS_INVALID: return STANZA_ERROR_NOT_ACCEPTABLE;
    case WIRE__STATUS__STATUS_NOT_AUTHORIZED: return STANZA_ERROR_NOT_ALLOWED;
    default: return STANZA_ERROR_INTERNAL_SERVER_ERROR;
    }
}

static void on_answer(void *context, const Wire__Envelope *envelope)
{
    struct stream *stream = context;
    struct negotiation *negotiation = stream->negotiation;
    negotiation->request = NULL;
    enum stanza_condition condition =
            envelope && envelope->verb_case == WIRE__ENVELOPE__VERB_REGISTER_REPLY
            ? condition_of(envelope->register_reply->status)
            : STANZA_ERROR_INTERNAL_SERVER_ERROR;
    char *id = negotiation->iq_id;
    negotiation->iq_id = NULL;
    if (condition == STANZA_ERROR_NONE) {
        iq_answer_result(stream, str_from_cstr(id), STR_NULL);
    } else {
        negotiation->failures++;
        refuse(stream, str_from_cstr(id), condition);
    }
    free(id);
    stream_resume(stream, PAUSE_ANSWER);
}

static void ask(struct stream *stream, struct str id, struct str bare, struct str password)
{
    struct negotiation *negotiation = stream->negotiation;
    Wire__Register message = WIRE__REGISTER__INIT;
    message.bare = wire_bytes(bare);
    message.password = wire_bytes(password);
    uint8_t address[8];
    message.address = wire_bytes(address_limit_bytes(&stream->address.storage, address));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_REGISTER;
    envelope.register_ = &message;
    negotiation->iq_id = str_to_cstr(id);
    stream_pause(stream, PAUSE_ANSWER);
    negotiation->request = uplink_ask(stream->edge->uplink, bare, &envelope, on_answer, stream);
}

static void answer_fields(struct stream *stream, struct str id)
{
    iq_answer_result(stream,
            id,
            STR("<query xmlns='" NS_REGISTER "'>"
                "<instructions>Choose a user name and a password.</instructions>"
                "<username/><password/></query>"));
}

/* XEP-0077 §3.1.1: a set with what the fields asked for. */
static void take_fields(
        struct stream *stream, struct arena *arena, struct str id, const struct element *query)
{
    struct jid jid;
    struct str username = element_child_text(query, NS_REGISTER, "username");
    struct str password = element_child_text(query, NS_REGISTER, "password");
    if (element_child(query, NS_REGISTER, "remove")) {
        refuse(stream, id, STANZA_ERROR_REGISTRATION_REQUIRED); /* §3.2: who is not logged in */
    } else if (str_is_empty(username) || str_is_empty(password)) {
        refuse(stream, id, STANZA_ERROR_NOT_ACCEPTABLE);
    } else if (jid_make(arena, username, stream->host->domain, STR_NULL, &jid) != ERR_OK) {
        refuse(stream, id, STANZA_ERROR_JID_MALFORMED);
    } else {
        ask(stream, id, jid.bare, password);
    }
}

static void handle_set(struct stream *stream, struct str id, const struct xml_element *iq)
{
    struct arena arena;
    struct element *query = NULL;
    arena_init(&arena, 0);
    if (element_parse(&arena, iq->children, STR(NS_CLIENT), &query) == ERR_OK && query) {
        take_fields(stream, &arena, id, query);
    } else {
        refuse(stream, id, STANZA_ERROR_BAD_REQUEST);
    }
    arena_fini(&arena);
}

void register_handle_iq(struct stream *stream, const struct xml_element *iq)
{
    if (!is_offered(stream) || !str_equal(iq->payload_ns, STR(NS_REGISTER))
            || !str_equal(iq->payload_name, STR("query"))) {
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* A20 */
        return;
    }
    struct str id = xml_element_attribute(iq, STR("id"));
    struct str type = xml_element_attribute(iq, STR("type"));
    if (stream->negotiation->failures >= (unsigned)stream->edge->settings->c2s->max_auth_failures) {
        stream_fail(stream, STREAM_ERROR_POLICY_VIOLATION, STR_NULL);
    } else if (str_is_empty(id) || iq->child_count != 1) {
        refuse(stream, id, STANZA_ERROR_BAD_REQUEST);
    } else if (str_equal(type, STR("get"))) {
        answer_fields(stream, id);
    } else if (str_equal(type, STR("set"))) {
        handle_set(stream, id, iq);
    } else {
        refuse(stream, id, STANZA_ERROR_BAD_REQUEST);
    }
}

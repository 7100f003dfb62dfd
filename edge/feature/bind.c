/* Resource binding, RFC 6120 §7. */
#include "chassis/base/arena.h"
#include "chassis/log.h"
#include "edge/feature/features.h"
#include "edge/iq_answer.h"
#include "edge/negotiation.h"
#include "edge/session.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

static void advertise(struct stream *stream, struct buf *out)
{
    if (stream->state == STREAM_BIND) {
        xml_open(out, "bind", NS_BIND);
        xml_end_empty(out);
    }
}

const struct stream_feature feature_bind = { .name = "bind", .advertise = advertise };

/* The resource the client wants, prepared; "" : the server chooses (B24). */
static enum err wanted_resource(
        struct arena *arena, const struct xml_element *iq, struct str *resource_out)
{
    struct element *bind = NULL;
    if (element_parse(arena, iq->children, STR(NS_CLIENT), &bind) != ERR_OK || !bind) {
        return ERR_INVALID;
    }
    struct str text = element_child_text(bind, NS_BIND, "resource");
    if (str_is_empty(text)) {
        *resource_out = STR_NULL;
        return ERR_OK;
    }
    return jid_prepare_resource(arena, text, resource_out);
}

static struct stanza_error refusal_of(Wire__Status status)
{
    switch ((int)status) {
    case WIRE__STATUS__STATUS_CONFLICT:
        return (struct stanza_error){ .condition = STANZA_ERROR_CONFLICT };
    case WIRE__STATUS__STATUS_LIMIT:
        return (struct stanza_error){ .condition = STANZA_ERROR_RESOURCE_CONSTRAINT };
    case WIRE__STATUS__STATUS_INVALID:
        return (struct stanza_error){ .condition = STANZA_ERROR_BAD_REQUEST };
    default: return (struct stanza_error){ .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    }
}

static void answer_bound(struct stream *stream, struct str id, struct str full)
{
    struct buf children;
    buf_init(&children, 0);
    xml_open(&children, "bind", NS_BIND);
    xml_end_open(&children);
    xml_text_element(&children, "jid", NULL, full);
    xml_close(&children, "bind");
    iq_answer_result(stream, id, buf_view(&children));
    buf_fini(&children);
}

static void bound(struct stream *stream, const Wire__BindReply *reply, struct str id)
{
    struct session *session = session_create(reply, stream->edge->settings->shards);
    if (!session) {
        log_error("bind", "router sent a malformed session");
        stream_fail(stream, STREAM_ERROR_INTERNAL_SERVER_ERROR, STR_NULL);
        return;
    }
    log_info("bind",
            "session bound",
            log_jid("jid", session->full),
            log_cstr("mechanism", stream->mechanism));
    uplink_adopt(stream->edge->uplink, session);
    answer_bound(stream, id, session->full);
    stream_become_session(stream, session);
}

static void on_answer(void *context, const Wire__Envelope *envelope)
{
    struct stream *stream = context;
    struct negotiation *negotiation = stream->negotiation;
    negotiation->request = NULL;
    const Wire__BindReply *reply =
            envelope && envelope->verb_case == WIRE__ENVELOPE__VERB_BIND_REPLY
            ? envelope->bind_reply
            : NULL;
    char *id = negotiation->iq_id;
    negotiation->iq_id = NULL;
    if (reply && reply->status == WIRE__STATUS__STATUS_OK) {
        bound(stream, reply, str_from_cstr(id));
    } else if (reply && reply->status == WIRE__STATUS__STATUS_NOT_AUTHORIZED) {
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* the grant is too old */
    } else {
        struct stanza_error error =
                refusal_of(reply ? reply->status : WIRE__STATUS__STATUS_TEMPORARY);
        iq_answer_error(stream, str_from_cstr(id), &error);
    }
    free(id);
    stream_resume(stream, PAUSE_ANSWER);
}

static void ask(struct stream *stream, struct str id, struct str resource)
{
    struct negotiation *negotiation = stream->negotiation;
    struct str bare = str_from_cstr(negotiation->bare);
    Wire__Bind bind = WIRE__BIND__INIT;
    bind.bare = wire_bytes(bare);
    bind.grant = wire_bytes(buf_view(&negotiation->grant));
    bind.resource = wire_bytes(resource);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_BIND;
    envelope.bind = &bind;
    negotiation->iq_id = str_to_cstr(id);
    stream_pause(stream, PAUSE_ANSWER);
    negotiation->request = uplink_ask(stream->edge->uplink, bare, &envelope, on_answer, stream);
}

void bind_handle_iq(struct stream *stream, const struct xml_element *iq)
{
    if (!str_equal(iq->payload_ns, STR(NS_BIND)) || !str_equal(iq->payload_name, STR("bind"))) {
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* B19 */
        return;
    }
    struct str id = xml_element_attribute(iq, STR("id"));
    struct str type = xml_element_attribute(iq, STR("type"));
    struct arena arena;
    struct str resource;
    arena_init(&arena, 0);
    if (str_is_empty(id) || !str_equal(type, STR("set")) || iq->child_count != 1
            || wanted_resource(&arena, iq, &resource) != ERR_OK) {
        const struct stanza_error error = { .condition = STANZA_ERROR_BAD_REQUEST };
        iq_answer_error(stream, id, &error);
    } else {
        ask(stream, id, resource);
    }
    arena_fini(&arena);
}

/* Bind 2, XEP-0386 1.1.0: a resource with everything a session begins with, in one step. Two things
 * come with the archive query and are not here yet: <metadata/>, and dropping offline messages
 * because the client would read them there: until then they are delivered. */
#include "chassis/log.h"
#include "edge/feature/features.h"
#include "edge/feature/sasl2.h"
#include "edge/negotiation.h"
#include "edge/sasl2_request.h"
#include "edge/session.h"
#include "edge/sm.h"
#include "edge/stream.h"
#include "edge/stream_features.h"
#include "edge/stream_metrics.h"
#include "edge/uplink.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

void bind2_advertise(const struct stream *stream, struct buf *out)
{
    buf_append_literal(out, "<bind xmlns='" NS_BIND2 "'><inline><feature var='" NS_CARBONS "'/>");
    if (csi_is_offered(stream)) {
        buf_append_literal(out, "<feature var='" NS_CSI "'/>");
    }
    buf_append_literal(out, "<feature var='" NS_SM "'/></inline></bind>");
}

static void write_bound(const struct sasl2_request *request,
        const struct session *session,
        const Wire__BindReply *reply,
        struct buf *out)
{
    buf_append_str(out, buf_view(&request->failed));
    xml_open(out, "bound", NS_BIND2);
    xml_end_open(out);
    if (session_has_sm(session)) {
        const struct sm_enabled enabled = {
            .may_resume = session->sm->may_resume,
            .id = wire_str(reply->resume_id),
            .max_s = reply->max_s,
        };
        sm_write_enabled(out, &enabled);
    } else if (request->wants_sm) {
        sm_write_failed(out, "internal-server-error", NULL); /* a router of an older version */
    }
    xml_close(out, "bound");
}

static void bound(struct stream *stream, const Wire__BindReply *reply)
{
    const struct sasl2_request *request = stream->negotiation->sasl2;
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
    session->is_inactive = request->is_inactive && csi_is_offered(stream);
    uplink_adopt(stream->edge->uplink, session);
    if (session_has_sm(session)) {
        stream_metrics_sm_enabled();
    }
    struct buf inner;
    buf_init(&inner, 0);
    write_bound(request, session, reply, &inner);
    sasl2_write_success(stream, session->full, buf_view(&inner));
    buf_fini(&inner);
    stream_become_session(stream, session);
    stream_features_write(stream);
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
        bound(stream, reply);
    } else if (reply && reply->status == WIRE__STATUS__STATUS_NOT_AUTHORIZED) {
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* the grant is too old */
    } else {
        bool is_full = reply && reply->status == WIRE__STATUS__STATUS_LIMIT;
        sasl2_fail_late(stream, is_full ? STANZA_ERROR_RESOURCE_CONSTRAINT : STANZA_ERROR_NONE);
    }
    stream_resume(stream, PAUSE_ANSWER);
}

void bind2_ask(struct stream *stream)
{
    struct negotiation *negotiation = stream->negotiation;
    const struct sasl2_request *request = negotiation->sasl2;
    struct str bare = str_from_cstr(negotiation->bare);
    Wire__Id client = WIRE_ID_INIT(request->client);
    Wire__Bind bind = WIRE__BIND__INIT;
    bind.bare = wire_bytes(bare);
    bind.grant = wire_bytes(buf_view(&negotiation->grant));
    bind.client = id128_is_zero(request->client) ? NULL : &client;
    bind.tag = wire_bytes(request->tag);
    bind.wants_sm = request->wants_sm;
    bind.may_resume = request->may_resume;
    bind.max_s = request->max_s;
    bind.has_carbons = request->has_carbons;
    bind.is_inactive = request->is_inactive && csi_is_offered(stream);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_BIND;
    envelope.bind = &bind;
    stream_pause(stream, PAUSE_ANSWER);
    negotiation->request = uplink_ask(stream->edge->uplink, bare, &envelope, on_answer, stream);
}

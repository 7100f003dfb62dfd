/* Stream management, XEP-0198: <enable/>, <resume/>, <r/> and <a/>. */
#include "edge/sm.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "edge/feature/features.h"
#include "edge/feature/sasl2.h"
#include "edge/negotiation.h"
#include "edge/session_table.h"
#include "edge/sm_acks.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"
#include "edge/uplink.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

#define ASK_AGAIN_MS 1000

static void advertise(struct stream *stream, struct buf *out)
{
    bool may_enable = stream->state == STREAM_SESSION && !stream->session->sm;
    if (stream->state == STREAM_BIND || may_enable) {
        buf_append_literal(out, "<sm xmlns='" NS_SM "'/>");
    }
}

const struct stream_feature feature_sm = { .name = "sm", .advertise = advertise };

static void append_h(struct buf *out, const char *name, uint32_t h)
{
    buf_printf(out, " %s='%lu'", name, (unsigned long)h);
}

void sm_write_failed(struct buf *out, const char *condition, const uint32_t *h)
{
    xml_open(out, "failed", NS_SM);
    if (h) {
        append_h(out, "h", *h);
    }
    xml_end_open(out);
    xml_open(out, condition, NS_STANZAS_ERROR);
    xml_end_empty(out);
    xml_close(out, "failed");
}

static void fail(struct stream *stream, const char *condition, const uint32_t *h)
{
    struct buf out;
    buf_init(&out, 0);
    sm_write_failed(&out, condition, h);
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

void sm_refuse(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    fail(stream, "unexpected-request", NULL);
}

/* ---- enable */

void sm_write_enabled(struct buf *out, const struct sm_enabled *enabled)
{
    xml_open(out, "enabled", NS_SM);
    if (enabled->may_resume) {
        xml_attr(out, "id", enabled->id);
        xml_attr(out, "resume", STR("true"));
        append_h(out, "max", enabled->max_s);
    }
    xml_end_empty(out);
}

static void enabled(struct session *session, const Wire__EnableReply *reply)
{
    struct stream *stream = session->stream;
    if (!session->sm) {
        fail(stream, "internal-server-error", NULL);
        stream_resume(stream, PAUSE_ANSWER);
        return;
    }
    const struct sm_enabled fields = {
        .may_resume = session->sm->may_resume,
        .id = wire_str(reply->resume_id),
        .max_s = reply->max_s,
    };
    struct buf out;
    buf_init(&out, 0);
    sm_write_enabled(&out, &fields);
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
    stream_metrics_sm_enabled();
    stream_resume(stream, PAUSE_ANSWER);
}

static bool is_true(struct str text)
{
    return str_equal(text, STR("true")) || str_equal(text, STR("1"));
}

/* Nothing is read until the answer comes, so that no stanza falls between the two counts. */
void sm_handle_enable(struct stream *stream, const struct xml_element *element)
{
    struct session *session = stream->session;
    if (session->sm) {
        sm_refuse(stream, element); /* C18 */
        return;
    }
    uint32_t max_s = 0;
    (void)sm_parse_h(xml_element_attribute(element, STR("max")), &max_s); /* a wish only */
    session->sm = MEM_NEW(struct sm);
    *session->sm = (struct sm){
        .phase = SM_WANTED,
        .may_resume = is_true(xml_element_attribute(element, STR("resume"))),
        .max_s = max_s,
        .enabled = enabled,
        .session = session,
    };
    stream_pause(stream, PAUSE_ANSWER);
    uplink_enable(stream->edge->uplink, session);
}

/* ---- resume */

static void forget_question(struct negotiation *negotiation)
{
    free(negotiation->previd);
    negotiation->previd = NULL;
}

static void refuse_resume(struct stream *stream, const char *condition, const uint32_t *h)
{
    struct negotiation *negotiation = stream->negotiation;
    struct buf out;
    buf_init(&out, 0);
    sm_write_failed(&out, condition, h);
    stream_metrics_sm_resume(condition);
    forget_question(negotiation);
    stream_resume(stream, PAUSE_ANSWER); /* a resource may be bound instead */
    if (negotiation->sasl2) {
        sasl2_resume_failed(stream, buf_view(&out));
    } else {
        stream_write(stream, buf_view(&out));
    }
    buf_fini(&out);
}

static void write_resumed(
        struct stream *stream, const struct session *session, const Wire__ResumeReply *reply)
{
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "resumed", NS_SM);
    append_h(&out, "h", reply->handled - reply->counter);
    xml_attr(&out, "previd", str_from_cstr(stream->negotiation->previd));
    xml_end_empty(&out);
    if (stream->negotiation->sasl2) {
        sasl2_resumed(stream, session->full, buf_view(&out));
    } else {
        stream_write(stream, buf_view(&out));
    }
    buf_fini(&out);
}

static void resumed(struct stream *stream, const Wire__ResumeReply *reply)
{
    struct edge *edge = stream->edge;
    struct session *session = session_create_resumed(reply, edge->settings->shards);
    if (!session) {
        log_error("sm", "router sent a malformed session");
        stream_fail(stream, STREAM_ERROR_INTERNAL_SERVER_ERROR, STR_NULL);
        return;
    }
    struct session *former = session_table_find(edge->sessions, session->id);
    if (former && (int32_t)(session_attach(session) - session_attach(former)) <= 0) {
        session_destroy(session); /* two routers have answered: the later resume is here already */
        refuse_resume(stream, "item-not-found", NULL);
        return;
    }
    if (former) {
        uplink_let_go(edge->uplink, former);
    }
    log_info("sm",
            "session resumed",
            log_jid("jid", session->full),
            log_int("attach", session->sm->attach),
            log_cstr("mechanism", stream->mechanism));
    stream_metrics_sm_resume("resumed");
    uplink_adopt(edge->uplink, session);
    write_resumed(stream, session, reply);
    stream_become_session(stream, session);
    uplink_pump(edge->uplink, session); /* the client state */
    stream_window_changed(stream);      /* if it could not leave */
    stream_resume(stream, PAUSE_ANSWER);
}

static void refused(struct stream *stream, const Wire__ResumeReply *reply)
{
    uint32_t h = reply->handled - reply->counter;
    switch ((int)reply->status) {
    case WIRE__STATUS__STATUS_TEMPORARY: stream_wake_in(stream, ASK_AGAIN_MS); break;
    case WIRE__STATUS__STATUS_NOT_AUTHORIZED:
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* the grant is too old */
        break;
    default: refuse_resume(stream, "item-not-found", reply->has_h ? &h : NULL); break;
    }
}

static void on_resume_answer(void *context, const Wire__Envelope *envelope)
{
    struct stream *stream = context;
    stream->negotiation->request = NULL;
    if (!envelope || envelope->verb_case != WIRE__ENVELOPE__VERB_RESUME_REPLY) {
        sm_resume_again(stream); /* until the negotiation's time is over */
    } else if (envelope->resume_reply->status == WIRE__STATUS__STATUS_OK) {
        resumed(stream, envelope->resume_reply);
    } else {
        refused(stream, envelope->resume_reply);
    }
}

void sm_resume_again(struct stream *stream)
{
    struct negotiation *negotiation = stream->negotiation;
    struct str bare = str_from_cstr(negotiation->bare);
    Wire__Resume resume = WIRE__RESUME__INIT;
    resume.bare = wire_bytes(bare);
    resume.grant = wire_bytes(buf_view(&negotiation->grant));
    resume.resume_id = wire_bytes(str_from_cstr(negotiation->previd));
    resume.h = negotiation->h;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_RESUME;
    envelope.resume = &resume;
    negotiation->request =
            uplink_ask(stream->edge->uplink, bare, &envelope, on_resume_answer, stream);
}

void sm_resume_inline(struct stream *stream, struct str previd, struct str h)
{
    struct negotiation *negotiation = stream->negotiation;
    if (str_is_empty(previd) || !sm_parse_h(h, &negotiation->h)) {
        refuse_resume(stream, "bad-request", NULL);
        return;
    }
    if (previd.len > SM_MAX_ID_BYTES) {
        refuse_resume(stream, "item-not-found", NULL); /* none of ours */
        return;
    }
    negotiation->previd = str_to_cstr(previd);
    stream_pause(stream, PAUSE_ANSWER);
    sm_resume_again(stream);
}

void sm_handle_resume(struct stream *stream, const struct xml_element *element)
{
    sm_resume_inline(stream,
            xml_element_attribute(element, STR("previd")),
            xml_element_attribute(element, STR("h")));
}

/* ---- acks */

void sm_handle_request(struct stream *stream, const struct xml_element *element)
{
    if (session_has_sm(stream->session)) {
        sm_acks_asked(stream);
    } else {
        sm_refuse(stream, element);
    }
}

/* XEP-0198 §6 (C19). */
static void fail_too_high(struct stream *stream, uint32_t h)
{
    const struct sm *sm = stream->session->sm;
    struct buf out;
    buf_init(&out, 0);
    buf_append_literal(&out,
            "<stream:error><undefined-condition xmlns='" NS_STREAMS_ERROR
            "'/><handled-count-too-high xmlns='" NS_SM "'");
    append_h(&out, "h", h);
    append_h(&out, "send-count", sm->written - sm->sequence_base);
    buf_append_literal(&out, "/></stream:error>");
    stream_fail_with(stream, STREAM_ERROR_UNDEFINED_CONDITION, buf_view(&out));
    buf_fini(&out);
}

void sm_handle_ack(struct stream *stream, const struct xml_element *element)
{
    struct session *session = stream->session;
    uint32_t h = 0;
    if (!session_has_sm(session)) {
        sm_refuse(stream, element);
        return;
    }
    if (!sm_parse_h(xml_element_attribute(element, STR("h")), &h)) {
        stream_fail(stream, STREAM_ERROR_UNDEFINED_CONDITION, STR("h is no number"));
        return;
    }
    enum sm_ack ack = sm_take_ack(session->sm, h);
    if (ack == SM_ACK_TOO_HIGH) {
        fail_too_high(stream, h);
        return;
    }
    if (ack == SM_ACK_NEWS) {
        uplink_acked(stream->edge->uplink, session);
    }
    sm_acks_heard(stream, ack == SM_ACK_NEWS);
}

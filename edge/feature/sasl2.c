/* Extensible SASL Profile, XEP-0388 1.0.4: the elements around an exchange, and in which order what
 * was asked for inline happens: tasks, resumption, resource binding. */
#include "edge/feature/sasl2.h"

#include "chassis/base/encoding.h"
#include "edge/feature/features.h"
#include "edge/negotiation.h"
#include "edge/sasl2_request.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/stream_features.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

/* ---- what is offered: inside TLS only (XEP-0388 §3) */

static void advertise(struct stream *stream, struct buf *out)
{
    if (stream->state != STREAM_NEGOTIATE_SECURED) {
        return;
    }
    struct buf mechanisms;
    buf_init(&mechanisms, 0);
    for (const struct sasl_mechanism *m = sasl_mechanisms; m->name; m++) {
        if (!m->token && authentication_offers(stream, m)) {
            xml_text_element(&mechanisms, "mechanism", NULL, str_from_cstr(m->name));
        }
    }
    if (mechanisms.len > 0) {
        xml_open(out, "authentication", NS_SASL2);
        xml_end_open(out);
        buf_append_str(out, buf_view(&mechanisms));
        buf_append_literal(out, "<inline><sm xmlns='" NS_SM "'/>");
        bind2_advertise(stream, out);
        fast_advertise(stream, out);
        buf_append_literal(out, "</inline>");
        sasl2_tasks_advertise(stream, out);
        xml_close(out, "authentication");
    }
    buf_fini(&mechanisms);
}

const struct stream_feature feature_sasl2 = { .name = "sasl2", .advertise = advertise };

/* ---- ends */

void sasl2_write_success(struct stream *stream, struct str identifier, struct str inner)
{
    const struct sasl2_request *request = stream->negotiation->sasl2;
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "success", NS_SASL2);
    xml_end_open(&out);
    if (request->additional_data.len > 0) {
        buf_append_literal(&out, "<additional-data>");
        base64_encode(&out, buf_view(&request->additional_data));
        buf_append_literal(&out, "</additional-data>");
    }
    xml_text_element(&out, "authorization-identifier", NULL, identifier);
    buf_append_str(&out, inner);
    fast_write_token(request, &out);
    xml_close(&out, "success");
    stream_write(stream, buf_view(&out));
    if (request->token.len > 0) {
        secret_wipe(out.data, out.capacity);
    }
    buf_fini(&out);
    negotiation_forget_sasl2(stream->negotiation);
}

void sasl2_fail_late(struct stream *stream, enum stanza_condition condition)
{
    struct negotiation *negotiation = stream->negotiation;
    struct buf out;
    buf_init(&out, 0);
    buf_append_literal(
            &out, "<failure xmlns='" NS_SASL2 "'><temporary-auth-failure xmlns='" NS_SASL "'/>");
    if (condition != STANZA_ERROR_NONE) {
        xml_open(&out, stanza_condition_name(condition), NS_STANZAS_ERROR);
        xml_end_empty(&out);
    }
    buf_append_literal(&out, "</failure>");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
    negotiation->failures++;
    negotiation_forget_sasl2(negotiation);
    stream_set_state(stream, STREAM_NEGOTIATE_SECURED);
}

void sasl2_complete(struct stream *stream)
{
    struct negotiation *negotiation = stream->negotiation;
    const struct sasl2_request *request = negotiation->sasl2;
    if (request->has_resume) {
        sm_resume_inline(stream, request->previd, request->h);
    } else if (request->has_bind) {
        bind2_ask(stream);
    } else {
        sasl2_write_success(stream, str_from_cstr(negotiation->bare), STR_NULL);
        stream_set_state(stream, STREAM_BIND);
        stream_features_write(stream);
    }
}

void sasl2_resumed(struct stream *stream, struct str full, struct str xml)
{
    /* XEP-0198 §9.2: no features behind it. */
    sasl2_write_success(stream, full, xml);
}

void sasl2_resume_failed(struct stream *stream, struct str xml)
{
    struct negotiation *negotiation = stream->negotiation;
    if (negotiation->sasl2->has_bind) {
        buf_append_str(&negotiation->sasl2->failed, xml);
        bind2_ask(stream);
        return;
    }
    sasl2_write_success(stream, str_from_cstr(negotiation->bare), xml);
    stream_set_state(stream, STREAM_BIND);
    stream_features_write(stream);
}

/* ---- the exchange */

static void on_challenge(struct stream *stream)
{
    stream_set_state(stream, STREAM_SASL2);
}

static void on_failure(struct stream *stream)
{
    negotiation_forget_sasl2(stream->negotiation);
    stream_set_state(stream, STREAM_NEGOTIATE_SECURED);
}

static void on_success(struct stream *stream, struct str data)
{
    buf_append_str(&stream->negotiation->sasl2->additional_data, data);
    if (!sasl2_tasks_next(stream)) {
        sasl2_complete(stream);
    }
}

const struct sasl_profile sasl2_profile = {
    .ns = NS_SASL2,
    .is_extensible = true,
    .on_challenge = on_challenge,
    .on_success = on_success,
    .on_failure = on_failure,
};

/* XEP-0484 §3.4 and §4.1: a token is shown as such, by a client with a name. */
static bool may_use_token(const struct negotiation *negotiation)
{
    const struct sasl2_request *request = negotiation->sasl2;
    return !negotiation->mechanism->token || (request->has_fast && !id128_is_zero(request->client));
}

static void begin(struct stream *stream, const struct xml_element *element)
{
    struct negotiation *negotiation = stream->negotiation;
    struct str data;
    bool has_data = false;
    negotiation_forget_sasl2(negotiation);
    if (sasl2_request_parse(element, &negotiation->sasl2, &data, &has_data) != ERR_OK) {
        authentication_fail(stream, &sasl2_profile, SASL_MALFORMED_REQUEST);
    } else if (!authentication_start(
                       stream, &sasl2_profile, xml_element_attribute(element, STR("mechanism")))) {
        authentication_fail(stream, &sasl2_profile, SASL_INVALID_MECHANISM); /* B11 */
    } else if (!may_use_token(negotiation)) {
        authentication_fail(stream, &sasl2_profile, SASL_MALFORMED_REQUEST);
    } else {
        authentication_step(stream, data, has_data);
    }
}

void sasl2_handle_authenticate(struct stream *stream, const struct xml_element *element)
{
    if (authentication_has_failed_too_often(stream)) {
        stream_fail(stream, STREAM_ERROR_POLICY_VIOLATION, STR_NULL); /* B17 */
    } else {
        begin(stream, element);
    }
}

void sasl2_handle_response(struct stream *stream, const struct xml_element *element)
{
    if (element->child_count > 0) {
        authentication_fail(stream, &sasl2_profile, SASL_MALFORMED_REQUEST);
    } else {
        authentication_step(stream, str_trim(element->text), true);
    }
}

void sasl2_handle_abort(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    authentication_fail(stream, &sasl2_profile, SASL_ABORTED); /* B18 */
}

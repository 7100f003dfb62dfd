/* SASL, RFC 6120 §6: what is offered, and the elements around an exchange. */
#include "chassis/base/encoding.h"
#include "edge/authentication.h"
#include "edge/feature/features.h"
#include "edge/negotiation.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

/* ---- what is offered */

/* XEP-0440 §3. */
static void advertise_bindings(const struct negotiation *negotiation, struct buf *out)
{
    if (!negotiation->is_plus_offered) {
        return;
    }
    xml_open(out, "sasl-channel-binding", NS_SASL_CB);
    xml_end_open(out);
    for (size_t i = 0; i < negotiation->binding_count; i++) {
        xml_open(out, "channel-binding", NULL);
        xml_attr(out, "type", str_from_cstr(negotiation->bindings[i].name));
        xml_end_empty(out);
    }
    xml_close(out, "sasl-channel-binding");
}

static void advertise(struct stream *stream, struct buf *out)
{
    bool is_negotiating =
            stream->state == STREAM_NEGOTIATE_PLAIN || stream->state == STREAM_NEGOTIATE_SECURED;
    if (!is_negotiating || !authentication_is_allowed(stream)) {
        return;
    }
    struct negotiation *negotiation = stream->negotiation;
    authentication_find_bindings(stream);
    negotiation->is_plus_offered = false;
    xml_open(out, "mechanisms", NS_SASL);
    xml_end_open(out);
    for (const struct sasl_mechanism *m = sasl_mechanisms; m->name; m++) {
        if (!m->token && authentication_offers(stream, m)) {
            xml_text_element(out, "mechanism", NULL, str_from_cstr(m->name));
            negotiation->is_plus_offered |= m->is_plus;
        }
    }
    xml_close(out, "mechanisms");
    advertise_bindings(negotiation, out);
}

const struct stream_feature feature_sasl = { .name = "sasl", .advertise = advertise };

/* ---- the exchange */

static void on_success(struct stream *stream, struct str data)
{
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "success", NS_SASL);
    if (str_is_empty(data)) {
        xml_end_empty(&out);
    } else {
        xml_end_open(&out);
        base64_encode(&out, data);
        xml_close(&out, "success");
    }
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
    stream_restart(stream, STREAM_HEADER_AUTHENTICATED);
}

static const struct sasl_profile profile = { .ns = NS_SASL, .on_success = on_success };

/* RFC 6120 §6.4.2: nothing is no data, "=" is empty data. */
static void step(struct stream *stream, const struct xml_element *element)
{
    bool is_empty_data = str_equal(element->text, STR("="));
    if (element->child_count > 0) {
        authentication_fail(stream, &profile, SASL_MALFORMED_REQUEST);
    } else {
        bool has_data = !str_is_empty(element->text);
        authentication_step(stream, is_empty_data ? STR_NULL : element->text, has_data);
    }
}

void sasl_handle_auth(struct stream *stream, const struct xml_element *element)
{
    if (authentication_has_failed_too_often(stream)) {
        stream_fail(stream, STREAM_ERROR_POLICY_VIOLATION, STR_NULL); /* B17 */
        return;
    }
    authentication_end(stream); /* a second <auth/> gives up the first */
    negotiation_forget_sasl2(stream->negotiation);
    if (!authentication_is_allowed(stream)) {
        authentication_fail(stream, &profile, SASL_ENCRYPTION_REQUIRED); /* B03 */
    } else if (!authentication_start(
                       stream, &profile, xml_element_attribute(element, STR("mechanism")))) {
        authentication_fail(stream, &profile, SASL_INVALID_MECHANISM); /* B11 */
    } else {
        step(stream, element);
    }
}

void sasl_handle_response(struct stream *stream, const struct xml_element *element)
{
    if (!stream->negotiation->exchange) {
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* B12 */
        return;
    }
    step(stream, element);
}

void sasl_handle_abort(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    authentication_fail(stream, &profile, SASL_ABORTED); /* B18 */
}

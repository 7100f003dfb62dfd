/* Fast Authentication Streamlining Tokens, XEP-0484 0.2.0: what is offered, and how a token is
 * told. Tokens are made and judged by routers (router/auth_token.c). No 0-RTT: TLS early data is
 * off. */
#include "edge/feature/sasl2.h"
#include "edge/sasl2_request.h"
#include "edge/stream.h"
#include "proto/xmpp/datetime.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

void fast_advertise(const struct stream *stream, struct buf *out)
{
    bool is_open = false;
    for (const struct sasl_mechanism *m = sasl_mechanisms; m->name; m++) {
        if (!m->token || !authentication_offers(stream, m)) {
            continue;
        }
        if (!is_open) {
            xml_open(out, "fast", NS_FAST);
            xml_end_open(out);
            is_open = true;
        }
        xml_text_element(out, "mechanism", NULL, str_from_cstr(m->name));
    }
    if (is_open) {
        xml_close(out, "fast");
    }
}

void fast_write_token(const struct sasl2_request *request, struct buf *out)
{
    if (request->token.len == 0) {
        return;
    }
    char expiry[DATETIME_SIZE];
    datetime_format(request->token_expires_s * 1000000, expiry);
    xml_open(out, "token", NS_FAST);
    xml_attr(out, "expiry", str_from_cstr(expiry));
    xml_attr(out, "token", buf_view(&request->token));
    xml_end_empty(out);
}

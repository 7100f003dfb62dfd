/* STARTTLS, RFC 6120 §5. */
#include "edge/feature/features.h"
#include "edge/stream.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

static bool is_offered(const struct stream *stream)
{
    return stream->state == STREAM_NEGOTIATE_PLAIN && stream->edge->tls != NULL;
}

static void advertise(struct stream *stream, struct buf *out)
{
    if (!is_offered(stream)) {
        return;
    }
    xml_open(out, "starttls", NS_TLS);
    if (stream->host->tls_required) {
        xml_end_open(out);
        buf_append_literal(out, "<required/></starttls>");
    } else {
        xml_end_empty(out);
    }
}

const struct stream_feature feature_starttls = { .name = "starttls", .advertise = advertise };

/* RFC 6120 §5.4.2.2: failure, end of the stream, close (B02). */
void starttls_refuse(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    stream_write(stream, STR("<failure xmlns='" NS_TLS "'/>"));
    stream_close(stream);
}

void starttls_begin(struct stream *stream, const struct xml_element *element)
{
    if (!is_offered(stream)) {
        starttls_refuse(stream, element);
        return;
    }
    stream_write(stream, STR("<proceed xmlns='" NS_TLS "'/>"));
    /* The rest of the same segment must not be parsed: whoever sits on the line could have put it
     * there (B01); the transport refuses to go on if there is any. */
    stream_pause(stream, PAUSE_TLS);
    stream_set_state(stream, STREAM_TLS_HANDSHAKE);
    if (transport_start_tls(stream->transport, stream->edge->tls) != ERR_OK) {
        stream_drop(stream);
    }
}

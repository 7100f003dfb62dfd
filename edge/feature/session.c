/* The session feature of RFC 3921 §3, kept for old clients: establishing one does nothing
 * (stanza_input.c answers it). */
#include "edge/feature/features.h"
#include "edge/stream.h"
#include "proto/xmpp/ns.h"

static void advertise(struct stream *stream, struct buf *out)
{
    if (stream->state == STREAM_BIND) {
        buf_append_literal(out, "<session xmlns='" NS_SESSION "'><optional/></session>");
    }
}

const struct stream_feature feature_session = { .name = "session", .advertise = advertise };

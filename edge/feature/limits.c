/* Stream limits, XEP-0478 0.2. No idle-seconds: nothing ends a stream because it is idle. */
#include "edge/feature/features.h"
#include "edge/stream.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

static void advertise(struct stream *stream, struct buf *out)
{
    const struct c2s_settings *c2s = stream->edge->settings->c2s;
    bool is_authenticated = stream->state == STREAM_BIND || stream->state == STREAM_SESSION;
    int64_t max_bytes = is_authenticated ? c2s->max_stanza_bytes : c2s->preauth_max_stanza_bytes;
    xml_open(out, "limits", NS_STREAM_LIMITS);
    xml_end_open(out);
    buf_printf(out, "<max-bytes>%lld</max-bytes>", (long long)max_bytes);
    xml_close(out, "limits");
}

const struct stream_feature feature_limits = { .name = "limits", .advertise = advertise };

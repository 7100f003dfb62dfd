/* What the routers do for rosters, said to clients: versions (RFC 6121 §2.6.1) and pre-approval
 * (§3.4.1). */
#include "edge/feature/features.h"
#include "edge/stream.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

static void advertise(struct stream *stream, struct buf *out)
{
    if (stream->state != STREAM_BIND) {
        return;
    }
    xml_open(out, "ver", NS_ROSTER_VERSIONING);
    xml_end_empty(out);
    xml_open(out, "sub", NS_PRE_APPROVAL);
    xml_end_empty(out);
}

const struct stream_feature feature_roster = { .name = "roster", .advertise = advertise };

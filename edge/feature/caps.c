/* Entity capabilities of the host, XEP-0115 1.6.0 (§6.3) and XEP-0390 0.3.2 (§5.2): who is logged
 * in need not ask for disco#info again when it is as it was. */
#include "edge/edge.h"
#include "edge/feature/features.h"
#include "edge/host_caps.h"
#include "edge/stream.h"

static void advertise(struct stream *stream, struct buf *out)
{
    bool is_authenticated = stream->state == STREAM_BIND || stream->state == STREAM_SESSION;
    const struct caps_hashes *hashes =
            is_authenticated ? host_caps_find(stream->edge->host_caps, stream->host->domain) : NULL;
    if (hashes) {
        caps_write_announced(out, hashes);
    }
}

const struct stream_feature feature_caps = { .name = "caps", .advertise = advertise };

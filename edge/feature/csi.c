/* Client state indication, XEP-0352: the router that numbers the deliveries holds back what may
 * wait; the edge passes on what the client says. */
#include "edge/feature/features.h"
#include "edge/session.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/ns.h"

bool csi_is_offered(const struct stream *stream)
{
    return stream->edge->settings->c2s->client_state;
}

static void advertise(struct stream *stream, struct buf *out)
{
    bool is_time = stream->state == STREAM_BIND || stream->state == STREAM_SESSION;
    if (is_time && csi_is_offered(stream)) {
        buf_append_literal(out, "<csi xmlns='" NS_CSI "'/>");
    }
}

const struct stream_feature feature_csi = { .name = "csi", .advertise = advertise };

/* Only the newest state is kept, and each one counts: while it waits for a router the client is not
 * read. Else active and inactive in one stall would flush nothing there (XEP-0352 §5.1). */
static void tell(struct stream *stream, bool is_inactive)
{
    struct session *session = stream->session;
    bool is_heard = csi_is_offered(stream) || !is_inactive;
    if (is_heard && session->is_inactive != is_inactive) {
        session->is_inactive = is_inactive;
        session->is_state_due = true;
        uplink_pump(stream->edge->uplink, session);
        stream_window_changed(stream);
    }
}

void csi_handle_active(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    tell(stream, false);
}

void csi_handle_inactive(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    tell(stream, true);
}

/* Client state indication, XEP-0352: the router that numbers the deliveries holds back what may
 * wait; the edge passes on what the client says. */
#include "edge/feature/features.h"
#include "edge/session.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/ns.h"

static void advertise(struct stream *stream, struct buf *out)
{
    if (stream->state == STREAM_BIND || stream->state == STREAM_SESSION) {
        buf_append_literal(out, "<csi xmlns='" NS_CSI "'/>");
    }
}

const struct stream_feature feature_csi = { .name = "csi", .advertise = advertise };

static void tell(struct stream *stream, bool is_inactive)
{
    struct session *session = stream->session;
    if (session->is_inactive != is_inactive) {
        session->is_inactive = is_inactive;
        session->is_state_due = true;
        uplink_pump(stream->edge->uplink, session);
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

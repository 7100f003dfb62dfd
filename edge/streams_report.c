/* All streams as a JSON array. */
#include "edge/streams_report.h"

#include "chassis/base/encoding.h"
#include "chassis/http_server.h"
#include "edge/edge.h"
#include "edge/negotiation.h"
#include "edge/session.h"
#include "edge/sm.h"
#include "edge/stream.h"
#include "proto/xmpp/datetime.h"

static void write_member(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, ",\"%s\":", name);
    json_encode_string(out, value);
}

static void write_tls(struct buf *out, const struct stream *stream)
{
    struct transport_info info = { 0 };
    transport_get_info(stream->transport, &info);
    if (!info.is_secure) {
        return;
    }
    write_member(out, "tls", str_from_cstr(info.tls_version));
    write_member(out, "cipher", str_from_cstr(info.cipher));
    write_member(out, "group", str_from_cstr(info.group));
    write_member(out, "certificate", str_from_cstr(info.certificate));
    write_member(out, "sni", str_from_cstr(info.sni));
    buf_printf(out, ",\"resumed\":%s", info.is_resumed ? "true" : "false");
}

static void write_sm(struct buf *out, const struct session *session)
{
    const struct sm *sm = session->sm;
    if (!session_has_sm(session)) {
        return;
    }
    buf_printf(out,
            ",\"sm\":{\"resumable\":%s,\"attach\":%lu,\"h_in\":%lu,\"h_out\":%lu,\"unacked\":%lu}",
            sm->may_resume ? "true" : "false",
            (unsigned long)sm->attach,
            (unsigned long)(uint32_t)(session->handled - sm->counter_base),
            (unsigned long)(uint32_t)(sm->acked - sm->sequence_base),
            (unsigned long)sm_unacked(sm));
}

static struct str jid_of(const struct stream *stream)
{
    if (stream->session) {
        return stream->session->full;
    }
    return str_from_cstr(stream->negotiation ? stream->negotiation->bare : NULL);
}

static void write_stream(struct buf *out, const struct stream *stream)
{
    char since[DATETIME_SIZE];
    datetime_format(stream->connected_wall_us, since);
    buf_append_literal(out, "{\"node\":");
    json_encode_string(out, str_from_cstr(stream->edge->node));
    write_member(out, "kind", str_from_cstr(listener_kind_name(stream->kind)));
    write_member(out, "jid", jid_of(stream));
    write_member(out, "host", stream->host ? stream->host->domain : STR_NULL);
    write_member(out, "peer", str_from_cstr(stream->address.text));
    write_member(out, "state", str_from_cstr(stream_state_name(stream->state)));
    write_member(out, "since", str_from_cstr(since));
    write_member(out, "mechanism", str_from_cstr(stream->mechanism));
    write_member(out, "channel_binding", str_from_cstr(stream->binding));
    write_tls(out, stream);
    if (stream->session) {
        buf_printf(out, ",\"unhandled\":%u", (unsigned)stream->session->inputs.count);
        write_sm(out, stream->session);
    }
    buf_append_char(out, '}');
}

static void answer_streams(
        void *context, const struct http_request *request, struct http_response *response)
{
    (void)request;
    const struct edge *edge = context;
    buf_append_char(&response->body, '[');
    for (const struct stream *stream = edge->streams; stream; stream = stream->next) {
        if (stream != edge->streams) {
            buf_append_literal(&response->body, ",\n");
        }
        write_stream(&response->body, stream);
    }
    buf_append_literal(&response->body, "]\n");
}

void streams_report_route(struct edge *edge)
{
    http_server_route(
            service_http(edge->service), "GET", "/v1/streams", true, answer_streams, edge);
}

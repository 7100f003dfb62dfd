/* Stanzas of a bound client on their way to its router. */
#include "edge/session_stream.h"

#include "chassis/base/arena.h"
#include "edge/session.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"
#include "edge/uplink.h"
#include "proto/xmpp/jid.h"

static struct str domain_of(struct str bare)
{
    struct jid jid;
    return jid_split(bare, &jid) == ERR_OK ? jid.domain : bare;
}

/* RFC 6120 §8.3.1: the answer comes from whom the stanza was for, or from the server. */
static void answer(struct stream *stream, const struct input_result *result)
{
    const struct session *session = stream->session;
    bool is_error = result->stanza_error != STANZA_ERROR_NONE;
    struct stanza reply;
    stanza_init_reply(&reply, &result->stanza, is_error ? STANZA_TYPE_ERROR : STANZA_TYPE_RESULT);
    reply.to = session->full;
    if (str_is_empty(reply.from)) {
        reply.from = domain_of(session->bare);
    }
    struct buf children;
    struct buf out;
    buf_init(&children, 0);
    buf_init(&out, 0);
    if (is_error) {
        const struct stanza_error error = { .condition = result->stanza_error };
        stanza_error_write(&children, &error);
        reply.children = buf_view(&children);
    }
    stanza_write(&out, &reply);
    stream_write(stream, buf_view(&out));
    stream_metrics_stanza(reply.kind, false);
    buf_fini(&children);
    buf_fini(&out);
}

static void forward(struct stream *stream, const struct stanza *stanza)
{
    struct session *session = stream->session;
    session_push_input(stream->edge->sessions, session, stanza);
    uplink_pump(stream->edge->uplink, session);
    stream_window_changed(stream);
}

void session_stanza(struct stream *stream, const struct xml_element *element)
{
    const struct input_identity identity = {
        .full = stream->session->full,
        .bare = stream->session->bare,
        .lang = str_from_cstr(stream->lang),
    };
    struct input_result result;
    struct arena arena;
    arena_init(&arena, 1024);
    stanza_input_check(&arena, &identity, element, &result);
    if (result.verdict != INPUT_FAIL) {
        stream_metrics_stanza(result.stanza.kind, true);
    }
    switch (result.verdict) {
    case INPUT_FORWARD: forward(stream, &result.stanza); break;
    case INPUT_ANSWER: answer(stream, &result); break;
    case INPUT_FAIL: stream_fail(stream, result.stream_error, STR_NULL); break;
    case INPUT_IGNORE: break;
    }
    arena_fini(&arena);
}

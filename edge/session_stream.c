/* Stanzas of a bound client or a component on their way to its router. */
#include "edge/session_stream.h"

#include "chassis/base/arena.h"
#include "edge/session.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"
#include "edge/uplink.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"

static struct str domain_of(struct str bare)
{
    struct jid jid;
    return jid_split(bare, &jid) == ERR_OK ? jid.domain : bare;
}

static void pump(struct stream *stream)
{
    uplink_pump(stream->edge->uplink, stream->session);
    stream_window_changed(stream);
}

static void forward(struct stream *stream, const struct stanza *stanza)
{
    session_push_input(stream->edge->sessions, stream->session, stanza);
    pump(stream);
}

/* What the edge says itself has no number. With stream management the answer takes the place of the
 * stanza it answers, so that both sides count it: its router delivers it back. */
static void send_reply(struct stream *stream, const struct stanza *reply)
{
    if (session_has_sm(stream->session)) {
        session_push_answer(stream->edge->sessions, stream->session, reply);
        pump(stream);
        return;
    }
    struct buf out;
    buf_init(&out, 0);
    stanza_write(&out, reply);
    stream_write(stream, buf_view(&out));
    stream_metrics_stanza(reply->kind, false);
    buf_fini(&out);
}

/* The client has counted it, so it must be handled: as an answer nobody waits for. */
static void ignore(struct stream *stream)
{
    const struct session *session = stream->session;
    if (session_has_sm(session)) {
        const struct stanza nothing = {
            .kind = STANZA_IQ,
            .type = STANZA_TYPE_RESULT,
            .id = STR("ignored"),
            .from = session->full,
            .to = session->bare,
        };
        forward(stream, &nothing);
    }
}

/* Who answers (RFC 6120 §8.3.1): whom the stanza was for, which is the account itself without a
 * `to` (§10.3). What cannot be read is nobody's, so the server says it. */
static struct str answerer(const struct session *session, const struct input_result *result)
{
    if (!str_is_empty(result->stanza.to)) {
        return result->stanza.to;
    }
    return result->stanza_error == STANZA_ERROR_JID_MALFORMED ? domain_of(session->bare)
                                                              : session->bare;
}

static void answer(struct stream *stream, const struct input_result *result)
{
    bool is_error = result->stanza_error != STANZA_ERROR_NONE;
    struct stanza reply;
    stanza_init_reply(&reply, &result->stanza, is_error ? STANZA_TYPE_ERROR : STANZA_TYPE_RESULT);
    reply.from = answerer(stream->session, result);
    struct buf children;
    buf_init(&children, 0);
    if (is_error) {
        const struct stanza_error error = { .condition = result->stanza_error };
        stanza_error_write(&children, &error);
        reply.flags = STANZA_HAS_ERROR;
        reply.payload_ns = STR(NS_CLIENT);
        reply.payload_name = STR("error");
        reply.child_count = 1;
        reply.children = buf_view(&children);
    }
    send_reply(stream, &reply);
    buf_fini(&children);
}

static void check(const struct stream *stream,
        struct arena *arena,
        const struct xml_element *element,
        struct input_result *result_out)
{
    if (stream_is_component(stream)) {
        stanza_input_check_component(arena, stream->session->bare, element, result_out);
        return;
    }
    const struct input_identity identity = {
        .full = stream->session->full,
        .bare = stream->session->bare,
        .lang = str_from_cstr(stream->lang),
    };
    stanza_input_check(arena, &identity, element, result_out);
}

void session_stanza(struct stream *stream, const struct xml_element *element)
{
    struct input_result result;
    struct arena arena;
    arena_init(&arena, 1024);
    check(stream, &arena, element, &result);
    if (result.verdict != INPUT_FAIL) {
        stream_metrics_stanza(result.stanza.kind, true);
    }
    switch (result.verdict) {
    case INPUT_FORWARD: forward(stream, &result.stanza); break;
    case INPUT_ANSWER: answer(stream, &result); break;
    case INPUT_FAIL: stream_fail(stream, result.stream_error, STR_NULL); break;
    case INPUT_IGNORE: ignore(stream); break;
    }
    arena_fini(&arena);
}

/* IQ results and errors of a stream that has no full JID yet. */
#include "edge/iq_answer.h"

#include "edge/stream.h"

static void write_iq(
        struct stream *stream, struct str id, enum stanza_type type, struct str children)
{
    const struct stanza stanza = {
        .kind = STANZA_IQ,
        .type = type,
        .id = id,
        .from = stream->host->domain,
        .children = children,
    };
    struct buf out;
    buf_init(&out, 0);
    stanza_write(&out, &stanza);
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

void iq_answer_result(struct stream *stream, struct str id, struct str children)
{
    write_iq(stream, id, STANZA_TYPE_RESULT, children);
}

void iq_answer_error(struct stream *stream, struct str id, const struct stanza_error *error)
{
    struct buf children;
    buf_init(&children, 0);
    stanza_error_write(&children, error);
    write_iq(stream, id, STANZA_TYPE_ERROR, buf_view(&children));
    buf_fini(&children);
}

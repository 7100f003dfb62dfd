/* Stream headers: the client's is checked, ours is written (RFC 6120 §4.7). */
#pragma once

#include "proto/xmpp/stream_error.h"
#include "proto/xmpp/xml_reader.h"

struct stream;

/* Checks the client's header and takes host, language and from of the first one; a later one must
 * agree with it (A34). STREAM_ERROR_NONE: accepted. */
enum stream_condition stream_header_check(
        struct stream *stream, const struct xml_stream_header *header);
/* Writes ours. `header` NULL: the client has not sent one yet, an error follows (RFC 6120
 * §4.9.1). */
void stream_header_write(struct stream *stream, const struct xml_stream_header *header);

/* What a stream does with stanzas once it has a session. */
#pragma once

struct stream;
struct xml_element;

/* The step of stream_states.c for message, presence and iq: checks and stamps, forwards or answers
 * locally, in order. */
void session_stanza(struct stream *stream, const struct xml_element *element);

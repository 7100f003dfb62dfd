/* Answers of the edge itself to an IQ: before a resource is bound, and for stanzas that are wrong
 * by themselves. */
#pragma once

#include "chassis/base/str.h"
#include "proto/xmpp/stanza_error.h"

struct stream;

/* `children` is canonical XML of a result, or "" . */
void iq_answer_result(struct stream *stream, struct str id, struct str children);
void iq_answer_error(struct stream *stream, struct str id, const struct stanza_error *error);

/* <stream:features/>: the ordered list of what a stream offers. */
#pragma once

struct stream;

/* Writes the features of the state the stream is in (RFC 6120 §4.3.2). */
void stream_features_write(struct stream *stream);

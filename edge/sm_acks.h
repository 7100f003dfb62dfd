/* When acknowledgements are asked for and given on a stream with stream management (XEP-0198 §4):
 * our <r/> after some stanzas or some quiet, the client's <r/> answered as soon as routers have
 * answered for what came before it. Uses the stream's one timer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct session;
struct stream;

/* A numbered stanza was written. */
void sm_acks_written(struct stream *stream);
/* <a/> of the client; with `is_news` it acknowledges more than before. */
void sm_acks_heard(struct stream *stream, bool is_news);
/* <r/> of the client. */
void sm_acks_asked(struct stream *stream);
/* The client is read again: its <a/> may have waited in our kernel all the time. */
void sm_acks_read_again(struct stream *stream);
/* Routers have answered for inputs. */
void sm_acks_handled(struct stream *stream);

/* For the stream's timer. The session has stream management on. */
int64_t sm_acks_next_due_ms(const struct stream *stream);  /* 0: nothing */
void sm_acks_check(struct stream *stream, int64_t now_ms); /* may end the stream */

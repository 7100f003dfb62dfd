/* The parts of one <authenticate/> (XEP-0388), spread over the files of this folder. */
#pragma once

#include "chassis/base/buf.h"
#include "chassis/base/str.h"
#include "edge/authentication.h"
#include "proto/xmpp/stanza_error.h"

struct stream;

extern const struct sasl_profile sasl2_profile;

/* All tasks are done: what was asked for inline happens, then <success/>. */
void sasl2_complete(struct stream *stream);
/* <success/> with `identifier` and `inner` behind it; the request is over. */
void sasl2_write_success(struct stream *stream, struct str identifier, struct str inner);
/* The identity was right, and yet there is no session. `condition` NONE: nothing more to say. */
void sasl2_fail_late(struct stream *stream, enum stanza_condition condition);

/* What comes of a <resume/> inside (sm.c): `xml` is <resumed/>, or <failed/>: then a resource is
 * bound. */
void sasl2_resumed(struct stream *stream, struct str full, struct str xml);
void sasl2_resume_failed(struct stream *stream, struct str xml);

/* bind2.c */
void bind2_advertise(const struct stream *stream, struct buf *out);
void bind2_ask(struct stream *stream);

/* sasl2_tasks.c, XEP-0480 */
void sasl2_tasks_advertise(const struct stream *stream, struct buf *out);
/* False: none is left. */
bool sasl2_tasks_next(struct stream *stream);

/* fast.c, XEP-0484 */
void fast_advertise(const struct stream *stream, struct buf *out);
struct sasl2_request;
void fast_write_token(const struct sasl2_request *request, struct buf *out);

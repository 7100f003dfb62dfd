/* Stream management (XEP-0198) and client state (XEP-0352) of an entity's sessions: what the files
 * of router/entity ask of each other. Internal. */
#pragma once

#include "router/entity/entity.h"
#include "router/entity/sm_session.h"

/* ---- sm.c: of resources with stream management (resource->sm) */
/* Numbers from the next stanza on; the caller writes the record. */
void sm_begin(struct entity *entity, struct resource *resource, bool may_resume, uint32_t max_s);
void sm_resume_id(const struct entity *entity, const struct sm_session *sm, struct buf *out);
void sm_handle_enable(struct entity *entity, const struct item *item);
void sm_finish_enable(struct entity *entity, struct resource *resource);
void sm_handle_acked(struct entity *entity, const struct item *item);
/* Numbers it, keeps it, and sends it when an edge holds the stream. */
void sm_send(struct entity *entity,
        struct resource *resource,
        const struct stanza *stanza,
        int64_t log_id);
/* Numbers and keeps it, for a caller who sends it together with others: the number, or 0 when it is
 * not to be sent now. */
uint32_t sm_number(struct entity *entity, struct resource *resource, const struct stanza *stanza);
/* What comes behind `sequence` is to be sent, whether it was or not. */
void sm_rewind(struct sm_session *sm, uint32_t sequence);
/* It was not: egress_deliver said `err`. */
void sm_not_sent(struct entity *entity, struct resource *resource, uint32_t sequence, enum err err);
/* The newest ones of these sessions are the same stanza, which no log has: when one of them ends,
 * the others have it. */
void sm_share_newest(struct entity *entity, const struct id128 *sessions, size_t count);
/* As much as may be on the way to the client. */
void sm_flush(struct entity *entity, struct resource *resource);
void sm_flush_all(struct entity *entity);
void sm_confirm_later(struct entity *entity, const struct resource *resource, int64_t log_id);
void sm_ack(struct entity *entity, struct resource *resource, uint32_t sequence);
bool sm_is_numbered(const struct entity *entity, struct id128 session, int64_t log_id);
/* The stream is gone: the session waits to be resumed. */
void sm_detach(struct entity *entity, struct resource *resource);
void sm_attach(struct entity *entity, struct resource *resource);
void sm_resume_timer(struct entity *entity, struct resource *resource);
/* A former home detached it at `since_ms` of our clock. */
void sm_restore_detached(struct entity *entity, struct resource *resource, int64_t since_ms);
void sm_await_announce(struct entity *entity, struct resource *resource);
/* Its edge says that it is off: what was numbered never left. */
void sm_end_management(struct entity *entity, struct resource *resource);
void sm_end(struct entity *entity, struct resource *resource);
void sm_end_over(struct entity *entity, struct resource *resource); /* the client owes acks */

/* The numbers cannot go on: ended as soon as nobody iterates. */
void sm_give_up(struct entity *entity, struct resource *resource, enum stream_condition condition);

/* ---- sm_announce.c */
/* False: the session has moved on, that edge was told so. */
bool sm_may_announce(struct entity *entity, struct resource *resource, const struct item *item);
void sm_announce(struct entity *entity, struct resource *resource, const struct item *item);

/* ---- sm_spool.c */
void sm_spool_init(struct sm_session *sm);
void sm_spool_open(struct entity *entity);
void sm_spool_push(
        struct entity *entity, const struct resource *resource, const struct sm_entry *entry);
void sm_spool_acked(struct entity *entity, struct resource *resource);
void sm_spool_rewrite(struct entity *entity, struct resource *resource);
/* Once, when it is known where the stream is: what a former home may have written behind our back
 * is gone. */
void sm_spool_inherit(struct entity *entity, struct resource *resource);
void sm_spool_close(struct entity *entity, const struct resource *resource);
/* `done` when it was read or could not be; not at all when the entity has gone on meanwhile. */
void sm_spool_load(
        struct entity *entity, struct resource *resource, void (*done)(struct entity *entity));

/* ---- sm_fill.c: reads the content of entries a former home has numbered */
void sm_fill(struct entity *entity, int64_t log_id);
void sm_cancel_fill(struct entity *entity);

/* ---- csi.c */
void csi_handle_state(struct entity *entity, const struct item *item);
/* True: it waits until the client is active again, or gets something that matters. */
bool csi_hold_back(struct entity *entity,
        struct resource *resource,
        const struct stanza *stanza,
        int64_t log_id);

/* ---- sm_resume.c */
void sm_handle_resume(struct entity *entity, const struct item *item);
void sm_finish_resume(struct entity *entity, struct resource *resource);
void sm_refuse_resume(struct entity *entity, struct resource *resource); /* the session ends */
/* To a <resume/> that failed while inputs were at work, if there was one: they are decided. */
void sm_answer_failed(struct entity *entity, struct resource *resource);
void sm_cancel_resume(struct entity *entity, struct resource *resource); /* its edge is gone */

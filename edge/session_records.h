/* What an edge tells the home of a session about it, packed for the bus. Pure. */
#pragma once

struct buf;
struct session;

/* Each appends one record. */
void session_record_announce(struct buf *record, const struct session *session);
void session_record_close(struct buf *record, const struct session *session);
void session_record_client_state(struct buf *record, const struct session *session);
/* The session has stream management on (acked), or wants it (enable). */
void session_record_acked(struct buf *record, const struct session *session);
void session_record_enable(struct buf *record, const struct session *session);

/* An account's cursor over its message log: live delivery, offline delivery and recovery after a
 * takeover as one mechanism (DESIGN 3.4). Pure: reading and sending are done by its owner.
 *
 * Committed entries above the watermark are *tracked* (sent to sessions, not confirmed), *done*
 * (confirmed, but the watermark waits for an older one) or belong to the *backlog*, which is read
 * from the log page by page while a session is there to take it. New entries join the backlog while
 * there is one, so order holds. Neighbours that are done are one run, so there are no more runs
 * than other entries; done ones hold nobody up. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/id128.h"
#include "proto/wire/wire.h"
#include "proto/xmpp/stanza.h"

#define ACCOUNT_LOG_MAX_TARGETS 64 /* sessions one entry is sent to */
#define ACCOUNT_LOG_NOBODY      SIZE_MAX
#define ACCOUNT_LOG_MAX_TRACKED                                       \
    2048 /* sent and unconfirmed; the rest waits in the log (C20, P7) \
          */
#define ACCOUNT_LOG_MAX_DONE \
    16384 /* confirmed while an older one is not: sessions remember their numbers meanwhile */

struct account_log_send {
    const struct stanza *stanza;
    int64_t id;
    bool is_replay;
    const struct id128 *except; /* they have it, or it is on the way to them */
    size_t except_count;
};

enum account_log_audience {
    ACCOUNT_LOG_NO_SESSION, /* none would take messages to the bare JID */
    ACCOUNT_LOG_AWAY,       /* what they are sent is kept for them: their clients are not there */
    ACCOUNT_LOG_LIVE,
};

struct account_log_ops {
    enum account_log_audience (*audience)(void *context);
    /* Its client is there and may confirm. */
    bool (*is_live)(void *context, struct id128 session);
    /* Reads the next page behind `after_id`; the answer comes with account_log_on_page, never from
     * inside. */
    void (*read)(void *context, int64_t after_id);
    void (*cancel_read)(void *context);
    /* Sends to whom RFC 6121 §8 names now, but for `except`; returns how many sessions took it. 0:
     * it waits; ACCOUNT_LOG_NOBODY: it is for nobody any more, later neither. */
    size_t (*deliver)(
            void *context, const struct account_log_send *send, struct id128 *targets_out);
    void (*watermark)(void *context, int64_t id);
};

struct tracked;

struct account_log {
    const struct account_log_ops *ops;
    void *context;
    int64_t last_id; /* newest id given to an entry */
    int64_t watermark;
    struct tracked *head; /* by id */
    struct tracked *tail;
    size_t tracked_count; /* sent and unconfirmed */
    size_t done_count;    /* entries in runs of done ones */
    size_t page_pending;  /* entries of pages the next one waits for */
    size_t page_size;     /* of the last page */
    bool has_backlog;
    int64_t backlog_after; /* everything in the backlog is newer than this */
    int64_t backlog_until; /* newest entry known to be in it */
    bool is_reading;
    bool is_replaying;  /* a page is being sent */
    int64_t read_until; /* backlog_until when the read was sent */
    /* Above the watermark and not done, those that wait for their commit included (C34). */
    struct account_log_size {
        int64_t entries;
        int64_t bytes;
    } waiting, uncommitted;
};

void account_log_init(struct account_log *log, const struct account_log_ops *ops, void *context);
void account_log_fini(struct account_log *log);
/* After activation: what is above the watermark is backlog, but for what is known as done. */
void account_log_open(struct account_log *log, int64_t last_id, int64_t watermark);

/* What the log says is above the watermark. Exact while the account stays here, but for entries
 * that retention removes, and those a former home knew as done: they count until the backlog has
 * been read. */
void account_log_set_waiting(struct account_log *log, int64_t entries, int64_t bytes);
/* An entry more stays within so many, 0: any number, and within ACCOUNT_LOG_MAX_DONE. */
bool account_log_has_room(
        const struct account_log *log, size_t bytes, int64_t max_entries, int64_t max_bytes);
/* An entry goes to its commit; it comes back as committed, or withdrawn. */
void account_log_on_appended(struct account_log *log, size_t bytes);
void account_log_on_withdrawn(struct account_log *log, size_t bytes);

/* The id of a new entry: time-ordered and unique, whatever the clock does. */
int64_t account_log_next_id(struct account_log *log, int64_t wall_us);
/* In order of ids. Delivers now or leaves it to the backlog. */
void account_log_on_committed(struct account_log *log, int64_t id, const struct stanza *stanza);
void account_log_on_delivered(struct account_log *log, struct id128 session, int64_t id);
/* The session takes nothing any more: what only it was sent goes to others, or waits. */
void account_log_on_session_end(struct account_log *log, struct id128 session);
/* `page` NULL: the read failed; account_log_poke tries again. */
void account_log_on_page(struct account_log *log, const Wire__LogReadReply *page);
/* A new session takes messages to the bare JID: it gets what nobody has confirmed yet, too. Should
 * the sessions those were sent to turn out dead, order has been kept (P3). */
void account_log_on_eligible(struct account_log *log);
/* A client has come back to its session, or has left it. */
void account_log_on_link(struct account_log *log);
/* A failed read or delivery may work now. */
void account_log_poke(struct account_log *log);
bool account_log_is_quiet(
        const struct account_log *log); /* nothing sent and unconfirmed, no read */

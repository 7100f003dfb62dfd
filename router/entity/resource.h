/* A session of an account: where it is, whether it is available, and which of its inputs are done.
 * Part of an entity. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/id128.h"
#include "chassis/base/str.h"

/* An input that was taken and is not answered for yet. */
struct input_work {
    struct input_work *next;
    uint32_t counter;
    unsigned pending;    /* parts not yet decided */
    unsigned unappended; /* parts whose entry is not even in a commit group */
    bool is_durable;
    bool was_answered; /* a part came back to the client as an error that waits for no commit */
};

/* <enable/>, until the inputs before it are decided: so our h begins at 0 and not below. */
struct enable_request {
    bool is_open;
    bool may_resume;
    uint32_t max_s;
    uint64_t request;
};

struct csi_buffer;
struct sm_session;

struct resource {
    struct resource *next;
    struct id128 session;
    char *edge; /* node name */
    char *full_text;
    struct str full;
    struct str name; /* the resourcepart, view into full */
    bool is_available;
    int8_t priority;
    bool is_interested;    /* asked for the roster: gets its pushes (RFC 6121 §2.2) */
    bool has_caught_up;    /* was told to the log as a target */
    bool is_lost;          /* its edge is away: to be ended as soon as nobody iterates */
    bool is_closing;       /* the stream is gone; only its inputs are still at work */
    bool has_blocklist;    /* asked for it: hears of changes (XEP-0191) */
    bool has_carbons;      /* wants copies of the account's messages (XEP-0280) */
    bool is_told;          /* bound here, or its edge has announced it here */
    int64_t moved_ms;      /* when it came from another home, and was announced or resumed here
                              last; 0: it was bound here */
    struct sm_session *sm; /* NULL: stream management is off */
    struct enable_request enable;
    bool owes_close_reply;
    uint32_t close_attach;  /* of the Close that is owed a reply */
    struct csi_buffer *csi; /* not NULL: its client is inactive */
    char *presence_text;    /* children of the last available presence */
    struct str presence;
    uint32_t presence_child_count;
    bool is_initialised;     /* its initial presence was worked off (RFC 6121 §4.2) */
    bool is_adopted;         /* what is known of its availability is hearsay of its edge */
    bool is_presence_stored; /* Redis has what the record has no room for */
    struct buf directed;     /* addresses it sent presence to, each with a NUL behind it (§4.6) */
    size_t directed_count;

    /* Input counters wrap: compared by counter_is_after only. */
    uint32_t taken;           /* last one taken */
    uint32_t handled;         /* everything up to it is done */
    uint32_t handled_sent;    /* what the edge was told */
    uint32_t last_durable;    /* newest durable one within handled */
    uint32_t input_asked;     /* given to commit_input */
    uint32_t input_committed; /* decided */
    bool is_counted;          /* the counters mean something: they are compared from now on */
    bool input_is_stored;     /* the log knows this session: it has to forget it, too */
    struct input_work *works;
    struct input_work **works_end;
};

/* A session that came from another home was announced or resumed here. */
void resource_repeats_from(struct resource *resource, int64_t now_ms);
/* What came in at `posted_ms` may have been taken by a former home. */
bool resource_may_repeat(const struct resource *resource, int64_t posted_ms);

static inline bool counter_is_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* What is known of `handled` may be older than the point where h began to count: at least `base`.
 * So few are missing then that no session wraps by it. */
static inline uint32_t counter_at_least(uint32_t handled, uint32_t base)
{
    return base - handled < (1U << 20) ? base : handled;
}

/* Edges repeat at once what they were not answered for, and clients when they have resumed; links
 * may be full meanwhile. */
#define RESOURCE_REPEATS_MS 30000

enum resource_take {
    RESOURCE_TAKEN,
    RESOURCE_IN_WORK,  /* a repeat of what is at work: nothing to do */
    RESOURCE_REPEATED, /* a repeat of what is handled: say so again (F05) */
    RESOURCE_GAP,      /* something before it is missing: the edge will repeat from there */
};

struct resource *resource_create(
        struct id128 session, const char *edge, struct str bare, struct str name);
void resource_destroy(struct resource *resource); /* accepts NULL */
void resource_set_edge(struct resource *resource, const char *edge);
void resource_set_presence(struct resource *resource, struct str children, uint32_t child_count);
/* Addresses of directed presence: prepared, each once. */
bool resource_has_directed(const struct resource *resource, struct str to);
void resource_add_directed(struct resource *resource, struct str to);
void resource_remove_directed(struct resource *resource, struct str to);
void resource_clear_directed(struct resource *resource);
/* The one behind `to` (NULL: the first one); false: there is none. */
bool resource_next_directed(const struct resource *resource, struct str *to);

/* Everything up to `handled` is known to be done (announce, log). */
void resource_set_handled(struct resource *resource, uint32_t handled);
/* What was known of the counters was hearsay: `handled` is the truth. Nothing may be at work. */
void resource_reset_handled(struct resource *resource, uint32_t handled);
/* Everything taken is decided, and what had to be committed is. */
bool resource_is_settled(const struct resource *resource);

enum resource_take resource_take_input(struct resource *resource, uint32_t counter);
/* NULL: not at work. */
struct input_work *resource_find_work(struct resource *resource, uint32_t counter);
/* Moves `handled` over what is done without a gap. */
void resource_advance(struct resource *resource);
/* The counter to commit now: a durable input is done, or its entry waits in the group of this turn,
 * and it was not asked for yet. False: nothing to commit. */
bool resource_next_commit(const struct resource *resource, uint32_t *counter_out);
/* `handled` may be told to the edge and is news. */
bool resource_may_tell_handled(const struct resource *resource);
bool resource_is_eligible(
        const struct resource *resource); /* gets messages to the bare JID (RFC 6121 §8.5.2.1.1) */

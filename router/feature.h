/* What a feature is: one file, one const struct, one line in features.c. disco#info, IQ dispatch
 * and the printed table of specifications derive from it. Handlers borrow the stanza, change
 * nothing outside their entity, do no I/O, and add effects to the turn. */
#pragma once

#include <stdbool.h>

#include "proto/xmpp/ns.h"
#include "router/turn.h"

struct buf;

enum iq_types {
    IQ_GET = 1 << 0,
    IQ_SET = 1 << 1,
};

enum iq_targets {
    TO_HOST = 1 << 0,
    TO_ACCOUNT =
            1 << 1, /* the bare JID, asked by its own sessions: a stranger learns nothing (C09) */
    TO_ACCOUNT_BY_OTHERS = 1 << 2, /* the bare JID, asked by anybody else */
    /* Who has no account here, a component (XEP-0114): nothing that acts for an account, or looks
     * at one. */
    TO_HOST_BY_OTHERS = 1 << 3,
};

struct feature_spec {
    const char *name;    /* "XEP-0199" */
    const char *version; /* "2.0.1" */
};

struct feature_iq {
    unsigned types;
    unsigned targets;
    const char *ns;
    const char *name;
    enum verdict (*handle)(struct turn *turn, const struct iq *iq);
};

#define FEATURE_MAX_SPECS     4
#define FEATURE_MAX_ADVERTISE 8
#define FEATURE_MAX_IQ        8

/* An ad-hoc command of the host (XEP-0050): at most one form is asked for. */
struct command;
struct feature_command {
    const char *node;
    const char *name;
    bool (*may_run)(const struct turn *turn);
    void (*write_form)(struct buf *xml); /* NULL: runs at once */
    enum verdict (*run)(struct turn *turn, const struct command *command);
};

struct feature {
    const char *name;
    struct feature_spec specs[FEATURE_MAX_SPECS];
    const char *advertises[FEATURE_MAX_ADVERTISE];         /* disco#info of the host */
    const char *advertises_account[FEATURE_MAX_ADVERTISE]; /* disco#info of an account */
    struct feature_iq iq[FEATURE_MAX_IQ];
    const struct feature_command *commands; /* NULL, or ends without a node */
    /* NULL: always; else whether the host offers the feature at all (disco and IQs). */
    bool (*is_enabled)(const struct settings *settings, const struct host *host);
    /* Adds elements to disco#info of the host (XEP-0128). */
    void (*write_host_info)(const struct turn *turn, struct buf *xml);
    /* turn->session, a session of this entity, sent turn->stanza. */
    enum verdict (*on_outbound)(struct turn *turn);
    /* turn->stanza reached this entity, from anywhere. */
    enum verdict (*on_inbound)(struct turn *turn);
    void (*on_session_open)(struct turn *turn, struct resource *session);
    /* The session is no target any more, but its fields are still there. */
    void (*on_session_close)(struct turn *turn, struct resource *session);
    void (*on_account_removed)(struct turn *turn);
    /* The account has blocked an address or lets it in again (XEP-0191 §3.3, §3.4). */
    void (*on_block_changed)(struct turn *turn,
            struct str jid,
            bool is_blocked,
            const struct element *item); /* of the request, may carry more; may be NULL */
};

/* THE list, NULL-terminated, in order of processing. */
extern const struct feature *const features[];

/* NULL: no such command. */
const struct feature_command *feature_find_command(struct str node);
void feature_tell_block_changed(
        struct turn *turn, struct str jid, bool is_blocked, const struct element *item);
bool feature_is_enabled(const struct feature *feature, const struct turn *turn);

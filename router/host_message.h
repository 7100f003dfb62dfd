/* Messages from a host to its users: welcome, warnings, notices to administrators, announcements.
 */
#pragma once

#include "proto/xmpp/stanza.h"
#include "router/egress.h"

struct router;

struct host_message {
    struct str host;
    struct str to;      /* bare, of an account served here */
    struct str subject; /* "": none */
    struct str body;
    enum stanza_type type; /* NORMAL: kept in the log; HEADLINE: only for who is there */
    struct origin origin;  /* the same one recognises a repeat */
};

/* Everything is copied. `done` (may be NULL for a HEADLINE) hears ERR_OK when the recipient's home
 * has decided about it, which may mean that it did not take it; ERR_DENIED: it certainly was not
 * written, and a repeat with this origin will not be; else it may be sent again. It may be called
 * from inside. */
void host_message_send(struct router *router,
        const struct host_message *message,
        egress_route_done done,
        void *context);

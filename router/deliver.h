/* Where a stanza for a local account goes: RFC 6121 §8 as one table of cases. Pure. */
#pragma once

#include <stdbool.h>

#include "proto/xmpp/stanza.h"

enum deliver_address {
    DELIVER_TO_BARE,
    DELIVER_TO_MATCH,    /* full JID of a connected resource */
    DELIVER_TO_NO_MATCH, /* full JID, but no such resource */
};

enum deliver_state {
    DELIVER_NO_ACCOUNT,
    DELIVER_OFFLINE, /* no available resource with non-negative priority */
    DELIVER_ONLINE,
};

enum deliver_action {
    DELIVER_IGNORE,
    DELIVER_ERROR,         /* service-unavailable */
    DELIVER_ONE,           /* to the resource that matches */
    DELIVER_ALL,           /* to every available resource with non-negative priority */
    DELIVER_ALL_AVAILABLE, /* to every available resource */
    DELIVER_STORE,         /* keep it for the next login */
    DELIVER_ACCOUNT,       /* the server answers for the account */
};

/* STORE is answered only for durable stanzas; what cannot be kept gets what a nonexistent account
 * answers (C08). */
enum deliver_action deliver_decide(
        const struct stanza *stanza, enum deliver_address address, enum deliver_state state);

/* The states of two subscriptions and what a subscription stanza does to them: RFC 6121 Appendix A
 * with pre-approval (§3.4). Pure. */
#pragma once

#include <stdbool.h>

#include "proto/xmpp/stanza.h"

struct subscription_step {
    unsigned flags;      /* enum roster_flag, as they are afterwards */
    bool is_passed_on;   /* outbound: to the contact's home; inbound: to the account's sessions */
    bool is_auto_answer; /* inbound: `subscribed` goes back without asking anybody */
};

/* `type` is one of subscribe, subscribed, unsubscribe, unsubscribed. */
struct subscription_step subscription_outbound(unsigned flags, enum stanza_type type); /* A.2 */
struct subscription_step subscription_inbound(unsigned flags, enum stanza_type type);  /* A.3 */

/* Clients see a difference: a push is due (never for what waits for an answer, §3.1.3). */
bool subscription_is_visible(unsigned before, unsigned after);

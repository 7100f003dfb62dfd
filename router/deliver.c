/* RFC 6121 §8.5 as a table: class of stanza x form of address x state of the account. */
#include "router/deliver.h"

enum deliver_class {
    CLASS_CHAT, /* message of type chat, normal or none */
    CLASS_GROUPCHAT,
    CLASS_HEADLINE,
    CLASS_MESSAGE_ERROR,
    CLASS_PRESENCE,     /* available, unavailable */
    CLASS_SUBSCRIPTION, /* subscribe(d), unsubscribe(d), probe */
    CLASS_PRESENCE_ERROR,
    CLASS_REQUEST, /* iq get, set */
    CLASS_REPLY,   /* iq result, error */
    CLASS_COUNT,
};

/* clang-format off */
#define IGNORE    DELIVER_IGNORE
#define ERROR     DELIVER_ERROR
#define ONE       DELIVER_ONE
#define ALL       DELIVER_ALL
#define AVAILABLE DELIVER_ALL_AVAILABLE
#define STORE     DELIVER_STORE
#define ACCOUNT   DELIVER_ACCOUNT

/* Where RFC 6121 leaves a choice:
 * - chat and normal to a bare JID go to all resources, not to "the most available" one (§8.5.2.1.1): every client shows the
 *   whole conversation; a full JID that is gone is treated as the bare one, so nothing is lost on a reconnect. For chat §8.5.3.2.1
 *   says so; for normal it asks for an error or silence, but what was accepted for a session must not end with it (P1), and clients
 *   send receipts and markers as normal messages;
 * - presence probes and subscriptions of strangers are ignored like those to nobody (§8.5.1, C09);
 * - with no account, a request or message gets service-unavailable (§8.5.1), the text an account without storage gives. */
static const enum deliver_action actions[CLASS_COUNT][3][3] = {
                             /* bare:  none    offline  online     match: none   offline online   no match: none  offline online */
    [CLASS_CHAT]           = { { ERROR,  STORE,   ALL       }, { ERROR,  ONE, ONE }, { ERROR,  STORE,  ALL    } },
    [CLASS_GROUPCHAT]      = { { ERROR,  ERROR,   ERROR     }, { ERROR,  ONE, ONE }, { ERROR,  ERROR,  ERROR  } },
    [CLASS_HEADLINE]       = { { IGNORE, IGNORE,  ALL       }, { IGNORE, ONE, ONE }, { IGNORE, IGNORE, IGNORE } },
    [CLASS_MESSAGE_ERROR]  = { { IGNORE, IGNORE,  IGNORE    }, { IGNORE, ONE, ONE }, { IGNORE, IGNORE, IGNORE } },
    [CLASS_PRESENCE]       = { { IGNORE, AVAILABLE, AVAILABLE }, { IGNORE, ONE, ONE }, { IGNORE, IGNORE, IGNORE } },
    [CLASS_SUBSCRIPTION]   = { { IGNORE, IGNORE,  IGNORE    }, { IGNORE, IGNORE, IGNORE }, { IGNORE, IGNORE, IGNORE } },
    [CLASS_PRESENCE_ERROR] = { { IGNORE, IGNORE,  IGNORE    }, { IGNORE, ONE, ONE }, { IGNORE, IGNORE, IGNORE } },
    [CLASS_REQUEST]        = { { ERROR,  ACCOUNT, ACCOUNT   }, { ERROR,  ONE, ONE }, { ERROR,  ERROR,  ERROR  } },
    [CLASS_REPLY]          = { { IGNORE, IGNORE,  IGNORE    }, { IGNORE, ONE, ONE }, { IGNORE, IGNORE, IGNORE } },
};
/* clang-format on */

static enum deliver_class class_of_message(enum stanza_type type)
{
    switch ((int)type) {
    case STANZA_TYPE_GROUPCHAT: return CLASS_GROUPCHAT;
    case STANZA_TYPE_HEADLINE: return CLASS_HEADLINE;
    case STANZA_TYPE_ERROR: return CLASS_MESSAGE_ERROR;
    default: return CLASS_CHAT;
    }
}

static enum deliver_class class_of_presence(enum stanza_type type)
{
    switch ((int)type) {
    case STANZA_TYPE_NONE:
    case STANZA_TYPE_UNAVAILABLE: return CLASS_PRESENCE;
    case STANZA_TYPE_ERROR: return CLASS_PRESENCE_ERROR;
    default: return CLASS_SUBSCRIPTION;
    }
}

static enum deliver_class class_of(const struct stanza *stanza)
{
    switch (stanza->kind) {
    case STANZA_MESSAGE: return class_of_message(stanza->type);
    case STANZA_PRESENCE: return class_of_presence(stanza->type);
    case STANZA_IQ: break;
    }
    bool is_request = stanza->type == STANZA_TYPE_GET || stanza->type == STANZA_TYPE_SET;
    return is_request ? CLASS_REQUEST : CLASS_REPLY;
}

enum deliver_action deliver_decide(
        const struct stanza *stanza, enum deliver_address address, enum deliver_state state)
{
    enum deliver_action action = actions[class_of(stanza)][address][state];
    bool is_kept = action == DELIVER_STORE && stanza_is_durable(stanza);
    if (stanza->kind == STANZA_MESSAGE && (action == DELIVER_STORE || action == DELIVER_ERROR)
            && !is_kept) {
        /* Typing notices are worth neither keeping nor an error each (XEP-0160 §3), account or not.
         */
        return stanza->flags & STANZA_CHAT_STATE_ONLY ? DELIVER_IGNORE : DELIVER_ERROR;
    }
    return action;
}

/* One table: child element -> flag. */
#include "proto/xmpp/stanza_flags.h"

#include "proto/xmpp/ns.h"
#include "proto/xmpp/stanza.h"

/* Marks beside the flags of enum stanza_flag: what a chat-state-only message may hold. */
enum child_role {
    ROLE_CONTENT = 0,
    ROLE_CHAT_STATE,
    ROLE_NEUTRAL,
};

struct child_entry {
    struct str ns;   /* "": the content namespace */
    struct str name; /* "": any */
    uint32_t flag;
    enum child_role role;
};

/* clang-format off */
#define CHILD(ns, name, flag, role) { { ns, sizeof(ns) - 1 }, { name, sizeof(name) - 1 }, flag, role }
static const struct child_entry CHILDREN[] = {
    CHILD("",               "body",               STANZA_HAS_BODY,                ROLE_CONTENT),
    CHILD("",               "subject",            STANZA_HAS_SUBJECT,             ROLE_CONTENT),
    CHILD("",               "error",              STANZA_HAS_ERROR,               ROLE_CONTENT),
    CHILD("",               "thread",             0,                              ROLE_NEUTRAL),
    CHILD(NS_CHAT_STATES,   "",                   STANZA_IM_PAYLOAD,              ROLE_CHAT_STATE),
    CHILD(NS_HINTS,         "store",              STANZA_HINT_STORE,              ROLE_NEUTRAL),
    CHILD(NS_HINTS,         "no-store",           STANZA_HINT_NO_STORE,           ROLE_NEUTRAL),
    CHILD(NS_HINTS,         "no-permanent-store", STANZA_HINT_NO_PERMANENT_STORE, ROLE_NEUTRAL),
    CHILD(NS_HINTS,         "no-copy",            STANZA_HINT_NO_COPY,            ROLE_NEUTRAL),
    CHILD(NS_RECEIPTS,      "request",            STANZA_IM_PAYLOAD,              ROLE_CONTENT),
    CHILD(NS_RECEIPTS,      "received",           STANZA_HAS_RECEIPT,             ROLE_CONTENT),
    CHILD(NS_CHAT_MARKERS,  "markable",           STANZA_IM_PAYLOAD,              ROLE_CONTENT),
    CHILD(NS_CHAT_MARKERS,  "received",           STANZA_HAS_RECEIPT,             ROLE_CONTENT),
    CHILD(NS_CHAT_MARKERS,  "displayed",          STANZA_HAS_RECEIPT,             ROLE_CONTENT),
    CHILD(NS_CHAT_MARKERS,  "acknowledged",       STANZA_HAS_RECEIPT,             ROLE_CONTENT),
    CHILD(NS_EME,           "encryption",         STANZA_ENCRYPTED,               ROLE_CONTENT),
    CHILD(NS_OMEMO_LEGACY,  "encrypted",          STANZA_ENCRYPTED,               ROLE_CONTENT),
    CHILD(NS_OMEMO,         "encrypted",          STANZA_ENCRYPTED,               ROLE_CONTENT),
    CHILD(NS_OPENPGP,       "openpgp",            STANZA_ENCRYPTED,               ROLE_CONTENT),
    CHILD(NS_PGP_LEGACY,    "x",                  STANZA_ENCRYPTED,               ROLE_CONTENT),
    CHILD(NS_MUC_USER,      "x",                  STANZA_MUC_USER,                ROLE_CONTENT),
    CHILD(NS_CONFERENCE,    "x",                  STANZA_HAS_INVITE,              ROLE_CONTENT),
    CHILD(NS_CARBONS,       "private",            STANZA_CARBON_PRIVATE,          ROLE_NEUTRAL),
};
/* clang-format on */

static const struct child_entry *find_entry(struct str ns, struct str name)
{
    for (size_t i = 0; i < sizeof CHILDREN / sizeof CHILDREN[0]; i++) {
        const struct child_entry *entry = &CHILDREN[i];
        if (str_equal(ns, entry->ns) && (entry->name.len == 0 || str_equal(name, entry->name))) {
            return entry;
        }
    }
    return NULL;
}

void stanza_flags_add(
        struct stanza_flags *seen, struct str content_ns, struct str ns, struct str name)
{
    const struct child_entry *entry = NULL;
    if (str_equal(ns, content_ns)) {
        entry = find_entry(STR(""), name);
    } else if (ns.len > 0) {
        entry = find_entry(ns, name);
    }
    enum child_role role = entry != NULL ? entry->role : ROLE_CONTENT;
    seen->flags |= entry != NULL ? entry->flag : 0;
    seen->has_chat_state = seen->has_chat_state || role == ROLE_CHAT_STATE;
    seen->has_content = seen->has_content || role == ROLE_CONTENT;
}

uint32_t stanza_flags_get(const struct stanza_flags *seen)
{
    bool is_state_only = seen->has_chat_state && !seen->has_content;
    return seen->flags | (is_state_only ? (uint32_t)STANZA_CHAT_STATE_ONLY : 0);
}

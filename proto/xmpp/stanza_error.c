/* Stanza errors as RFC 6120 §8.3.3 lists them, with the error type it recommends for each. */
#include "proto/xmpp/stanza_error.h"

#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

struct condition_entry {
    const char *name;
    const char *type;
};

/* clang-format off */
static const struct condition_entry CONDITIONS[] = {
    [STANZA_ERROR_NONE]                    = { "",                        "" },
    [STANZA_ERROR_BAD_REQUEST]             = { "bad-request",             "modify" },
    [STANZA_ERROR_CONFLICT]                = { "conflict",                "cancel" },
    [STANZA_ERROR_FEATURE_NOT_IMPLEMENTED] = { "feature-not-implemented", "cancel" },
    [STANZA_ERROR_FORBIDDEN]               = { "forbidden",               "auth" },
    [STANZA_ERROR_GONE]                    = { "gone",                    "cancel" },
    /* RFC 6120 §8.3.3.7 says cancel; ours are always worth a second try (G01). */
    [STANZA_ERROR_INTERNAL_SERVER_ERROR]   = { "internal-server-error",   "wait" },
    [STANZA_ERROR_ITEM_NOT_FOUND]          = { "item-not-found",          "cancel" },
    [STANZA_ERROR_JID_MALFORMED]           = { "jid-malformed",           "modify" },
    [STANZA_ERROR_NOT_ACCEPTABLE]          = { "not-acceptable",          "modify" },
    [STANZA_ERROR_NOT_ALLOWED]             = { "not-allowed",             "cancel" },
    [STANZA_ERROR_NOT_AUTHORIZED]          = { "not-authorized",          "auth" },
    [STANZA_ERROR_POLICY_VIOLATION]        = { "policy-violation",        "modify" },
    [STANZA_ERROR_RECIPIENT_UNAVAILABLE]   = { "recipient-unavailable",   "wait" },
    [STANZA_ERROR_REDIRECT]                = { "redirect",                "modify" },
    [STANZA_ERROR_REGISTRATION_REQUIRED]   = { "registration-required",   "auth" },
    [STANZA_ERROR_REMOTE_SERVER_NOT_FOUND] = { "remote-server-not-found", "cancel" },
    [STANZA_ERROR_REMOTE_SERVER_TIMEOUT]   = { "remote-server-timeout",   "wait" },
    [STANZA_ERROR_RESOURCE_CONSTRAINT]     = { "resource-constraint",     "wait" },
    [STANZA_ERROR_SERVICE_UNAVAILABLE]     = { "service-unavailable",     "cancel" },
    [STANZA_ERROR_SUBSCRIPTION_REQUIRED]   = { "subscription-required",   "auth" },
    [STANZA_ERROR_UNDEFINED_CONDITION]     = { "undefined-condition",     "cancel" },
    [STANZA_ERROR_UNEXPECTED_REQUEST]      = { "unexpected-request",      "wait" },
};
/* clang-format on */

static const struct condition_entry *find_entry(enum stanza_condition condition)
{
    size_t count = sizeof CONDITIONS / sizeof CONDITIONS[0];
    return &CONDITIONS[(size_t)condition < count ? condition : STANZA_ERROR_UNDEFINED_CONDITION];
}

const char *stanza_condition_name(enum stanza_condition condition)
{
    return find_entry(condition)->name;
}

const char *stanza_condition_type(enum stanza_condition condition)
{
    return find_entry(condition)->type;
}

void stanza_error_write(struct buf *out, const struct stanza_error *error)
{
    const char *type = error->type ? error->type : stanza_condition_type(error->condition);
    xml_open(out, "error", NULL);
    xml_attr(out, "type", str_from_cstr(type));
    xml_end_open(out);
    xml_open(out, stanza_condition_name(error->condition), NS_STANZAS_ERROR);
    xml_end_empty(out);
    if (error->text.len > 0) {
        xml_open(out, "text", NS_STANZAS_ERROR);
        xml_attr(out, "xml:lang", STR("en")); /* RFC 6120 §8.3.2: text SHOULD have a language */
        xml_end_open(out);
        xml_text(out, error->text);
        xml_close(out, "text");
    }
    buf_append_str(out, error->extra_xml);
    xml_close(out, "error");
}

bool stanza_may_be_answered_with_error(const struct stanza *stanza)
{
    return stanza->type != STANZA_TYPE_ERROR && stanza->type != STANZA_TYPE_RESULT;
}

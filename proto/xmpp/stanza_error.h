/* Stanza errors (RFC 6120 §8.3) as values. */
#pragma once

#include "chassis/base/buf.h"
#include "proto/xmpp/stanza.h"

enum stanza_condition {
    STANZA_ERROR_NONE = 0,
    STANZA_ERROR_BAD_REQUEST,
    STANZA_ERROR_CONFLICT,
    STANZA_ERROR_FEATURE_NOT_IMPLEMENTED,
    STANZA_ERROR_FORBIDDEN,
    STANZA_ERROR_GONE,
    STANZA_ERROR_INTERNAL_SERVER_ERROR, /* type wait here: retryable (G01) */
    STANZA_ERROR_ITEM_NOT_FOUND,
    STANZA_ERROR_JID_MALFORMED,
    STANZA_ERROR_NOT_ACCEPTABLE,
    STANZA_ERROR_NOT_ALLOWED,
    STANZA_ERROR_NOT_AUTHORIZED,
    STANZA_ERROR_POLICY_VIOLATION,
    STANZA_ERROR_RECIPIENT_UNAVAILABLE,
    STANZA_ERROR_REDIRECT,
    STANZA_ERROR_REGISTRATION_REQUIRED,
    STANZA_ERROR_REMOTE_SERVER_NOT_FOUND,
    STANZA_ERROR_REMOTE_SERVER_TIMEOUT,
    STANZA_ERROR_RESOURCE_CONSTRAINT,
    STANZA_ERROR_SERVICE_UNAVAILABLE,
    STANZA_ERROR_SUBSCRIPTION_REQUIRED,
    STANZA_ERROR_UNDEFINED_CONDITION,
    STANZA_ERROR_UNEXPECTED_REQUEST,
};

struct stanza_error {
    enum stanza_condition condition;
    struct str text;      /* "" : none; English */
    struct str extra_xml; /* application condition as canonical XML, "" : none */
    const char *type;     /* where a specification asks for another one; NULL: as RFC 6120 does */
};

const char *stanza_condition_name(enum stanza_condition condition); /* "item-not-found" */
const char *stanza_condition_type(enum stanza_condition
                condition); /* "cancel", "modify", "auth", "wait" as RFC 6120 recommends */
void stanza_error_write(
        struct buf *out, const struct stanza_error *error); /* <error type=...>...</error> */
/* An error must never answer an error, an IQ result, or (C07) anything of type error. */
bool stanza_may_be_answered_with_error(const struct stanza *stanza);

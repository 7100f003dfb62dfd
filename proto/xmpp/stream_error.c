/* Stream errors (RFC 6120 §4.9.3) and SASL failures (RFC 6120 §6.5). */
#include "proto/xmpp/stream_error.h"

#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

static const char *const STREAM_CONDITIONS[STREAM_CONDITION_COUNT] = {
    [STREAM_ERROR_NONE] = "",
    [STREAM_ERROR_BAD_FORMAT] = "bad-format",
    [STREAM_ERROR_BAD_NAMESPACE_PREFIX] = "bad-namespace-prefix",
    [STREAM_ERROR_CONFLICT] = "conflict",
    [STREAM_ERROR_CONNECTION_TIMEOUT] = "connection-timeout",
    [STREAM_ERROR_HOST_GONE] = "host-gone",
    [STREAM_ERROR_HOST_UNKNOWN] = "host-unknown",
    [STREAM_ERROR_IMPROPER_ADDRESSING] = "improper-addressing",
    [STREAM_ERROR_INTERNAL_SERVER_ERROR] = "internal-server-error",
    [STREAM_ERROR_INVALID_FROM] = "invalid-from",
    [STREAM_ERROR_INVALID_NAMESPACE] = "invalid-namespace",
    [STREAM_ERROR_INVALID_XML] = "invalid-xml",
    [STREAM_ERROR_NOT_AUTHORIZED] = "not-authorized",
    [STREAM_ERROR_NOT_WELL_FORMED] = "not-well-formed",
    [STREAM_ERROR_POLICY_VIOLATION] = "policy-violation",
    [STREAM_ERROR_REMOTE_CONNECTION_FAILED] = "remote-connection-failed",
    [STREAM_ERROR_RESET] = "reset",
    [STREAM_ERROR_RESOURCE_CONSTRAINT] = "resource-constraint",
    [STREAM_ERROR_RESTRICTED_XML] = "restricted-xml",
    [STREAM_ERROR_SEE_OTHER_HOST] = "see-other-host",
    [STREAM_ERROR_SYSTEM_SHUTDOWN] = "system-shutdown",
    [STREAM_ERROR_UNDEFINED_CONDITION] = "undefined-condition",
    [STREAM_ERROR_UNSUPPORTED_ENCODING] = "unsupported-encoding",
    [STREAM_ERROR_UNSUPPORTED_FEATURE] = "unsupported-feature",
    [STREAM_ERROR_UNSUPPORTED_STANZA_TYPE] = "unsupported-stanza-type",
    [STREAM_ERROR_UNSUPPORTED_VERSION] = "unsupported-version",
};

static const char *const SASL_CONDITIONS[SASL_CONDITION_COUNT] = {
    [SASL_OK] = "",
    [SASL_ABORTED] = "aborted",
    [SASL_ACCOUNT_DISABLED] = "account-disabled",
    [SASL_CREDENTIALS_EXPIRED] = "credentials-expired",
    [SASL_ENCRYPTION_REQUIRED] = "encryption-required",
    [SASL_INCORRECT_ENCODING] = "incorrect-encoding",
    [SASL_INVALID_AUTHZID] = "invalid-authzid",
    [SASL_INVALID_MECHANISM] = "invalid-mechanism",
    [SASL_MALFORMED_REQUEST] = "malformed-request",
    [SASL_MECHANISM_TOO_WEAK] = "mechanism-too-weak",
    [SASL_NOT_AUTHORIZED] = "not-authorized",
    [SASL_TEMPORARY_AUTH_FAILURE] = "temporary-auth-failure",
};

const char *stream_condition_name(enum stream_condition condition)
{
    return (size_t)condition < STREAM_CONDITION_COUNT ? STREAM_CONDITIONS[condition]
                                                      : "undefined-condition";
}

void stream_error_write(struct buf *out, enum stream_condition condition, struct str text)
{
    buf_append_literal(out, "<stream:error>");
    xml_open(out, stream_condition_name(condition), NS_STREAMS_ERROR);
    xml_end_empty(out);
    if (text.len > 0) {
        xml_open(out, "text", NS_STREAMS_ERROR);
        xml_attr(out, "xml:lang", STR("en"));
        xml_end_open(out);
        xml_text(out, text);
        xml_close(out, "text");
    }
    buf_append_literal(out, "</stream:error>");
}

const char *sasl_condition_name(enum sasl_condition condition)
{
    return (size_t)condition < SASL_CONDITION_COUNT ? SASL_CONDITIONS[condition]
                                                    : "temporary-auth-failure";
}

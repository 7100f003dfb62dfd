/* PLAIN, RFC 4616: message = [authzid] NUL authcid NUL passwd. */
#include "edge/sasl/exchange.h"
#include "proto/xmpp/precis.h"

static bool is_part(struct str part, size_t max_bytes)
{
    return part.len > 0 && part.len <= max_bytes && str_is_utf8(part);
}

static enum sasl_condition take_password(struct sasl_exchange *exchange, struct str password)
{
    struct str prepared = STR_NULL;
    /* A password outside of OpaqueString was never set, so it is wrong. */
    if (precis_opaque_string(&exchange->arena, password, &prepared) != ERR_OK) {
        return SASL_NOT_AUTHORIZED;
    }
    exchange->password =
            prepared.ptr == password.ptr ? str_dup(&exchange->arena, prepared) : prepared;
    return SASL_OK;
}

enum sasl_next plain_step(struct sasl_exchange *exchange, struct str data)
{
    struct str password = data;
    struct str authzid = str_cut(&password, '\0');
    struct str authcid = str_cut(&password, '\0');
    /* B12: a third NUL would be part of the password, which RFC 4616 §2 forbids. */
    if (!is_part(authcid, SASL_MAX_NAME_BYTES) || !is_part(password, SASL_MAX_PASSWORD_BYTES)
            || authzid.len > SASL_MAX_NAME_BYTES || !str_is_utf8(authzid)
            || str_find_char(password, '\0') < password.len) {
        return sasl_fail(exchange, SASL_MALFORMED_REQUEST);
    }
    enum sasl_condition condition = sasl_take_user(exchange, authcid);
    if (condition == SASL_OK) {
        condition = sasl_check_authzid(exchange, authzid);
    }
    if (condition == SASL_OK) {
        condition = take_password(exchange, password);
    }
    if (condition != SASL_OK) {
        return sasl_fail(exchange, condition);
    }
    exchange->state = SASL_STATE_VERIFY;
    return SASL_NEXT_PLAIN;
}

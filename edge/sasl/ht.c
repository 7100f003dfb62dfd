/* Hashed tokens (XEP-0484): message = authcid NUL proof. The router has the token. */
#include "edge/sasl/exchange.h"

static const struct sasl_binding *find_binding(const struct sasl_exchange *exchange)
{
    struct str name = str_from_cstr(ht_binding_name(exchange->mechanism->token));
    for (size_t i = 0; i < exchange->binding_count; i++) {
        if (str_equal(name, str_from_cstr(exchange->bindings[i].name))) {
            return &exchange->bindings[i];
        }
    }
    return NULL;
}

enum sasl_next ht_step(struct sasl_exchange *exchange, struct str data)
{
    struct str proof = data;
    struct str name = str_cut(&proof, '\0'); /* the proof may contain further NULs */
    if (name.len == 0 || name.len > SASL_MAX_NAME_BYTES || !str_is_utf8(name)
            || proof.len != HT_PROOF_BYTES) {
        return sasl_fail(exchange, SASL_MALFORMED_REQUEST);
    }
    enum sasl_condition condition = sasl_take_user(exchange, name);
    if (condition != SASL_OK) {
        return sasl_fail(exchange, condition);
    }
    exchange->binding = find_binding(exchange);
    exchange->proof = str_dup(&exchange->arena, proof);
    exchange->state = SASL_STATE_VERIFY;
    return SASL_NEXT_TOKEN;
}

/* The states all mechanisms share, and who the user is. */
#include "edge/sasl/mechanism.h"

#include "chassis/base/mem.h"
#include "edge/sasl/exchange.h"
#include "proto/xmpp/jid.h"

/* clang-format off */
const struct sasl_mechanism sasl_mechanisms[] = {
    { "SCRAM-SHA-512-PLUS", DIGEST_SHA512, true,  true,  HT_ABSENT },
    { "SCRAM-SHA-256-PLUS", DIGEST_SHA256, true,  true,  HT_ABSENT },
    { "SCRAM-SHA-1-PLUS",   DIGEST_SHA1,   true,  true,  HT_ABSENT },
    { "SCRAM-SHA-512",      DIGEST_SHA512, true,  false, HT_ABSENT },
    { "SCRAM-SHA-256",      DIGEST_SHA256, true,  false, HT_ABSENT },
    { "SCRAM-SHA-1",        DIGEST_SHA1,   true,  false, HT_ABSENT },
    { "PLAIN",              DIGEST_SHA256, false, false, HT_ABSENT },
    { "HT-SHA-256-EXPR",    DIGEST_SHA256, false, false, HT_SHA_256_EXPR },
    { "HT-SHA-256-ENDP",    DIGEST_SHA256, false, false, HT_SHA_256_ENDP },
    { "HT-SHA-256-NONE",    DIGEST_SHA256, false, false, HT_SHA_256_NONE },
    { NULL,                 DIGEST_SHA256, false, false, HT_ABSENT },
};
/* clang-format on */

const struct sasl_mechanism *sasl_mechanism_find(struct str name)
{
    for (const struct sasl_mechanism *at = sasl_mechanisms; at->name != NULL; at++) {
        if (str_equal(name, str_from_cstr(at->name))) {
            return at;
        }
    }
    return NULL;
}

/* ---- life */

struct sasl_exchange *sasl_exchange_create(
        const struct sasl_mechanism *mechanism, const struct sasl_environment *environment)
{
    struct sasl_exchange *exchange = MEM_NEW(struct sasl_exchange);
    exchange->mechanism = mechanism;
    arena_init(&exchange->arena, 0);
    exchange->host = str_dup(&exchange->arena, environment->host);
    exchange->binding_count = environment->binding_count;
    exchange->bindings = arena_calloc(
            &exchange->arena, (exchange->binding_count + 1) * sizeof(exchange->bindings[0]));
    for (size_t i = 0; i < exchange->binding_count; i++) {
        exchange->bindings[i] = environment->bindings[i];
    }
    exchange->plus_was_offered = environment->plus_was_offered;
    exchange->advertised = str_dup(&exchange->arena, environment->advertised);
    return exchange;
}

/* The views point into the arena, which is ours to change. */
static void wipe(struct str secret)
{
    char *writable = NULL;
    memcpy(&writable, &secret.ptr, sizeof(writable));
    if (secret.len > 0) {
        secret_wipe(writable, secret.len);
    }
}

void sasl_exchange_destroy(struct sasl_exchange *exchange)
{
    if (exchange == NULL) {
        return;
    }
    wipe(exchange->password);
    wipe(exchange->proof);
    arena_fini(&exchange->arena);
    free(exchange);
}

/* ---- steps */

enum sasl_next sasl_fail(struct sasl_exchange *exchange, enum sasl_condition condition)
{
    exchange->state = SASL_STATE_OVER;
    exchange->failure = condition;
    return SASL_NEXT_FAILURE;
}

static enum sasl_next first_step(struct sasl_exchange *exchange, struct str data, bool has_data)
{
    if (!has_data) {
        return SASL_NEXT_CHALLENGE; /* RFC 4422 §5.1: these mechanisms are client-first */
    }
    if (exchange->mechanism->token) {
        return ht_step(exchange, data);
    }
    return exchange->mechanism->is_scram ? scram_client_first(exchange, data)
                                         : plain_step(exchange, data);
}

enum sasl_next sasl_exchange_step(
        struct sasl_exchange *exchange, struct str data, bool has_data, struct buf *out)
{
    (void)out; /* an empty challenge is all a step sends by itself */
    switch (exchange->state) {
    case SASL_STATE_START: return first_step(exchange, data, has_data);
    case SASL_STATE_FINAL: return scram_client_final(exchange, data);
    case SASL_STATE_LOOKUP:
    case SASL_STATE_VERIFY:
    case SASL_STATE_OVER: break; /* the client did not wait for its turn */
    }
    return sasl_fail(exchange, SASL_MALFORMED_REQUEST);
}

enum sasl_next sasl_exchange_lookup(struct sasl_exchange *exchange,
        struct str salt,
        uint32_t iterations,
        struct str server_nonce,
        struct buf *out)
{
    ASSERT(exchange->state == SASL_STATE_LOOKUP);
    return scram_server_first(exchange, salt, iterations, server_nonce, out);
}

enum sasl_next sasl_exchange_verified(struct sasl_exchange *exchange,
        enum sasl_condition condition,
        struct str server_signature,
        struct buf *out)
{
    if (condition != SASL_OK) {
        return sasl_fail(exchange, condition); /* also instead of a lookup's answer */
    }
    ASSERT(exchange->state == SASL_STATE_VERIFY);
    exchange->state = SASL_STATE_OVER;
    if (exchange->mechanism->is_scram) {
        scram_server_final(server_signature, out);
    } else if (exchange->mechanism->token) {
        buf_append_str(out, server_signature);
    }
    return SASL_NEXT_SUCCESS;
}

/* ---- who it is */

/* A localpart never contains '@' (RFC 7622 §3.3.1), so the first one ends it. */
enum sasl_condition sasl_take_user(struct sasl_exchange *exchange, struct str name)
{
    struct str local = STR_NULL;
    struct str rest = name;
    bool has_host = str_find_char(name, '@') < name.len;
    struct str user = str_cut(&rest, '@');
    if (has_host) {
        struct str host = STR_NULL;
        if (jid_prepare_domain(&exchange->arena, rest, &host) != ERR_OK
                || !str_equal(host, exchange->host)) {
            return SASL_NOT_AUTHORIZED;
        }
    }
    struct jid jid;
    /* A name that cannot exist is like one that does not: nothing tells them apart (B13). */
    if (jid_prepare_local(&exchange->arena, user, &local) != ERR_OK
            || jid_make(&exchange->arena, local, exchange->host, STR_NULL, &jid) != ERR_OK) {
        return SASL_NOT_AUTHORIZED;
    }
    exchange->bare = jid.bare;
    return SASL_OK;
}

enum sasl_condition sasl_check_authzid(struct sasl_exchange *exchange, struct str authzid)
{
    struct jid jid;
    if (str_is_empty(authzid)) {
        return SASL_OK;
    }
    if (jid_parse(&exchange->arena, authzid, &jid) != ERR_OK || !jid_is_bare(&jid)
            || !str_equal(jid.bare, exchange->bare)) {
        return SASL_INVALID_AUTHZID;
    }
    return SASL_OK;
}

/* ---- getters */

struct str sasl_bare(const struct sasl_exchange *exchange)
{
    return exchange->bare;
}

struct str sasl_client_nonce(const struct sasl_exchange *exchange)
{
    return exchange->client_nonce;
}

struct str sasl_server_nonce(const struct sasl_exchange *exchange)
{
    return exchange->server_nonce;
}

struct str sasl_auth_message(const struct sasl_exchange *exchange)
{
    return exchange->auth_message;
}

struct str sasl_proof(const struct sasl_exchange *exchange)
{
    return exchange->proof;
}

struct str sasl_password(const struct sasl_exchange *exchange)
{
    return exchange->password;
}

struct str sasl_binding_data(const struct sasl_exchange *exchange)
{
    return exchange->binding ? str_from(exchange->binding->bytes, exchange->binding->len)
                             : STR_NULL;
}

enum sasl_condition sasl_failure(const struct sasl_exchange *exchange)
{
    return exchange->failure;
}

const char *sasl_binding_used(const struct sasl_exchange *exchange)
{
    return exchange->binding != NULL ? exchange->binding->name : "";
}

bool sasl_was_binding_mismatch(const struct sasl_exchange *exchange)
{
    return exchange->is_binding_mismatch;
}

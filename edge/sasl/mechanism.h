/* SASL mechanisms as pure state machines (RFC 4422, 4616, 5802): no sockets, no storage, no clock.
 * The stream feeds what the client says and what the router's auth verbs answer; the machine says
 * what to do next. The edge never holds a verifier. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/str.h"
#include "proto/xmpp/ht.h"
#include "proto/xmpp/stream_error.h"

struct sasl_exchange;

struct sasl_mechanism {
    const char *name; /* "SCRAM-SHA-256-PLUS" */
    enum digest digest;
    bool is_scram;
    bool is_plus;
    enum ht_mechanism token; /* HT_ABSENT: proves no token (XEP-0484) */
};
/* Strongest first. NULL-name terminated. */
extern const struct sasl_mechanism sasl_mechanisms[];
const struct sasl_mechanism *sasl_mechanism_find(struct str name); /* NULL */

struct sasl_binding { /* a channel binding this stream has */
    const char *name; /* "tls-exporter", "tls-server-end-point" */
    uint8_t bytes[64];
    size_t len;
};

struct sasl_environment {
    struct str host; /* prepared domain of the stream */
    const struct sasl_binding *bindings;
    size_t binding_count;
    bool plus_was_offered; /* GS2 flag "y" is then a downgrade (B16) */
    struct str advertised; /* what the client should have seen on offer (XEP-0474 §6.1); "": it is
                              not told */
};

enum sasl_next {
    SASL_NEXT_CHALLENGE, /* send `out` (raw, not base64) as challenge */
    SASL_NEXT_LOOKUP,    /* ask AuthLookup with sasl_bare, sasl_digest, sasl_client_nonce; then
                            sasl_exchange_lookup */
    SASL_NEXT_VERIFY,    /* ask AuthVerify with the sasl_* getters; then sasl_exchange_verified */
    SASL_NEXT_PLAIN, /* ask AuthPlain with sasl_bare, sasl_password; then sasl_exchange_verified */
    SASL_NEXT_TOKEN, /* ask AuthToken with sasl_bare, sasl_proof, sasl_binding_data; then
                        sasl_exchange_verified */
    SASL_NEXT_SUCCESS, /* send success with `out` */
    SASL_NEXT_FAILURE, /* send failure with sasl_failure; the exchange is over */
};

struct sasl_exchange *sasl_exchange_create(
        const struct sasl_mechanism *mechanism, const struct sasl_environment *environment);
void sasl_exchange_destroy(struct sasl_exchange *exchange); /* wipes secrets; accepts NULL */

/* Raw bytes (base64 already undone) of <auth/> or <response/>; `has_data` false: none was sent
 * (then an empty challenge asks for it). */
enum sasl_next sasl_exchange_step(
        struct sasl_exchange *exchange, struct str data, bool has_data, struct buf *out);
enum sasl_next sasl_exchange_lookup(struct sasl_exchange *exchange,
        struct str salt,
        uint32_t iterations,
        struct str server_nonce,
        struct buf *out);
/* `condition` SASL_OK or the failure the router found. `server_signature` for SCRAM and tokens. */
enum sasl_next sasl_exchange_verified(struct sasl_exchange *exchange,
        enum sasl_condition condition,
        struct str server_signature,
        struct buf *out);

struct str sasl_bare(const struct sasl_exchange *exchange); /* prepared user@host */
struct str sasl_client_nonce(const struct sasl_exchange *exchange);
struct str sasl_server_nonce(const struct sasl_exchange *exchange);
struct str sasl_auth_message(const struct sasl_exchange *exchange);
struct str sasl_proof(const struct sasl_exchange *exchange);
struct str sasl_password(const struct sasl_exchange *exchange);
struct str sasl_binding_data(const struct sasl_exchange *exchange); /* "" without one */
enum sasl_condition sasl_failure(const struct sasl_exchange *exchange);
/* The binding the client proved, "" or its name: for `starlingctl streams`. Mismatch is counted: */
const char *sasl_binding_used(const struct sasl_exchange *exchange);
bool sasl_was_binding_mismatch(
        const struct sasl_exchange *exchange); /* possible attack: admin counter */

/* The inside of an exchange, shared by the mechanisms of this folder. */
#pragma once

#include "edge/sasl/mechanism.h"

#define SASL_MAX_NAME_BYTES     1023 /* as a localpart, RFC 7622 §3.3 */
#define SASL_MAX_PASSWORD_BYTES 1023
#define SASL_MAX_NONCE_BYTES    256

enum sasl_state {
    SASL_STATE_START,  /* waits for the client's first message */
    SASL_STATE_LOOKUP, /* waits for salt and nonce from the router */
    SASL_STATE_FINAL,  /* SCRAM: challenge sent, waits for client-final */
    SASL_STATE_VERIFY, /* waits for the router's verdict */
    SASL_STATE_OVER,
};

struct sasl_exchange {
    const struct sasl_mechanism *mechanism;
    struct arena arena;
    struct str host;
    struct sasl_binding *bindings;
    size_t binding_count;
    bool plus_was_offered;
    struct str advertised;
    enum sasl_state state;
    enum sasl_condition failure;
    const struct sasl_binding *binding; /* SCRAM-PLUS: what the client chose */
    bool is_binding_mismatch;
    struct str bare;
    struct str password;
    struct str gs2_header; /* "n,," or "p=tls-exporter,a=...," */
    struct str client_first_bare;
    struct str client_nonce;
    struct str server_nonce; /* the router's part */
    struct str full_nonce;
    struct str server_first;
    struct str auth_message;
    struct str proof;
};

enum sasl_next sasl_fail(struct sasl_exchange *exchange, enum sasl_condition condition);
/* Prepares the user's name to exchange->bare: "user", or "user@host" of this very host, as some
 * clients send it. SASL_OK or the failure. */
enum sasl_condition sasl_take_user(struct sasl_exchange *exchange, struct str name);
/* B14: an authorization identity must be the user's own bare JID, after preparation of both (RFC
 * 6120 §6.3.8). Empty: none was sent. */
enum sasl_condition sasl_check_authzid(struct sasl_exchange *exchange, struct str authzid);

enum sasl_next ht_step(struct sasl_exchange *exchange, struct str data);
enum sasl_next plain_step(struct sasl_exchange *exchange, struct str data);
enum sasl_next scram_client_first(struct sasl_exchange *exchange, struct str data);
enum sasl_next scram_server_first(struct sasl_exchange *exchange,
        struct str salt,
        uint32_t iterations,
        struct str server_nonce,
        struct buf *out);
enum sasl_next scram_client_final(struct sasl_exchange *exchange, struct str data);
void scram_server_final(struct str server_signature, struct buf *out);

/* The hashed token mechanisms, draft-schmaus-kitten-sasl-ht, as XEP-0484 uses them: one message of
 * the client, which proves a token it was given before, and one of the server, which proves the
 * same. Shared by edge and router. Pure. */
#pragma once

#include <stdint.h>

#include "chassis/base/digest.h"
#include "chassis/base/str.h"

/* Numbers are kept in PostgreSQL and sent over the bus. */
enum ht_mechanism {
    HT_ABSENT = 0,
    HT_SHA_256_NONE = 1,
    HT_SHA_256_EXPR = 2, /* bound to the TLS exporter */
    HT_SHA_256_ENDP = 3, /* bound to the server's certificate */
    HT_MECHANISMS,
};

#define HT_PROOF_BYTES 32

/* The channel binding (RFC 5929, 9266) of a mechanism; "": none. */
const char *ht_binding_name(enum ht_mechanism mechanism);

/* HMAC(token, "Initiator" || binding): what the client sends; and "Responder", what it expects.
 * `token` is the text as the client got it. */
void ht_initiator(struct str token, struct str binding, uint8_t out[HT_PROOF_BYTES]);
void ht_responder(struct str token, struct str binding, uint8_t out[HT_PROOF_BYTES]);

/* The arithmetic of SCRAM (RFC 5802 §3, RFC 7677; SHA-512 alike), shared by the router (verifying),
 * starlingctl (creating verifiers) and tests (client side). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/digest.h"
#include "chassis/base/str.h"

/* SaltedPassword -> ClientKey -> StoredKey, and ServerKey. Blocking for milliseconds (PBKDF2):
 * thread pool only. `password` is prepared (OpaqueString). */
void scram_derive(enum digest digest,
        struct str password,
        struct str salt,
        uint32_t iterations,
        uint8_t *stored_key_out,
        uint8_t *server_key_out);

/* The same from a SaltedPassword somebody else has derived (XEP-0480 §3). */
void scram_derive_salted(enum digest digest,
        struct str salted_password,
        uint8_t *stored_key_out,
        uint8_t *server_key_out);

/* ClientProof checked against StoredKey, in constant time. */
bool scram_proof_is_valid(
        enum digest digest, const uint8_t *stored_key, struct str auth_message, struct str proof);
void scram_server_signature(enum digest digest,
        const uint8_t *server_key,
        struct str auth_message,
        uint8_t *signature_out);
/* Client side: ClientProof and the ServerSignature to expect. */
void scram_client_proof(enum digest digest,
        struct str password,
        struct str salt,
        uint32_t iterations,
        struct str auth_message,
        uint8_t *proof_out,
        uint8_t *server_signature_out);

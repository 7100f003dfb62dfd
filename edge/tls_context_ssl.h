/* What transport_tls.c asks of a TLS context in OpenSSL's terms. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"

struct ssl_st;
struct tls_context;
struct x509_st;

/* "example.org (EC)", or "" for a certificate that is not of this context. */
const char *tls_context_certificate_label(
        const struct tls_context *context, const struct x509_st *certificate);
/* The protocol that was agreed on, "" without one. */
const char *tls_context_alpn_of(const struct tls_context *context, const struct ssl_st *ssl);
/* RFC 5929 §4: the hash of the certificate the client saw; of a resumed session, the one it saw in
 * the first handshake (kept in the ticket). ERR_UNSUPPORTED: its signature has no single hash.
 * `out` NULL: only whether there is one. */
MUST_USE enum err tls_context_server_end_point(
        const struct tls_context *context, struct ssl_st *ssl, uint8_t out[64], size_t *len_out);

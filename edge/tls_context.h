/* TLS settings and certificates: several certificates per host, chosen by SNI and by the client's
 * signature algorithms; replaced as a whole on reload, while running connections keep the old one
 * (reference counted). Session tickets are sealed with rotating keys that all edges share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

struct tls_context;

struct tls_certificate {
    const char *host;      /* the SNI name it serves, a prepared domain (A-label compared too); "" =
                              default */
    const char *cert_file; /* chain, PEM */
    const char *key_file;
};

struct tls_options {
    const struct tls_certificate *certificates;
    size_t certificate_count;
    bool tls12;                   /* besides 1.3 */
    const char *ticket_keys_file; /* "" : tickets with a key of this process only. A file of 80-byte
                                     keys (16 name, 32 AES, 32 HMAC), hex, one a line; the first
                                     seals, all open */
    const char *alpn;             /* "xmpp-client" */
    bool allow_expired;           /* start with an expired certificate (H06) */
};

/* On error one sentence per problem in `why`. */
MUST_USE enum err tls_context_create(
        const struct tls_options *options, struct buf *why, struct tls_context **context_out);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context); /* accepts NULL */
/* Days until the first certificate expires, for the metric. */
int tls_context_days_remaining(const struct tls_context *context);
/* For transport_tls.c only: the SSL_CTX. */
struct ssl_ctx_st *tls_context_ssl(struct tls_context *context);

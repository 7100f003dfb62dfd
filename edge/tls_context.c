/* One SSL_CTX for each host with all its certificates; the default context takes every handshake
 * and SNI switches to the host's. All share options and ticket keys, so a ticket of one opens at
 * any. */
#include "edge/tls_context.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "edge/ticket_keys.h"
#include "edge/tls_context_ssl.h"

enum {
    TICKET_SECONDS = 24 * 60 * 60,
    SECONDS_PER_DAY = 24 * 60 * 60,
};

struct tls_host {
    char *name; /* "" : default */
    SSL_CTX *ssl;
};

struct tls_leaf {
    X509 *certificate;
    char *label;
    size_t host;      /* index */
    uint8_t hash[64]; /* RFC 5929 §4.1 */
    size_t hash_len;  /* 0: there is none */
};

struct tls_context {
    unsigned references;
    char *alpn;
    struct ticket_keys tickets;
    struct tls_host *hosts;
    size_t host_count;
    struct tls_leaf *leaves;
    size_t leaf_count;
    size_t default_host;
    int days_remaining;
};

/* ---- session tickets */

static bool set_ticket_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    uint8_t secret[sizeof(key->hmac)];
    char digest[] = "SHA256";
    memcpy(secret, key->hmac, sizeof(secret)); /* the parameters are not const */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof(secret)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool ok = EVP_MAC_CTX_set_params(mac, params) == 1;
    secret_wipe(secret, sizeof(secret));
    return ok;
}

/* Returns what SSL_CTX_set_tlsext_ticket_key_evp_cb(3) wants: -1 error, 0 unknown key (full
 * handshake), 1 fine, 2 fine but to be sealed anew. */
static int on_ticket(SSL *ssl,
        unsigned char name[16],
        unsigned char *iv,
        EVP_CIPHER_CTX *cipher,
        EVP_MAC_CTX *mac,
        int is_sealing)
{
    const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const EVP_CIPHER *aes = EVP_aes_256_cbc();
    if (is_sealing) {
        const struct ticket_key *key = &context->tickets.items[0];
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1
                || EVP_EncryptInit_ex(cipher, aes, NULL, key->aes, iv) != 1
                || !set_ticket_mac(mac, key)) {
            return -1;
        }
        memcpy(name, key->name, sizeof(key->name));
        return 1;
    }
    const struct ticket_key *key = ticket_keys_find(&context->tickets, name);
    if (key == NULL) {
        return 0;
    }
    if (EVP_DecryptInit_ex(cipher, aes, NULL, key->aes, iv) != 1 || !set_ticket_mac(mac, key)) {
        return -1;
    }
    return key == &context->tickets.items[0] ? 1 : 2;
}

/* RFC 5929 §4.1: the hash of the certificate's signature, but SHA-256 for MD5 and SHA-1. */
static enum err hash_certificate(const X509 *certificate, uint8_t out[64], size_t *len_out)
{
    int digest = NID_undef;
    /* The cast: OpenSSL's parameter is not const, but only reads. */
    X509 *readable = NULL;
    memcpy(&readable, &certificate, sizeof(readable));
    if (X509_get_signature_info(readable, &digest, NULL, NULL, NULL) != 1 || digest == NID_undef) {
        ERR_clear_error();
        return ERR_UNSUPPORTED; /* Ed25519: the specification leaves it undefined */
    }
    if (digest == NID_md5 || digest == NID_sha1) {
        digest = NID_sha256;
    }
    unsigned len = 0;
    const EVP_MD *md = EVP_get_digestbynid(digest);
    if (md == NULL || X509_digest(readable, md, out, &len) != 1) {
        ERR_clear_error();
        return ERR_UNSUPPORTED;
    }
    *len_out = len;
    return ERR_OK;
}

/* Made once, when the certificate was loaded. NULL: not defined for it. */
static const struct tls_leaf *hashed_leaf(const struct tls_context *context, SSL *ssl)
{
    const X509 *certificate = SSL_get_certificate(ssl);
    for (size_t i = 0; i < context->leaf_count; i++) {
        const struct tls_leaf *leaf = &context->leaves[i];
        if (leaf->certificate == certificate) {
            return leaf->hash_len > 0 ? leaf : NULL;
        }
    }
    return NULL;
}

/* A resumed session shows no certificate, and which of a host's certificates the client saw at
 * first is in nobody's memory: so the ticket carries its hash. */
static int on_ticket_made(SSL *ssl, void *arg)
{
    (void)arg;
    const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct tls_leaf *leaf = hashed_leaf(context, ssl);
    if (SSL_session_reused(ssl) || leaf == NULL) {
        return 1; /* the session keeps what it has */
    }
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), leaf->hash, leaf->hash_len);
}

static SSL_TICKET_RETURN on_ticket_opened(SSL *ssl,
        SSL_SESSION *session,
        const unsigned char *name,
        size_t name_len,
        SSL_TICKET_STATUS status,
        void *arg)
{
    (void)session;
    (void)name;
    (void)name_len;
    (void)arg;
    /* A TLS 1.3 client uses a ticket once (RFC 8446 §C.4), so it needs a new one each time. */
    bool is_single_use = SSL_version(ssl) == TLS1_3_VERSION;
    switch (status) {
    case SSL_TICKET_SUCCESS:
        return is_single_use ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW: return SSL_TICKET_RETURN_USE_RENEW;
    default: return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}

enum err tls_context_server_end_point(
        const struct tls_context *context, SSL *ssl, uint8_t out[64], size_t *len_out)
{
    void *hash = NULL;
    size_t len = 0;
    if (!SSL_session_reused(ssl)) {
        const struct tls_leaf *leaf = hashed_leaf(context, ssl);
        hash = leaf != NULL ? (void *)(uintptr_t)leaf->hash : NULL;
        len = leaf != NULL ? leaf->hash_len : 0;
    } else if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &hash, &len) != 1) {
        return ERR_UNSUPPORTED;
    }
    if (len == 0 || len > 64) {
        return ERR_UNSUPPORTED;
    }
    if (out != NULL) {
        memcpy(out, hash, len);
    }
    *len_out = len;
    return ERR_OK;
}

/* ---- choosing by the ClientHello */

static bool leaf_covers(const struct tls_leaf *leaf, const char *sni, size_t len)
{
    return X509_check_host(leaf->certificate, sni, len, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL)
            == 1;
}

/* By name first; then by what the certificates say, which compares A-labels for a host that is
 * configured with its U-label. B10: anything else gets the default, since `to` decides the host. */
static SSL_CTX *context_for(const struct tls_context *context, const char *sni)
{
    struct str name = str_from_cstr(sni);
    for (size_t i = 0; i < context->host_count; i++) {
        if (str_equal_nocase(name, str_from_cstr(context->hosts[i].name))) {
            return context->hosts[i].ssl;
        }
    }
    for (size_t i = 0; i < context->leaf_count; i++) {
        if (leaf_covers(&context->leaves[i], sni, name.len)) {
            return context->hosts[context->leaves[i].host].ssl;
        }
    }
    return context->hosts[context->default_host].ssl;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const struct tls_context *context = arg;
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (sni != NULL && sni[0] != '\0') {
        SSL_set_SSL_CTX(ssl, context_for(context, sni));
    }
    return SSL_TLSEXT_ERR_OK;
}

/* B07: a browser that was led here offers "h2" or "http/1.1" and must not get an answer. */
static int on_alpn(SSL *ssl,
        const unsigned char **out,
        unsigned char *out_len,
        const unsigned char *offered,
        unsigned offered_len,
        void *arg)
{
    (void)ssl;
    const struct tls_context *context = arg;
    struct str wanted = str_from_cstr(context->alpn);
    for (unsigned i = 0; i < offered_len; i += offered[i] + 1U) {
        if (offered_len - i > offered[i]
                && str_equal(wanted, str_from(offered + i + 1, offered[i]))) {
            *out = offered + i + 1;
            *out_len = offered[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

const char *tls_context_alpn_of(const struct tls_context *context, const SSL *ssl)
{
    const unsigned char *selected = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(ssl, &selected, &len);
    return len > 0 ? context->alpn : "";
}

/* ---- settings */

static int refuse_passphrase(char *out, int size, int is_writing, void *arg)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1; /* OpenSSL would ask the terminal */
}

static void set_protocol(SSL_CTX *ssl, bool with_tls12)
{
    static const unsigned char session_context[] = "starling";
    int groups[] = { NID_X25519, NID_X9_62_prime256v1, NID_secp384r1 };
    long ok = SSL_CTX_set_min_proto_version(ssl, with_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    ok &= SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20");
    ok &= SSL_CTX_set1_groups(ssl, groups, sizeof(groups) / sizeof(groups[0]));
    ok &= SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1);
    ok &= SSL_CTX_set_num_tickets(ssl, 1);
    ok &= SSL_CTX_set_max_early_data(ssl, 0);
    ASSERT(ok == 1);
    SSL_CTX_set_options(ssl,
            SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
                    | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ssl,
            SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
                    | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL); /* B08: no client certificates */
    /* Tickets only: a cache would be per process and grow. */
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ssl, TICKET_SECONDS);
}

static SSL_CTX *new_ssl(struct tls_context *context, const struct tls_options *options)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    ASSERT(ssl != NULL);
    set_protocol(ssl, options->tls12);
    SSL_CTX_set_app_data(ssl, context);
    SSL_CTX_set_default_passwd_cb(ssl, refuse_passphrase);
    SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ssl, context);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
    SSL_CTX_set_session_ticket_cb(ssl, on_ticket_made, on_ticket_opened, NULL);
    if (context->alpn[0] != '\0') {
        SSL_CTX_set_alpn_select_cb(ssl, on_alpn, context);
    }
    return ssl;
}

/* ---- certificates */

static void complain(struct buf *why, const struct tls_certificate *entry, const char *problem)
{
    buf_printf(why, "certificate %s of host \"%s\": %s", entry->cert_file, entry->host, problem);
    unsigned long error = ERR_peek_error(); /* the first is the cause */
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;
    buf_printf(why, reason != NULL ? " (%s)\n" : "%s\n", reason != NULL ? reason : "");
    ERR_clear_error();
}

static char *first_dns_name(const X509 *certificate)
{
    char *name = NULL;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; name == NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *general = sk_GENERAL_NAME_value(names, i);
        if (general->type == GEN_DNS) {
            const ASN1_IA5STRING *text = general->d.dNSName;
            name = str_to_cstr(
                    str_from(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)));
        }
    }
    GENERAL_NAMES_free(names);
    return name;
}

static char *make_label(const X509 *certificate)
{
    char *name = first_dns_name(certificate);
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    const char *type = key != NULL ? EVP_PKEY_get0_type_name(key) : NULL;
    struct buf label;
    buf_init(&label, 0);
    buf_printf(&label, "%s (%s)", name != NULL ? name : "", type != NULL ? type : "");
    char *text = str_to_cstr(buf_view(&label));
    buf_fini(&label);
    free(name);
    return text;
}

/* Days until the end, rounded down; negative when it is over. */
static int days_left(const X509 *certificate)
{
    int days = 0;
    int seconds = 0;
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) != 1) {
        return -1;
    }
    return seconds < 0 ? days - 1 : days;
}

static bool has_key_type(const struct tls_context *context, size_t host, const X509 *certificate)
{
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    for (size_t i = 0; i < context->leaf_count; i++) {
        const EVP_PKEY *other = X509_get0_pubkey(context->leaves[i].certificate);
        if (context->leaves[i].host == host && key != NULL && other != NULL
                && EVP_PKEY_get_base_id(key) == EVP_PKEY_get_base_id(other)) {
            return true;
        }
    }
    return false;
}

/* What the SSL_CTX took last becomes a leaf of ours. */
static enum err check_leaf(struct tls_context *context,
        const struct tls_certificate *entry,
        size_t host,
        bool allow_expired,
        struct buf *why)
{
    X509 *certificate = SSL_CTX_get0_certificate(context->hosts[host].ssl);
    int days = days_left(certificate);
    if (has_key_type(context, host, certificate)) {
        complain(why, entry, "the host has another with a key of this type");
        return ERR_EXISTS;
    }
    if (days < 0 && !allow_expired) {
        complain(why, entry, "expired");
        return ERR_INVALID;
    }
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        complain(why, entry, "not valid yet");
        return ERR_INVALID;
    }
    X509_up_ref(certificate);
    context->leaves[context->leaf_count++] = (struct tls_leaf){
        .certificate = certificate,
        .label = make_label(certificate),
        .host = host,
    };
    struct tls_leaf *leaf = &context->leaves[context->leaf_count - 1];
    if (hash_certificate(certificate, leaf->hash, &leaf->hash_len) != ERR_OK) {
        leaf->hash_len = 0;
    }
    context->days_remaining = days < context->days_remaining ? days : context->days_remaining;
    return ERR_OK;
}

static size_t host_index(
        struct tls_context *context, const char *name, const struct tls_options *options)
{
    for (size_t i = 0; i < context->host_count; i++) {
        if (strcmp(context->hosts[i].name, name) == 0) {
            return i;
        }
    }
    size_t host = context->host_count++;
    context->hosts[host] = (struct tls_host){
        .name = str_to_cstr(str_from_cstr(name)),
        .ssl = new_ssl(context, options),
    };
    if (name[0] == '\0') {
        context->default_host = host;
    }
    return host;
}

static enum err load_certificate(struct tls_context *context,
        const struct tls_certificate *entry,
        const struct tls_options *options,
        struct buf *why)
{
    size_t host = host_index(context, entry->host, options);
    SSL_CTX *ssl = context->hosts[host].ssl;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ssl, entry->cert_file) != 1) {
        complain(why, entry, "cannot be read");
        return ERR_INVALID;
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, entry->key_file, SSL_FILETYPE_PEM) != 1
            || SSL_CTX_check_private_key(ssl) != 1) {
        complain(why, entry, "its key cannot be read or does not match");
        return ERR_INVALID;
    }
    return check_leaf(context, entry, host, options->allow_expired, why);
}

static enum err load_certificates(
        struct tls_context *context, const struct tls_options *options, struct buf *why)
{
    enum err first = ERR_OK;
    for (size_t i = 0; i < options->certificate_count; i++) {
        enum err err = load_certificate(context, &options->certificates[i], options, why);
        first = first == ERR_OK ? err : first;
    }
    if (options->certificate_count == 0) {
        buf_append_literal(why, "no certificate is configured\n");
        first = ERR_NOT_FOUND;
    }
    return first;
}

static enum err load_tickets(
        struct tls_context *context, const struct tls_options *options, struct buf *why)
{
    if (options->ticket_keys_file == NULL || options->ticket_keys_file[0] == '\0') {
        ticket_keys_of_process(&context->tickets);
        return ERR_OK;
    }
    return ticket_keys_load(options->ticket_keys_file, &context->tickets, why);
}

/* ---- life */

enum err tls_context_create(
        const struct tls_options *options, struct buf *why, struct tls_context **context_out)
{
    struct tls_context *context = MEM_NEW(struct tls_context);
    context->references = 1;
    context->days_remaining = INT32_MAX;
    context->alpn = str_to_cstr(str_from_cstr(options->alpn));
    context->hosts = mem_calloc(options->certificate_count + 1, sizeof(*context->hosts));
    context->leaves = mem_calloc(options->certificate_count + 1, sizeof(*context->leaves));
    enum err certificates = load_certificates(context, options, why);
    enum err tickets = load_tickets(context, options, why);
    if (certificates != ERR_OK || tickets != ERR_OK) {
        tls_context_unref(context);
        return certificates != ERR_OK ? certificates : tickets;
    }
    *context_out = context;
    return ERR_OK;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    context->references++;
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (context == NULL || --context->references > 0) {
        return;
    }
    for (size_t i = 0; i < context->host_count; i++) {
        SSL_CTX_free(context->hosts[i].ssl);
        free(context->hosts[i].name);
    }
    for (size_t i = 0; i < context->leaf_count; i++) {
        X509_free(context->leaves[i].certificate);
        free(context->leaves[i].label);
    }
    secret_wipe(&context->tickets, sizeof(context->tickets));
    free(context->hosts);
    free(context->leaves);
    free(context->alpn);
    free(context);
}

int tls_context_days_remaining(const struct tls_context *context)
{
    return context->days_remaining;
}

SSL_CTX *tls_context_ssl(struct tls_context *context)
{
    return context->hosts[context->default_host].ssl;
}

const char *tls_context_certificate_label(
        const struct tls_context *context, const X509 *certificate)
{
    for (size_t i = 0; i < context->leaf_count; i++) {
        if (context->leaves[i].certificate == certificate) {
            return context->leaves[i].label;
        }
    }
    return "";
}

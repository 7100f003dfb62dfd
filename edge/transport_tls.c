/* TLS over OpenSSL, on the socket itself: a memory BIO would cost 1.9 KB a connection and buys
 * nothing with an event loop. */
#include <errno.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "chassis/base/mem.h"
#include "chassis/clock.h"
#include "chassis/metrics.h"
#include "edge/tls_context.h"
#include "edge/tls_context_ssl.h"
#include "edge/transport_io.h"

enum {
    TLS_MAX_UPDATES_PER_MINUTE = 32, /* KeyUpdates and renegotiation attempts */
    TLS_EXPORTER_BYTES = 32,         /* RFC 9266 §2 */
    TLS_MINUTE_MS = 60000,
};

struct tls_session {
    SSL *ssl;
    struct tls_context *context;
    int64_t started_ms; /* the handshake; then the minute in which updates are counted */
    unsigned updates;
    bool is_flooded;
    bool is_broken; /* an SSL call failed for good: no further ones, OpenSSL forbids them */
};

static struct metric handshake_seconds = METRIC_HISTOGRAM_INIT(
        "tls_handshake_seconds", "Time from the first byte of a TLS handshake to its end.", NULL);
static struct metric handshakes_resumed = METRIC_COUNTER_INIT(
        "tls_handshakes_resumed_total", "TLS handshakes that resumed a session.", NULL);
static struct metric_family handshakes = {
    .name = "tls_handshakes_total",
    .help = "Completed TLS handshakes.",
    .label = "version",
};
static struct metric_family failures = {
    .name = "tls_errors_total",
    .help = "TLS connections that ended in an error.",
    .label = "reason",
};

/* ---- floods (KeyUpdate, RFC 8446 §4.6.3; renegotiation) */

static bool is_update(int is_sent, int content_type, const unsigned char *bytes, size_t len)
{
    if (content_type == SSL3_RT_HANDSHAKE) {
        return !is_sent && len > 0 && bytes[0] == SSL3_MT_KEY_UPDATE;
    }
    /* TLS 1.2: OpenSSL refuses a renegotiation with this warning. */
    return content_type == SSL3_RT_ALERT && is_sent && len == 2
            && bytes[1] == SSL_AD_NO_RENEGOTIATION;
}

static void on_message(int is_sent,
        int version,
        int content_type,
        const void *bytes,
        size_t len,
        SSL *ssl,
        void *arg)
{
    (void)version;
    struct tls_session *session = arg;
    if (!is_update(is_sent, content_type, bytes, len)) {
        return;
    }
    session->updates++;
    if (session->updates > TLS_MAX_UPDATES_PER_MINUTE) {
        session->is_flooded = true;
        /* Without it SSL_read would go on as long as the flood does. */
        SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
    }
}

/* ---- life */

struct tls_session *tls_session_create(struct tls_context *context, int fd)
{
    struct tls_session *session = MEM_NEW(struct tls_session);
    session->context = tls_context_ref(context);
    session->ssl = SSL_new(tls_context_ssl(context));
    ASSERT(session->ssl != NULL);
    ASSERT(SSL_set_fd(session->ssl, fd) == 1);
    SSL_set_accept_state(session->ssl);
    SSL_set_msg_callback(session->ssl, on_message);
    SSL_set_msg_callback_arg(session->ssl, session);
    session->started_ms = -1;
    return session;
}

void tls_session_destroy(struct tls_session *session)
{
    if (session == NULL) {
        return;
    }
    /* Otherwise OpenSSL marks the session as broken and it cannot be resumed. */
    SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(session->ssl);
    tls_context_unref(session->context);
    free(session);
}

/* ---- results */

struct reason_name {
    int reason;
    const char *name;
};

static const struct reason_name reason_names[] = {
    { SSL_R_NO_SHARED_CIPHER, "no_shared_cipher" },
    { SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no_shared_signature" },
    { SSL_R_NO_SUITABLE_KEY_SHARE, "no_shared_group" },
    { SSL_R_UNSUPPORTED_PROTOCOL, "version" },
    { SSL_R_VERSION_TOO_LOW, "version" },
    { SSL_R_WRONG_VERSION_NUMBER, "not_tls" },
    { SSL_R_HTTP_REQUEST, "not_tls" },
    { SSL_R_HTTPS_PROXY_REQUEST, "not_tls" },
    { SSL_R_NO_APPLICATION_PROTOCOL, "alpn" },
    { SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "bad_record" },
    { SSL_R_PACKET_LENGTH_TOO_LONG, "bad_record" },
    { SSL_R_ENCRYPTED_LENGTH_TOO_LONG, "bad_record" },
    { SSL_R_UNEXPECTED_EOF_WHILE_READING, "truncated" },
};

static const char *failure_reason(unsigned long error)
{
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
        return "other";
    }
    int reason = ERR_GET_REASON(error);
    if (reason >= SSL_AD_REASON_OFFSET) {
        return "alert_from_client";
    }
    for (size_t i = 0; i < sizeof(reason_names) / sizeof(reason_names[0]); i++) {
        if (reason_names[i].reason == reason) {
            return reason_names[i].name;
        }
    }
    return "protocol";
}

/* A10: OpenSSL closes without a word on a first record that is not TLS at all; a client that dialed
 * the wrong port should learn why. */
static void tell_not_tls(const struct tls_session *session, unsigned long error)
{
    static const char alert[] = {
        SSL3_RT_ALERT, 3, 1, 0, 2, SSL3_AL_FATAL, SSL_AD_PROTOCOL_VERSION
    };
    int reason = ERR_GET_REASON(error);
    bool is_not_tls = reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST
            || reason == SSL_R_HTTPS_PROXY_REQUEST;
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && is_not_tls
            && BIO_number_written(SSL_get_wbio(session->ssl)) == 0) {
        size_t len = 0;
        (void)tcp_write(SSL_get_fd(session->ssl), str_from(alert, sizeof(alert)), &len);
    }
}

static enum io broken(struct tls_session *session, const char *reason, enum io io)
{
    session->is_broken = true;
    metric_family_add(&failures, reason, 1);
    ERR_clear_error();
    return io;
}

/* SSL_ERROR_SYSCALL and an end without close_notify are a lost connection, not a TLS error, once
 * the handshake is done: clients do vanish. */
static enum io result_of_failure(struct tls_session *session, int returned)
{
    switch (SSL_get_error(session->ssl, returned)) {
    case SSL_ERROR_WANT_READ: return IO_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return IO_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return IO_CLOSED;
    case SSL_ERROR_SYSCALL: return broken(session, "connection_lost", IO_RESET);
    default: break;
    }
    unsigned long error = ERR_peek_last_error();
    tell_not_tls(session, error);
    bool is_truncated = ERR_GET_LIB(error) == ERR_LIB_SSL
            && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    return broken(session, failure_reason(error), is_truncated ? IO_RESET : IO_FAILED);
}

static void count_handshake(const struct tls_session *session, int64_t now_ms)
{
    metric_family_add(&handshakes, SSL_version(session->ssl) == TLS1_3_VERSION ? "1.3" : "1.2", 1);
    metric_add(&handshakes_resumed, SSL_session_reused(session->ssl) ? 1 : 0);
    metric_observe_us(&handshake_seconds, (now_ms - session->started_ms) * 1000);
}

enum io tls_session_handshake(struct tls_session *session, int64_t now_ms)
{
    if (session->is_broken) {
        return IO_FAILED;
    }
    if (session->started_ms < 0) {
        session->started_ms = now_ms;
    }
    ERR_clear_error();
    int returned = SSL_do_handshake(session->ssl);
    if (returned != 1) {
        return result_of_failure(session, returned);
    }
    count_handshake(session, now_ms);
    session->started_ms = now_ms;
    return IO_DONE;
}

/* ---- data */

enum io tls_session_read(
        struct tls_session *session, char *out, size_t size, int64_t now_ms, size_t *len_out)
{
    if (session->is_broken) {
        return IO_FAILED;
    }
    if (now_ms - session->started_ms >= TLS_MINUTE_MS) {
        session->started_ms = now_ms;
        session->updates = 0;
    }
    ERR_clear_error();
    int returned = SSL_read_ex(session->ssl, out, size, len_out);
    if (session->is_flooded) {
        return broken(session, "update_flood", IO_FLOOD);
    }
    return returned == 1 ? IO_DONE : result_of_failure(session, returned);
}

enum io tls_session_write(struct tls_session *session, struct str data, size_t *len_out)
{
    if (session->is_broken) {
        return IO_FAILED;
    }
    ERR_clear_error();
    size_t len = data.len < IO_MAX_RECORD_BYTES ? data.len : IO_MAX_RECORD_BYTES;
    int returned = SSL_write_ex(session->ssl, data.ptr, len, len_out);
    return returned == 1 ? IO_DONE : result_of_failure(session, returned);
}

enum io tls_session_close(struct tls_session *session)
{
    if (session->is_broken || !SSL_is_init_finished(session->ssl)) {
        return IO_DONE;
    }
    ERR_clear_error();
    int returned = SSL_shutdown(session->ssl);
    return returned >= 0 ? IO_DONE : result_of_failure(session, returned);
}

bool tls_session_has_pending(const struct tls_session *session)
{
    return !session->is_broken && SSL_has_pending(session->ssl) == 1;
}

uint64_t tls_session_written_bytes(const struct tls_session *session)
{
    return BIO_number_written(SSL_get_wbio(session->ssl));
}

/* ---- facts */

static const char *group_name(SSL *ssl)
{
    int group = (int)SSL_get_negotiated_group(ssl);
    switch (group) {
    case NID_undef: return "";
    case NID_X9_62_prime256v1: return "P-256";
    case NID_secp384r1: return "P-384";
    default: break;
    }
    const char *name = OBJ_nid2sn(group);
    return name != NULL ? name : "";
}

void tls_session_get_info(const struct tls_session *session, struct transport_info *info_out)
{
    SSL *ssl = session->ssl;
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    bool is_resumed = SSL_session_reused(ssl) == 1;
    *info_out = (struct transport_info){
        .is_secure = SSL_is_init_finished(ssl) == 1,
        .tls_version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .group = group_name(ssl),
        /* A resumed handshake shows none. */
        .certificate = is_resumed
                ? ""
                : tls_context_certificate_label(session->context, SSL_get_certificate(ssl)),
        .sni = sni != NULL ? sni : "",
        .alpn = tls_context_alpn_of(session->context, ssl),
        .is_resumed = is_resumed,
    };
}

/* RFC 9266 §2, §4.2: TLS 1.2 needs the extended master secret, or a man in the middle could make
 * both sides derive the same value. */
static enum err export_binding(SSL *ssl, uint8_t out[64], size_t *len_out)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1) {
        return ERR_UNSUPPORTED;
    }
    *len_out = TLS_EXPORTER_BYTES;
    if (out == NULL) {
        return ERR_OK;
    }
    int ok = SSL_export_keying_material(ssl,
            out,
            TLS_EXPORTER_BYTES,
            label,
            sizeof(label) - 1,
            (const unsigned char *)"", /* RFC 9266 §2: a context of zero length */
            0,
            1);
    if (ok != 1) {
        ERR_clear_error();
        return ERR_UNSUPPORTED;
    }
    return ERR_OK;
}

enum err tls_session_channel_binding(
        struct tls_session *session, enum channel_binding type, uint8_t out[64], size_t *len_out)
{
    if (!SSL_is_init_finished(session->ssl) || session->is_broken) {
        return ERR_UNSUPPORTED;
    }
    switch (type) {
    case CHANNEL_BINDING_NONE: return ERR_UNSUPPORTED;
    case CHANNEL_BINDING_TLS_EXPORTER: return export_binding(session->ssl, out, len_out);
    case CHANNEL_BINDING_TLS_SERVER_END_POINT:
        return tls_context_server_end_point(session->context, session->ssl, out, len_out);
    }
    return ERR_UNSUPPORTED;
}

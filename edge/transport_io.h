/* What is below a transport: bytes in and out of a socket, plain or through TLS. Non-blocking, no
 * queue, no callbacks into the loop. For transport.c only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "edge/transport.h"

#define IO_MAX_RECORD_BYTES 16384 /* RFC 8446 §5.1: plain bytes of one TLS record */

enum io {
    IO_DONE,       /* something was moved, or the step is complete */
    IO_WANT_READ,  /* again when the socket is readable */
    IO_WANT_WRITE, /* again when the socket is writable */
    IO_CLOSED,     /* the other side ended its direction */
    IO_RESET,      /* connection lost */
    IO_FAILED,     /* TLS error */
    IO_FLOOD,      /* TLS: KeyUpdates or renegotiations past the limit */
};

/* ---- plain */
enum io tcp_read(int fd, char *out, size_t size, size_t *len_out);
enum io tcp_write(int fd, struct str data, size_t *len_out);
/* Reads and drops what is there; IO_WANT_READ, IO_CLOSED or IO_RESET. */
enum io tcp_drain(int fd, size_t max_bytes);
void tcp_shutdown_write(int fd);
/* Bytes in the socket's send queue that the peer has not acknowledged. */
size_t tcp_unacknowledged(int fd);

/* ---- TLS, server side */
struct tls_session;

/* Adds a reference to the context; does not own `fd`. */
struct tls_session *tls_session_create(struct tls_context *context, int fd);
void tls_session_destroy(struct tls_session *session); /* accepts NULL */
enum io tls_session_handshake(struct tls_session *session, int64_t now_ms);
enum io tls_session_read(
        struct tls_session *session, char *out, size_t size, int64_t now_ms, size_t *len_out);
/* After IO_WANT_* the same bytes must be offered again (more of them is fine, moved is fine). */
enum io tls_session_write(struct tls_session *session, struct str data, size_t *len_out);
enum io tls_session_close(struct tls_session *session); /* sends close_notify */
/* Bytes were read from the socket already and wait inside. */
bool tls_session_has_pending(const struct tls_session *session);
uint64_t tls_session_written_bytes(const struct tls_session *session); /* to the socket */
void tls_session_get_info(const struct tls_session *session, struct transport_info *info_out);
MUST_USE enum err tls_session_channel_binding(
        struct tls_session *session, enum channel_binding type, uint8_t out[64], size_t *len_out);

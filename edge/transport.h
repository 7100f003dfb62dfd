/* A connection as bytes: TCP, with or without TLS. Owns the socket. Writes of one turn leave in one
 * TLS record sequence at the end of the turn. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct loop;
struct tls_context;
struct transport;

enum transport_end {
    TRANSPORT_CLOSED,     /* the other side closed */
    TRANSPORT_RESET,      /* connection lost */
    TRANSPORT_TLS_FAILED, /* handshake or record error; an alert was sent where TLS could */
    TRANSPORT_OVERFLOW,   /* the other side did not read: max_write_bytes waited */
    TRANSPORT_FLOOD,      /* more than 32 KeyUpdates a minute, renegotiation (B05) */
};

struct transport_handlers {
    /* Plain bytes. Returns how many were taken; the rest is offered again after transport_resume.
     */
    size_t (*on_data)(void *context, struct str data);
    void (*on_secured)(void *context); /* the TLS handshake is done */
    void (*on_end)(void *context,
            enum transport_end end); /* once; nothing follows; destroy may be called inside */
    void (*on_room)(void *context);  /* written bytes fell below half of max_write_bytes again */
};

struct transport_options {
    size_t max_write_bytes;     /* waiting to be written; default 1 MiB (C22) */
    size_t read_bytes_per_turn; /* fairness between connections */
};

/* Takes `fd` (non-blocking). With `tls` the handshake begins at once (direct TLS). */
struct transport *transport_create(struct loop *loop,
        int fd,
        struct tls_context *tls,
        const struct transport_options *options,
        const struct transport_handlers *handlers,
        void *context);
/* Closes at once. Accepts NULL. May be called from inside any handler. */
void transport_destroy(struct transport *transport);
/* Begins TLS on a plain connection: after what was written has left (RFC 6120 §5.4.2.3). Bytes the
 * client sent behind <starttls/> in plain text were not taken by on_data: ERR_PROTOCOL then (B01).
 * Called inside on_data nobody knows yet: if on_data leaves bytes, on_end(TLS_FAILED) follows. */
MUST_USE enum err transport_start_tls(struct transport *transport, struct tls_context *tls);

void transport_write(struct transport *transport,
        struct str data); /* copied; past max_write_bytes: on_end(OVERFLOW) from the loop */
/* Allowed after on_end(CLOSED) too (also with a last transport_write): the other side may have
 * closed its direction only. Flushes (bounded by `timeout_ms`), sends close_notify, closes; on_end
 * is not called. The transport is gone for the caller. */
void transport_finish(struct transport *transport, int64_t timeout_ms);
/* Closes at once what transport_finish still holds open; before loop_destroy. */
void transport_abandon_finishing(struct loop *loop);
void transport_pause(struct transport
                *transport); /* no more on_data: back pressure down to the client's socket */
void transport_resume(struct transport *transport);

uint64_t transport_written_total(
        const struct transport *transport); /* plain bytes ever given to transport_write */
/* Plain bytes of those that the peer's kernel has acknowledged, as far as known now (SIOCOUTQ;
 * exact whenever nothing is in flight). */
uint64_t transport_acknowledged_total(struct transport *transport);
size_t transport_waiting_bytes(const struct transport *transport);

struct transport_info {
    bool is_secure;
    const char *tls_version; /* "TLSv1.3" */
    const char *cipher;
    const char *group;       /* "X25519" */
    const char *certificate; /* subject's first DNS name, key type: "example.org (EC)" */
    const char *sni;         /* "" : none */
    const char *alpn;
    bool is_resumed;
};
void transport_get_info(const struct transport *transport,
        struct transport_info *info_out); /* borrowed, valid while the transport lives */

enum channel_binding {
    CHANNEL_BINDING_NONE,
    CHANNEL_BINDING_TLS_EXPORTER,         /* RFC 9266 */
    CHANNEL_BINDING_TLS_SERVER_END_POINT, /* RFC 5929 §4 */
};
/* Bytes of that binding; ERR_UNSUPPORTED without TLS or when the type does not apply (exporter
 * wants TLS 1.3, or 1.2 with extended master secret). At most 64 bytes. `out` NULL: only whether
 * there is one, which costs nothing. */
MUST_USE enum err transport_channel_binding(
        struct transport *transport, enum channel_binding type, uint8_t out[64], size_t *len_out);

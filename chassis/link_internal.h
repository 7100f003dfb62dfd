/* What the files of the link share: link.c (the public calls), link_peer.c (a remote process: when
 * to dial, which incarnation, what arrives), link_conn.c (one connection: frames, pings, end),
 * link_handshake.c (who is it). Nobody else includes this. */
#pragma once

#include "chassis/base/map.h"
#include "chassis/link.h"
#include "chassis/link_auth.h"
#include "chassis/link_flow.h"
#include "chassis/link_frame.h"
#include "chassis/link_stream.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"

enum {
    LINK_VERSION_MIN = 1,
    LINK_VERSION_MAX = 1,
    LINK_BATCH_RECORDS = 4096,        /* per DATA frame */
    LINK_UNPROVEN_FRAME_BYTES = 4096, /* before a connection is authenticated */
    LINK_UNPROVEN_MAX = 256,          /* accepted connections that are not; the oldest yields */
    LINK_READY_RECEIVE_BYTES = 64 * 1024,
    LINK_SILENT_INTERVALS_MAX = 3,
    /* Acknowledging only frees the sender's memory, so it may wait a little: one wake-up of both
     * processes less for every frame. */
    LINK_ACK_DELAY_MS = 10,
    LINK_ACK_BYTES = 32 * 1024,
};

enum link_conn_state {
    LINK_CONN_CONNECTING,
    LINK_CONN_WAIT_HELLO,
    LINK_CONN_WAIT_AUTH,    /* listener */
    LINK_CONN_WAIT_WELCOME, /* dialer */
    LINK_CONN_READY,
    LINK_CONN_ENDING, /* an ERROR frame is on its way out; nothing is read any more */
    LINK_CONN_CLOSED, /* freed at the end of the turn */
};

struct link_conn {
    struct link *link;
    struct link_peer *peer; /* NULL: accepted and not authenticated */
    struct link_stream *stream;
    enum link_conn_state state;
    bool is_dialer;
    bool was_refused;
    bool ack_due, ping_due, pong_due;
    bool has_heard; /* since the last tick of the timer */
    unsigned silent_intervals;
    struct buf in;  /* a frame that is not complete */
    struct buf out; /* frames of the handshake */
    uint32_t version;
    uint8_t nonce[LINK_NONCE_BYTES];
    struct link_hello theirs; /* strings in `memory` */
    struct str secret;        /* for this peer, once its HELLO is here */
    char edge_secret[LINK_EDGE_SECRET_BYTES];
    struct arena memory;
    struct timer ack_timer;
    size_t unacked_bytes; /* received since the last ACK */
    struct timer timer;   /* first the handshake's, then the pings' */
    struct loop_task flush_task, reap_task;
    struct link_conn *prev, *next;
};

struct link_peer {
    struct link *link;
    char *node;
    enum link_role role;
    char *address;          /* NULL: not known */
    bool has_given_address; /* from link_dial, not from a HELLO */
    bool wants_dial;
    bool is_up; /* the outgoing connection is ready */
    bool has_been_up;
    bool is_given_up;    /* on_down(is_dead) was the last word on this incarnation */
    uint64_t boot_epoch; /* last reached or heard */
    struct link_conn *outgoing, *incoming;
    struct link_outbox outbox;
    struct link_inbox inbox;
    int64_t backoff_ms;
    int64_t heard_ms; /* when its incarnation was last known to be connected */
    struct timer redial, give_up;
    void *data;
    UT_hash_handle hh;
};

struct link {
    struct loop *loop;
    struct link_options options; /* defaults filled in; strings are ours */
    struct link_handlers handlers;
    void *context;
    char *node, *listen_address, *advertise;
    char *address; /* with the port that was chosen */
    struct buf edge_secret, core_secret;
    struct link_tls tls;
    struct link_streams *streams;
    struct link_listener *listener;
    struct link_peer *peers;
    struct link_conn *conns; /* all, oldest first */
    size_t unproven_count;
    bool is_closing;
    struct arena arena; /* of the frame being handled */
    struct str batch[LINK_BATCH_RECORDS];
};

/* ---- link_conn.c */
/* NULL: could not even begin. */
struct link_conn *link_conn_dial(struct link_peer *peer);
void link_conn_accept(void *link, struct link_stream *stream);
void link_conn_send(struct link_conn *conn, const struct link_frame *frame);
void link_conn_flush_later(struct link_conn *conn);
/* So many more bytes of records were received. */
void link_conn_owe_ack(struct link_conn *conn, size_t bytes);
void link_conn_flush(struct link_conn *conn);
/* The handshake is done. */
void link_conn_set_ready(struct link_conn *conn);
/* Tells the other side why, then closes. */
void link_conn_refuse(struct link_conn *conn, enum link_error code, const char *why);
/* Tells the peer object, too. Closing twice is nothing. */
void link_conn_close(struct link_conn *conn, const char *why);
/* At the end of the link, without a loop. */
void link_conn_destroy(struct link_conn *conn);

/* ---- link_handshake.c */
void link_handshake_begin(struct link_conn *conn);
void link_handshake_frame(struct link_conn *conn, const struct link_frame *frame);

/* ---- link_peer.c */
struct link_peer *link_peer_create(struct link *link, struct str node, enum link_role role);
void link_peer_destroy(struct link_peer *peer);
void link_peer_set_address(struct link_peer *peer, struct str address);
void link_peer_start_dialling(struct link_peer *peer);
void link_peer_stop_dialling(struct link_peer *peer);
/* An authenticated answer on the outgoing connection. */
void link_peer_on_welcome(struct link_conn *conn, uint64_t last_seq, uint64_t credit_bytes);
/* An authenticated dialer: finds its peer and makes `conn` the incoming connection. */
MUST_USE enum err link_peer_on_auth(struct link_conn *conn, enum link_error *code_out);
void link_peer_on_closed(struct link_peer *peer, struct link_conn *conn);
void link_peer_on_data(struct link_conn *conn, const struct link_frame *frame);
void link_peer_on_ack(struct link_conn *conn, const struct link_frame *frame);
/* The next DATA frame into conn->out, if one may go. */
void link_peer_fill(struct link_conn *conn);
void link_peer_arm_give_up(struct link_peer *peer);
/* Drops what waits and says so. */
void link_peer_give_up(struct link_peer *peer);

/* ---- link.c */
/* NULL, or the reason as a constant. */
const char *link_why_not_dial(const struct link *link, struct str address);
extern struct metric link_metric_frames[2], link_metric_records[2], link_metric_bytes[2];
extern struct metric link_metric_reconnects, link_metric_rejected;
enum {
    LINK_IN,
    LINK_OUT,
};

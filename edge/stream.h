/* One client connection from accept to end: header, negotiation, elements, time-outs, errors
 * (RFC 6120 §4). The struct is open to the parts that make up a stream: stream_states.c,
 * stream_features.c, feature/. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/loop.h"
#include "edge/edge.h"
#include "edge/listener.h"
#include "edge/rate.h"
#include "edge/stream_states.h"
#include "edge/transport.h"
#include "proto/xmpp/stanza.h"
#include "proto/xmpp/stream_error.h"
#include "proto/xmpp/xml_reader.h"

struct negotiation;
struct session;
struct stream;

/* Why nothing is read now; any bit pauses. */
enum stream_pause {
    PAUSE_ANSWER = 1 << 0, /* a router is asked, or a failure is delayed */
    PAUSE_RATE = 1 << 1,   /* faster than allowed */
    PAUSE_WINDOW = 1 << 2, /* too much unhandled */
    PAUSE_TLS = 1 << 3,    /* <proceed/> was sent */
};

struct stream {
    struct edge *edge;
    struct transport *transport; /* NULL: ended, waits to be freed */
    struct xml_reader *reader;
    struct negotiation *negotiation; /* NULL once a resource is bound */
    struct session *session;
    const struct host *host; /* NULL before the first good header */
    char *lang;              /* of the client's header, NULL: none */
    const char *mechanism;   /* SASL, when done; constants */
    const char *binding;
    int64_t connected_ms;
    int64_t connected_wall_us;
    int64_t last_in_ms;
    int64_t last_out_ms;
    int64_t rate_until_ms;
    struct rate rate;
    struct timer timer;
    struct loop_task reap_task;
    enum stream_state state;
    enum listener_kind kind; /* what it came in by */
    uint8_t pauses;
    bool is_secured;
    bool is_lost;        /* the connection was reset */
    bool is_ended;       /* by </stream:stream> or an error: its session is not to be resumed */
    bool is_header_sent; /* ours, on the present stream */
    bool is_feeding;     /* inside xml_reader_feed */
    bool is_reader_warm; /* the parser's memory is held; given back when idle */
    struct stream *prev, *next;
    struct peer_address address;
};

/* Takes `fd`. */
void stream_open(
        struct edge *edge, int fd, const struct peer_address *address, enum listener_kind kind);
/* XEP-0114. */
bool stream_is_component(const struct stream *stream);
/* Of its kind. */
const struct c2s_settings *stream_limits(const struct stream *stream);
/* Frees what is left at the end of the process, without a word to the client. */
void stream_abandon(struct stream *stream);

void stream_set_state(struct stream *stream, enum stream_state state);

void stream_write(struct stream *stream, struct str xml);
/* Header (if not yet sent), <stream:error/>, </stream:stream>, close. The stream is gone for the
 * caller, except that it may be inside a call of the XML reader still. */
void stream_fail(struct stream *stream, enum stream_condition condition, struct str text);
/* The same with a <stream:error/> of the caller's. */
void stream_fail_with(struct stream *stream, enum stream_condition condition, struct str error);
/* </stream:stream> and close. */
void stream_close(struct stream *stream);
/* The connection is closed behind what was written, without an end of the stream: a session that
 * may be resumed waits for another one (XEP-0198 §7). */
void stream_detach(struct stream *stream);
/* Without a word: the transport is closed at once. */
void stream_drop(struct stream *stream);
/* The client does not read what it is sent (C22). */
void stream_overflow(struct stream *stream);
bool stream_is_over(const struct stream *stream);

void stream_pause(struct stream *stream, enum stream_pause reason);
void stream_resume(struct stream *stream, enum stream_pause reason);
/* Inputs were handled, or room came back: perhaps the client may be read again. */
void stream_window_changed(struct stream *stream);

/* A new XML stream begins with the next byte (after STARTTLS, after SASL). */
void stream_restart(struct stream *stream, enum stream_state state);
/* A resource is bound: takes `session`, drops the negotiation. */
void stream_become_session(struct stream *stream, struct session *session);
/* Time for what was delayed by sasl_failure_delay, from now. */
void stream_wake_in(struct stream *stream, int64_t delay_ms);

/* What is due has changed. */
void stream_rearm(struct stream *stream);

uint64_t stream_written_total(const struct stream *stream);
uint64_t stream_acknowledged_total(struct stream *stream);

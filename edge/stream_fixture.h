/* For tests of streams: a transport that records, an uplink that writes down what it is asked, a
 * clock that stands still. Included by one _test.c of an executable; its definitions take the place
 * of the real ones, which the linker then leaves in their library. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/base/attr.h"
#include "chassis/base/mem.h"
#include "chassis/config.h"
#include "edge/auth_throttle.h"
#include "edge/downlink.h"
#include "edge/edge.h"
#include "edge/listeners.h"
#include "edge/negotiation.h"
#include "edge/session_table.h"
#include "edge/sm.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/jid.h"

/* ---- transport */

struct transport {
    const struct transport_handlers *handlers;
    void *context;
    struct buf held;
    bool is_paused, is_secure;
};

static struct {
    struct fake_clock time;
    struct clock clock;
    struct edge edge;
    struct config *config;
    struct transport *transport; /* NULL: gone */
    struct buf out;              /* everything ever written */
    bool is_finished, is_destroyed, has_started_tls;
    uint64_t written;
    uint64_t acknowledged;
    /* The question that was asked last. */
    struct arena arena;
    Wire__Envelope__VerbCase asked;
    struct buf question;
    request_answered answered;
    void *asker;
    unsigned pumps, ended_sessions, detached_sessions, cancels, enables, acks, gaps;
    bool is_link_full; /* states of clients do not leave */
} fixture;

struct transport *transport_create(struct loop *loop,
        int fd,
        struct tls_context *tls,
        const struct transport_options *options,
        const struct transport_handlers *handlers,
        void *context)
{
    (void)loop;
    (void)fd;
    (void)options;
    struct transport *transport = MEM_NEW(struct transport);
    transport->handlers = handlers;
    transport->context = context;
    (void)tls;
    fixture.transport = transport;
    return transport;
}

static void transport_free(struct transport *transport)
{
    buf_fini(&transport->held);
    if (fixture.transport == transport) {
        fixture.transport = NULL; /* else: of a former client */
    }
    free(transport);
}

void transport_destroy(struct transport *transport)
{
    fixture.is_destroyed = true;
    transport_free(transport);
}

void transport_finish(struct transport *transport, int64_t timeout_ms)
{
    (void)timeout_ms;
    fixture.is_finished = true;
    transport_free(transport);
}

enum err transport_start_tls(struct transport *transport, struct tls_context *tls)
{
    (void)transport;
    (void)tls;
    fixture.has_started_tls = true;
    return ERR_OK;
}

void transport_write(struct transport *transport, struct str data)
{
    (void)transport;
    buf_append_str(&fixture.out, data);
    fixture.written += data.len;
}

void transport_pause(struct transport *transport)
{
    transport->is_paused = true;
}

void transport_resume(struct transport *transport)
{
    transport->is_paused = false;
}

uint64_t transport_written_total(const struct transport *transport)
{
    (void)transport;
    return fixture.written;
}

uint64_t transport_acknowledged_total(struct transport *transport)
{
    (void)transport;
    return fixture.acknowledged;
}

enum err transport_channel_binding(
        struct transport *transport, enum channel_binding type, uint8_t out[64], size_t *len_out)
{
    if (!transport->is_secure || type != CHANNEL_BINDING_TLS_EXPORTER) {
        return ERR_UNSUPPORTED;
    }
    if (out) {
        memset(out, 'x', 32);
    }
    *len_out = 32;
    return ERR_OK;
}

void transport_get_info(const struct transport *transport, struct transport_info *info_out)
{
    *info_out = (struct transport_info){
        .is_secure = transport->is_secure,
        .sni = transport->is_secure ? "example.org" : "",
    };
}

void listeners_release(struct listeners *listeners, const struct peer_address *address)
{
    (void)listeners;
    (void)address;
}

/* ---- uplink and downlink */

struct request *uplink_ask(struct uplink *uplink,
        struct str bare,
        Wire__Envelope *envelope,
        request_answered answered,
        void *context)
{
    (void)uplink;
    (void)bare;
    fixture.asked = envelope->verb_case;
    buf_clear(&fixture.question);
    wire_pack(&fixture.question, envelope);
    fixture.answered = answered;
    fixture.asker = context;
    return (struct request *)&fixture;
}

void uplink_cancel(struct uplink *uplink, struct request *request)
{
    (void)uplink;
    if (request) {
        fixture.cancels++;
        fixture.answered = NULL;
    }
}

void uplink_adopt(struct uplink *uplink, struct session *session)
{
    (void)uplink;
    session->generation = 1;
}

void downlink_missing(struct downlink *downlink, struct session *session)
{
    (void)downlink;
    (void)sm_note_gap(session->sm, loop_now_ms(fixture.edge.loop));
    fixture.gaps++;
}

void uplink_pump(struct uplink *uplink, struct session *session)
{
    (void)uplink;
    fixture.pumps++;
    session->is_state_due &= fixture.is_link_full;
}

static void end_session(struct session *session)
{
    session->stream = NULL;
    session_set_state(fixture.edge.sessions, session, SESSION_ENDED);
    session_destroy(session);
}

void uplink_end_session(struct uplink *uplink, struct session *session, bool is_ended)
{
    (void)uplink;
    if (!is_ended && session_may_resume(session)) {
        fixture.detached_sessions++;
    } else {
        fixture.ended_sessions++;
    }
    end_session(session);
}

void uplink_enable(struct uplink *uplink, struct session *session)
{
    (void)uplink;
    (void)session;
    fixture.enables++;
}

void uplink_acked(struct uplink *uplink, struct session *session)
{
    (void)uplink;
    (void)session;
    fixture.acks++;
}

void uplink_let_go(struct uplink *uplink, struct session *session)
{
    (void)uplink;
    struct stream *stream = session->stream;
    if (stream) {
        stream->session = NULL;
    }
    end_session(session);
    if (stream) {
        stream_fail(stream, STREAM_ERROR_CONFLICT, STR_NULL);
    }
}

bool uplink_send(struct uplink *uplink, unsigned shard, const Wire__Envelope *envelope)
{
    (void)uplink;
    (void)shard;
    (void)envelope;
    return true;
}

void downlink_session_ends(struct downlink *downlink, struct session *session, bool may_report)
{
    (void)downlink;
    (void)session;
    (void)may_report;
}

/* ---- the process around it */

static const char fixture_yaml[] =
        "hosts:\n"
        "  - {domain: example.org, registration: true}\n"
        "  - {domain: plain.example, tls_required: false}\n"
        "  - {domain: any.example, accept_any_password: true}\n"
        "  - {domain: gone.example, formerly: true}\n"
        "components:\n"
        "  - {domain: comp.example.org}\n"
        "component_limits: {max_stanza_bytes: 20000}\n"
        "c2s: {sasl_failure_delay: 100ms, bytes_per_second: 10000, burst_bytes: 60000,\n"
        "      max_unhandled_stanzas: 3, flood_timeout: 5s}\n";

static void fixture_settings(void)
{
    char path[] = "/tmp/starling-edge-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, fixture_yaml, sizeof(fixture_yaml) - 1), sizeof(fixture_yaml) - 1);
    close(fd);
    struct buf why;
    buf_init(&why, 0);
    fixture.config = config_load(path, settings_sections, &why);
    if (!fixture.config) {
        fail_msg(STR_FMT, STR_ARG(buf_view(&why)));
    }
    fixture.edge.settings = settings_create(fixture.config, &why);
    assert_non_null(fixture.edge.settings);
    unlink(path);
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

/* Everything deferred, and what is due by now. */
UNUSED static void turn(void)
{
    struct loop_task stop = { .run = stop_loop, .context = fixture.edge.loop };
    (void)timer_wheel_run(loop_timers(fixture.edge.loop));
    loop_defer(fixture.edge.loop, LOOP_PHASE_REAP, &stop);
    loop_run(fixture.edge.loop);
}

UNUSED static void pass_time(int64_t ms)
{
    /* In steps, as a loop would see it. */
    for (int64_t left = ms; left > 0; left -= 100) {
        fixture.time.monotonic_ms += left < 100 ? left : 100;
        turn();
    }
}

UNUSED static int fixture_setup(void **state)
{
    (void)state;
    memset(&fixture, 0, sizeof(fixture));
    fixture.time = (struct fake_clock){ .monotonic_ms = 1000, .wall_us = 1000000 };
    fixture.clock = fake_clock_clock(&fixture.time);
    fixture.edge.loop = loop_create(&fixture.clock);
    fixture.edge.node = "edge-1";
    fixture.edge.tls = (struct tls_context *)&fixture; /* only its being there counts */
    fixture_settings();
    fixture.edge.throttle = auth_throttle_create();
    fixture.edge.sessions = session_table_create(fixture.edge.settings->shards);
    arena_init(&fixture.arena, 0);
    buf_init(&fixture.out, 0);
    buf_init(&fixture.question, 0);
    return 0;
}

UNUSED static int fixture_teardown(void **state)
{
    (void)state;
    while (fixture.edge.streams) {
        stream_abandon(fixture.edge.streams);
    }
    turn();
    session_table_destroy(fixture.edge.sessions);
    auth_throttle_destroy(fixture.edge.throttle);
    settings_destroy(fixture.edge.settings);
    config_destroy(fixture.config);
    loop_destroy(fixture.edge.loop);
    arena_fini(&fixture.arena);
    buf_fini(&fixture.out);
    buf_fini(&fixture.question);
    return 0;
}

/* ---- a client */

UNUSED static struct stream *connect_by(enum listener_kind kind)
{
    struct peer_address address = { .text = "192.0.2.1:5000" };
    stream_open(&fixture.edge, -1, &address, kind);
    return fixture.edge.streams;
}

UNUSED static struct stream *connect_client(bool is_direct_tls)
{
    return connect_by(is_direct_tls ? LISTENER_C2S_TLS : LISTENER_C2S);
}

UNUSED static void feed_held(void)
{
    while (fixture.transport && !fixture.transport->is_paused && fixture.transport->held.len > 0) {
        struct transport *transport = fixture.transport;
        size_t taken = transport->handlers->on_data(transport->context, buf_view(&transport->held));
        if (fixture.transport != transport) {
            return;
        }
        buf_consume(&transport->held, taken);
        if (taken == 0) {
            return;
        }
    }
}

UNUSED static void client_sends(const char *text)
{
    if (fixture.transport) {
        buf_append_str(&fixture.transport->held, str_from_cstr(text));
        feed_held();
    }
}

/* What was written since the last call, as text. */
UNUSED static const char *server_said(void)
{
    buf_append_char(&fixture.out, '\0');
    struct str said = str_dup(&fixture.arena, buf_view(&fixture.out));
    buf_consume(&fixture.out, fixture.out.len);
    return said.ptr;
}

UNUSED static void expect_part(const char *said, const char *part)
{
    if (!strstr(said, part)) {
        fail_msg("expected \"%s\" in \"%s\"", part, said);
    }
}

UNUSED static void expect(const char *part)
{
    expect_part(server_said(), part);
}

UNUSED static void expect_silence(void)
{
    assert_string_equal(server_said(), "");
}

/* Header first, the error, the end, and the connection flushed and closed (rule 5). */
UNUSED static void expect_death(const char *condition)
{
    const char *said = server_said();
    char error[128];
    (void)snprintf(error,
            sizeof(error),
            "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'",
            condition);
    expect_part(said, error);
    size_t len = strlen(said);
    assert_true(len > 16 && strcmp(said + len - 16, "</stream:stream>") == 0);
    assert_true(fixture.is_finished);
    assert_null(fixture.edge.streams);
}

#define HEADER_TO(host)                                                                      \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='" host "' version='1.0' " \
    "xmlns:stream='http://etherx.jabber.org/streams'>"

UNUSED static void become_secure(void)
{
    client_sends("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    expect("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_true(fixture.has_started_tls);
    fixture.transport->is_secure = true;
    fixture.transport->handlers->on_secured(fixture.transport->context);
}

UNUSED static void open_secure(const char *header)
{
    (void)connect_client(false);
    client_sends(header);
    expect("<starttls");
    become_secure();
    client_sends(header);
    expect("<mechanisms");
}

UNUSED static void router_answers(Wire__Envelope *reply)
{
    request_answered answered = fixture.answered;
    assert_non_null(answered);
    fixture.answered = NULL;
    answered(fixture.asker, reply);
    feed_held();
}

UNUSED static void router_says(Wire__Status status)
{
    Wire__AuthResult result = WIRE__AUTH_RESULT__INIT;
    result.status = status;
    result.grant = wire_bytes(STR("grant"));
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_AUTH_RESULT;
    reply.auth_result = &result;
    router_answers(&reply);
}

#define AUTH_PLAIN \
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHVzZXIAcGVuY2ls</auth>"

UNUSED static void authenticate(void)
{
    client_sends(AUTH_PLAIN);
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    expect("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    client_sends(HEADER_TO("example.org"));
    expect("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>");
}

UNUSED static void router_binds(Wire__Status status)
{
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 1, 2 }));
    Wire__BindReply bound = WIRE__BIND_REPLY__INIT;
    bound.status = status;
    bound.session = &id;
    bound.full = wire_bytes(STR("user@example.org/desk"));
    bound.token = wire_bytes(STR("token"));
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_BIND_REPLY;
    reply.bind_reply = &bound;
    router_answers(&reply);
}

UNUSED static void bind_resource(void)
{
    client_sends("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_BIND);
    router_binds(WIRE__STATUS__STATUS_OK);
    expect("<jid>user@example.org/desk</jid>");
}

UNUSED static void open_session(void)
{
    open_secure(HEADER_TO("example.org"));
    authenticate();
    bind_resource();
}

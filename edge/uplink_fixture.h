/* For tests of uplink and downlink: a link that records takes the place of the bus, streams only
 * count what is done to them. Included by one _test.c of an executable. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/attr.h"
#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "edge/downlink.h"
#include "edge/edge.h"
#include "edge/session_table.h"
#include "edge/sm.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/jid.h"

#define SHARDS 4

struct link_peer {
    const char *node;
    bool is_up;
    unsigned room;   /* records it takes before it is full */
    char said[4096]; /* what it was sent, as words */
};

static struct {
    struct fake_clock time;
    struct clock clock;
    struct edge edge;
    struct settings settings;
    struct link_peer one, two;
    struct stream stream; /* of the first session */
    struct buf written;
    uint64_t acknowledged;
    unsigned window_changes, fails, drops, detaches, overflows;
    struct session *ends; /* with the next change of a window */
    unsigned answers, empty_answers;
    uint64_t enable_request;
    uint32_t gone_attach;  /* of the last SessionGone */
    uint32_t input_attach; /* of the last Input */
    char token[16];        /* of the last Announce */
    bool has_carbons;      /* likewise */
    enum stream_condition fail_condition;
} t;

/* ---- the link */

static void say(struct link_peer *peer, const char *word)
{
    size_t len = strlen(peer->said);
    (void)snprintf(peer->said + len, sizeof(peer->said) - len, "%s%s", len ? " " : "", word);
}

static void say_ids(struct link_peer *peer, const Wire__Delivered *delivered)
{
    char word[256] = "delivered";
    for (size_t i = 0; i < delivered->n_ids; i++) {
        size_t len = strlen(word);
        (void)snprintf(word + len, sizeof(word) - len, ":%lld", (long long)delivered->ids[i]);
    }
    say(peer, word);
}

static void say_announce(struct link_peer *peer, const Wire__Announce *announce)
{
    char word[128];
    (void)snprintf(t.token, sizeof(t.token), STR_FMT, STR_ARG(wire_str(announce->attach_token)));
    t.has_carbons = announce->has_carbons;
    if (announce->has_sm) {
        (void)snprintf(word,
                sizeof(word),
                "announce:%u,acked=%u,written=%u,attach=%u",
                (unsigned)announce->handled,
                (unsigned)announce->acked,
                (unsigned)announce->written,
                (unsigned)announce->attach);
    } else {
        (void)snprintf(word, sizeof(word), "announce:%u", (unsigned)announce->handled);
    }
    say(peer, word);
}

static void say_number(struct link_peer *peer, const char *what, uint32_t number)
{
    char word[64];
    (void)snprintf(word, sizeof(word), "%s:%u", what, (unsigned)number);
    say(peer, word);
}

static void say_envelope(struct link_peer *peer, const Wire__Envelope *envelope)
{
    switch ((int)envelope->verb_case) {
    case WIRE__ENVELOPE__VERB_ANNOUNCE: say_announce(peer, envelope->announce); break;
    case WIRE__ENVELOPE__VERB_INPUT:
        t.input_attach = envelope->input->attach;
        say_number(peer,
                envelope->input->is_answered ? "answered" : "input",
                envelope->input->counter);
        break;
    case WIRE__ENVELOPE__VERB_CLOSE:
        if (envelope->close->is_resumable) {
            say_number(peer, "detach", envelope->close->attach);
        } else {
            say(peer, "close");
        }
        break;
    case WIRE__ENVELOPE__VERB_AUTH_PLAIN: say(peer, "plain"); break;
    case WIRE__ENVELOPE__VERB_BIND: say(peer, "bind"); break;
    case WIRE__ENVELOPE__VERB_SESSION_GONE:
        t.gone_attach = envelope->session_gone->attach;
        say(peer, "gone");
        break;
    case WIRE__ENVELOPE__VERB_DELIVERED: say_ids(peer, envelope->delivered); break;
    case WIRE__ENVELOPE__VERB_ACKED: say_number(peer, "acked", envelope->acked->sequence); break;
    case WIRE__ENVELOPE__VERB_ENABLE:
        t.enable_request = envelope->enable->request;
        say(peer, "enable");
        break;
    case WIRE__ENVELOPE__VERB_CLIENT_STATE:
        say(peer, envelope->client_state->is_inactive ? "inactive" : "active");
        break;
    default: fail_msg("unexpected verb %d", (int)envelope->verb_case);
    }
}

enum err link_send(struct link_peer *peer, struct str record)
{
    if (peer->room == 0) {
        return ERR_LIMIT;
    }
    peer->room--;
    struct arena arena;
    const Wire__Envelope *envelope = NULL;
    arena_init(&arena, 0);
    assert_int_equal(wire_unpack(&arena, record, &envelope), ERR_OK);
    say_envelope(peer, envelope);
    arena_fini(&arena);
    return ERR_OK;
}

struct link_peer *link_find_peer(struct link *link, const char *node)
{
    (void)link;
    return strcmp(node, "one") == 0 ? &t.one : strcmp(node, "two") == 0 ? &t.two : NULL;
}

struct link_peer *link_dial(
        struct link *link, const char *node, enum link_role role, const char *address)
{
    (void)role;
    (void)address;
    return link_find_peer(link, node);
}

bool link_peer_is_up(const struct link_peer *peer)
{
    return peer->is_up;
}

const char *link_peer_node(const struct link_peer *peer)
{
    return peer->node;
}

/* ---- the stream */

void stream_write(struct stream *stream, struct str xml)
{
    (void)stream;
    buf_append_str(&t.written, xml);
}

void stream_fail(struct stream *stream, enum stream_condition condition, struct str text)
{
    (void)stream;
    (void)text;
    t.fail_condition = condition;
    t.fails++;
}

void stream_drop(struct stream *stream)
{
    (void)stream;
    t.drops++;
}

void stream_detach(struct stream *stream)
{
    t.detaches++;
    struct session *session = stream->session;
    stream->session = NULL;
    uplink_end_session(t.edge.uplink, session, false);
}

void stream_rearm(struct stream *stream)
{
    (void)stream;
}

void stream_overflow(struct stream *stream)
{
    (void)stream;
    t.overflows++;
}

void stream_window_changed(struct stream *stream)
{
    (void)stream;
    t.window_changes++;
    if (t.ends) {
        struct session *session = t.ends;
        t.ends = NULL;
        uplink_end_session(t.edge.uplink, session, false);
    }
}

uint64_t stream_written_total(const struct stream *stream)
{
    (void)stream;
    return t.written.start + t.written.len;
}

uint64_t stream_acknowledged_total(struct stream *stream)
{
    (void)stream;
    return t.acknowledged;
}

/* ---- the world */

UNUSED static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.time.monotonic_ms = 1000;
    t.clock = fake_clock_clock(&t.time);
    t.one = (struct link_peer){ .node = "one", .is_up = true, .room = 1000 };
    t.two = (struct link_peer){ .node = "two", .is_up = true, .room = 1000 };
    t.settings.shards = SHARDS;
    t.settings.c2s_copy = (struct c2s_settings){
        .max_lingering_sessions = 3,
        .linger_timeout_ms = 60000,
        .sm_request_every = 3,
        .sm_request_bytes = 65536,
        .sm_request_after_ms = 2000,
        .sm_ack_timeout_ms = 60000,
    };
    t.settings.c2s = &t.settings.c2s_copy;
    t.edge.loop = loop_create(&t.clock);
    t.edge.settings = &t.settings;
    t.edge.sessions = session_table_create(SHARDS);
    t.edge.uplink = uplink_create(&t.edge);
    t.edge.downlink = downlink_create(&t.edge);
    buf_init(&t.written, 0);
    return 0;
}

UNUSED static int teardown(void **state)
{
    (void)state;
    downlink_destroy(t.edge.downlink);
    uplink_destroy(t.edge.uplink);
    session_table_destroy(t.edge.sessions);
    loop_destroy(t.edge.loop);
    buf_fini(&t.written);
    return 0;
}

UNUSED static void stop_loop(void *context)
{
    loop_stop(context);
}

/* What is due, and what was put off to the end of the turn. */
UNUSED static void turn(void)
{
    struct loop_task stop = { .run = stop_loop, .context = t.edge.loop };
    (void)timer_wheel_run(loop_timers(t.edge.loop));
    loop_defer(t.edge.loop, LOOP_PHASE_REAP, &stop);
    loop_run(t.edge.loop);
}

UNUSED static void pass_time(int64_t ms)
{
    for (int64_t left = ms; left > 0; left -= 50) {
        t.time.monotonic_ms += left < 50 ? left : 50;
        turn();
    }
}

/* All shards to one router, with one epoch. */
UNUSED static void map_says(uint64_t version, uint32_t owner, uint64_t epoch)
{
    Wire__RouterNode nodes[2] = { WIRE__ROUTER_NODE__INIT, WIRE__ROUTER_NODE__INIT };
    Wire__RouterNode *routers[2] = { &nodes[0], &nodes[1] };
    uint32_t owners[SHARDS];
    uint64_t epochs[SHARDS];
    nodes[0].name = wire_bytes(STR("one"));
    nodes[1].name = wire_bytes(STR("two"));
    for (int i = 0; i < SHARDS; i++) {
        owners[i] = owner;
        epochs[i] = epoch;
    }
    Wire__ShardMap map = WIRE__SHARD_MAP__INIT;
    map.version = version;
    map.routers = routers;
    map.n_routers = 2;
    map.owner = owners;
    map.n_owner = SHARDS;
    map.epoch = epochs;
    map.n_epoch = SHARDS;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_SHARD_MAP;
    envelope.shard_map = &map;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

UNUSED static struct session *new_session(uint64_t number)
{
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 7, number }));
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.session = &id;
    reply.full = wire_bytes(STR("user@example.org/desk"));
    reply.token = wire_bytes(STR("token"));
    struct session *session = session_create(&reply, SHARDS);
    assert_non_null(session);
    session->stream = &t.stream;
    t.stream.edge = &t.edge;
    t.stream.session = session;
    uplink_adopt(t.edge.uplink, session);
    session_set_state(t.edge.sessions, session, SESSION_LIVE);
    return session;
}

UNUSED static void send_stanza(struct session *session)
{
    const struct stanza stanza = {
        .kind = STANZA_MESSAGE,
        .from = session->full,
        .to = STR("bob@example.org"),
        .children = STR("<body>x</body>"),
        .child_count = 1,
    };
    session_push_input(t.edge.sessions, session, &stanza);
    uplink_pump(t.edge.uplink, session);
}

UNUSED static void handled_with(struct session *session, uint32_t counter, Wire__Switch carbons)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Handled message = WIRE__HANDLED__INIT;
    message.carbons = carbons;
    message.session = &id;
    message.counter = counter;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_HANDLED;
    envelope.handled = &message;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

UNUSED static void handled(struct session *session, uint32_t counter)
{
    handled_with(session, counter, WIRE__SWITCH__SWITCH_NOT_SAID);
}

UNUSED static void answered(struct session *session, uint32_t counter)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Handled message = WIRE__HANDLED__INIT;
    message.session = &id;
    message.answered = &counter;
    message.n_answered = 1;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_HANDLED;
    envelope.handled = &message;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

/* `attach` 0: a router that does not say. */
UNUSED static void close_reply_to(struct id128 session, uint32_t attach)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__CloseReply message = WIRE__CLOSE_REPLY__INIT;
    message.session = &id;
    message.attach = attach;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_CLOSE_REPLY;
    envelope.close_reply = &message;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

UNUSED static void close_reply(struct id128 session)
{
    close_reply_to(session, 0);
}

UNUSED static void not_owner(struct link_peer *peer, struct session *session)
{
    Wire__NotOwner message = WIRE__NOT_OWNER__INIT;
    message.shard = session->shard;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_NOT_OWNER;
    envelope.not_owner = &message;
    uplink_take(t.edge.uplink, peer, &envelope);
}

UNUSED static void assert_said(struct link_peer *peer, const char *expected)
{
    assert_string_equal(peer->said, expected);
    peer->said[0] = '\0';
}

UNUSED static void deliver_by(struct link_peer *peer,
        struct id128 session,
        int64_t log_id,
        uint32_t sequence,
        uint32_t attach)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Target target = WIRE__TARGET__INIT;
    Wire__Target *targets[] = { &target };
    target.session = &id;
    target.bare = wire_bytes(STR("user@example.org"));
    target.sequence = sequence;
    target.attach = attach;
    const struct stanza stanza = {
        .kind = STANZA_MESSAGE,
        .from = STR("bob@example.org/x"),
        .to = STR("user@example.org"),
        .children = STR("<body>hi</body>"),
        .child_count = 1,
    };
    Wire__Stanza message = WIRE__STANZA__INIT;
    wire_stanza_set(&message, &stanza);
    Wire__Deliver deliver_message = WIRE__DELIVER__INIT;
    deliver_message.stanza = &message;
    deliver_message.log_id = log_id;
    deliver_message.targets = targets;
    deliver_message.n_targets = 1;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_DELIVER;
    envelope.deliver = &deliver_message;
    downlink_take(t.edge.downlink, peer, &envelope);
}

UNUSED static void deliver_to(
        struct id128 session, int64_t log_id, uint32_t sequence, uint32_t attach)
{
    deliver_by(&t.one, session, log_id, sequence, attach);
}

UNUSED static void deliver_numbered(struct id128 session, int64_t log_id, uint32_t sequence)
{
    deliver_to(session, log_id, sequence, 0);
}

UNUSED static void deliver(struct id128 session, int64_t log_id)
{
    deliver_numbered(session, log_id, 0);
}

UNUSED static unsigned messages_written(void)
{
    unsigned count = 0;
    struct str rest = buf_view(&t.written);
    while (!str_is_empty(rest)) {
        count += str_starts_with(rest, STR("<message"));
        rest = str_from(rest.ptr + 1, rest.len - 1);
    }
    return count;
}

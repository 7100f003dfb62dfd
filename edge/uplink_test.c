/* What sessions and requests do when shards move, routers die and links fill up (P1, P3, F06-F08),
 * and what the downlink does with deliveries. A link that records takes the place of the bus. */
#include "edge/uplink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "edge/downlink.h"
#include "edge/edge.h"
#include "edge/session_table.h"
#include "edge/stream.h"
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
    unsigned window_changes, fails, drops, overflows;
    unsigned answers, empty_answers;
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

enum err link_send(struct link_peer *peer, struct str record)
{
    if (peer->room == 0) {
        return ERR_LIMIT;
    }
    peer->room--;
    struct arena arena;
    char word[64];
    const Wire__Envelope *envelope = NULL;
    arena_init(&arena, 0);
    assert_int_equal(wire_unpack(&arena, record, &envelope), ERR_OK);
    switch ((int)envelope->verb_case) {
    case WIRE__ENVELOPE__VERB_ANNOUNCE:
        (void)snprintf(word, sizeof(word), "announce:%u", (unsigned)envelope->announce->handled);
        say(peer, word);
        break;
    case WIRE__ENVELOPE__VERB_INPUT:
        (void)snprintf(word, sizeof(word), "input:%u", (unsigned)envelope->input->counter);
        say(peer, word);
        break;
    case WIRE__ENVELOPE__VERB_CLOSE: say(peer, "close"); break;
    case WIRE__ENVELOPE__VERB_AUTH_PLAIN: say(peer, "plain"); break;
    case WIRE__ENVELOPE__VERB_BIND: say(peer, "bind"); break;
    case WIRE__ENVELOPE__VERB_SESSION_GONE: say(peer, "gone"); break;
    case WIRE__ENVELOPE__VERB_DELIVERED: say_ids(peer, envelope->delivered); break;
    default: fail_msg("unexpected verb %d", (int)envelope->verb_case);
    }
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
    (void)condition;
    (void)text;
    t.fails++;
}

void stream_drop(struct stream *stream)
{
    (void)stream;
    t.drops++;
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

static int setup(void **state)
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

static int teardown(void **state)
{
    (void)state;
    downlink_destroy(t.edge.downlink);
    uplink_destroy(t.edge.uplink);
    session_table_destroy(t.edge.sessions);
    loop_destroy(t.edge.loop);
    buf_fini(&t.written);
    return 0;
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

/* What is due, and what was put off to the end of the turn. */
static void turn(void)
{
    struct loop_task stop = { .run = stop_loop, .context = t.edge.loop };
    (void)timer_wheel_run(loop_timers(t.edge.loop));
    loop_defer(t.edge.loop, LOOP_PHASE_REAP, &stop);
    loop_run(t.edge.loop);
}

static void pass_time(int64_t ms)
{
    for (int64_t left = ms; left > 0; left -= 50) {
        t.time.monotonic_ms += left < 50 ? left : 50;
        turn();
    }
}

/* All shards to one router, with one epoch. */
static void map_says(uint64_t version, uint32_t owner, uint64_t epoch)
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

static struct session *new_session(uint64_t number)
{
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 7, number }));
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.session = &id;
    reply.full = wire_bytes(STR("user@example.org/desk"));
    reply.token = wire_bytes(STR("token"));
    struct session *session = session_create(&reply, SHARDS);
    assert_non_null(session);
    session->stream = &t.stream;
    uplink_adopt(t.edge.uplink, session);
    session_set_state(t.edge.sessions, session, SESSION_LIVE);
    return session;
}

static void send_stanza(struct session *session)
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

static void handled(struct session *session, uint32_t counter)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Handled message = WIRE__HANDLED__INIT;
    message.session = &id;
    message.counter = counter;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_HANDLED;
    envelope.handled = &message;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

static void close_reply(struct id128 session)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__CloseReply message = WIRE__CLOSE_REPLY__INIT;
    message.session = &id;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_CLOSE_REPLY;
    envelope.close_reply = &message;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

static void not_owner(struct link_peer *peer, struct session *session)
{
    Wire__NotOwner message = WIRE__NOT_OWNER__INIT;
    message.shard = session->shard;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_NOT_OWNER;
    envelope.not_owner = &message;
    uplink_take(t.edge.uplink, peer, &envelope);
}

static void assert_said(struct link_peer *peer, const char *expected)
{
    assert_string_equal(peer->said, expected);
    peer->said[0] = '\0';
}

/* ---- sessions */

static void fresh_session_is_not_announced_and_inputs_leave_at_once(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    send_stanza(session);
    assert_said(&t.one, "input:1 input:2");
}

static void moved_shard_gets_the_announcement_and_what_is_unhandled(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    for (int i = 0; i < 3; i++) {
        send_stanza(session);
    }
    handled(session, 1);
    assert_int_equal(t.window_changes, 1);
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:1 input:2 input:3");
    send_stanza(session);
    assert_said(&t.two, "input:4");
    assert_said(&t.one, "input:1 input:2 input:3");
}

static void new_epoch_of_the_same_owner_repeats_too(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    map_says(2, 1, 11);
    assert_said(&t.one, "input:1 announce:0 input:1");
    map_says(1, 2, 12); /* old news */
    map_says(2, 2, 12);
    assert_said(&t.two, "");
}

static void without_an_owner_everything_waits(void **state)
{
    (void)state;
    map_says(1, 0, 0);
    struct session *session = new_session(1);
    send_stanza(session);
    t.one.is_up = false;
    map_says(2, 1, 10);
    assert_said(&t.one, ""); /* F06 */
    t.one.is_up = true;
    uplink_peer_up(t.edge.uplink, &t.one);
    assert_said(&t.one, "announce:0 input:1");
}

static void dead_incarnation_is_told_again(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    t.one.is_up = false;
    uplink_peer_down(t.edge.uplink, &t.one, true);
    send_stanza(session);
    t.one.is_up = true;
    uplink_peer_up(t.edge.uplink, &t.one);
    assert_said(&t.one, "input:1 announce:0 input:1 input:2");
}

static void lost_connection_of_a_living_router_repeats_nothing(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    t.one.is_up = false;
    uplink_peer_down(t.edge.uplink, &t.one, false);
    send_stanza(session);
    t.one.is_up = true;
    uplink_peer_up(t.edge.uplink, &t.one);
    assert_said(&t.one, "input:1 input:2");
}

static void full_link_stalls_in_order_and_goes_on(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    t.one.room = 1;
    for (int i = 0; i < 3; i++) {
        send_stanza(session);
    }
    assert_true(session->is_stalled); /* F07 */
    assert_said(&t.one, "input:1");
    t.one.room = 100;
    uplink_peer_room(t.edge.uplink);
    assert_said(&t.one, "input:2 input:3");
    assert_false(session->is_stalled);
    assert_int_equal(t.window_changes, 1);
}

static void wrong_owner_is_asked_again_later(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    not_owner(&t.one, session); /* F08 */
    not_owner(&t.one, session);
    send_stanza(session);
    assert_said(&t.one, "input:1");
    pass_time(250);
    assert_said(&t.one, "announce:0 input:1 input:2");
}

static void wrong_owner_is_left_when_a_newer_map_comes(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    not_owner(&t.one, session);
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0 input:1");
    not_owner(&t.one, session); /* late: it is not the owner any more, we know */
    send_stanza(session);
    assert_said(&t.two, "input:2");
}

static void ended_session_lingers_until_the_reply(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    struct id128 id = session->id;
    send_stanza(session);
    uplink_end_session(t.edge.uplink, session, true);
    assert_said(&t.one, "input:1 close");
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0 input:1 close");
    close_reply(id);
    assert_null(session_table_find(t.edge.sessions, id));
    assert_int_equal(t.edge.sessions->unhandled_bytes, 0);
}

static void lingering_is_bounded_in_time_and_number(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    for (uint64_t i = 1; i <= 5; i++) {
        uplink_end_session(t.edge.uplink, new_session(i), true);
    }
    assert_int_equal(t.edge.sessions->count[SESSION_LINGERING], 3);
    pass_time(59000);
    assert_int_equal(t.edge.sessions->count[SESSION_LINGERING], 3);
    pass_time(3000);
    assert_int_equal(t.edge.sessions->count[SESSION_LINGERING], 0);
}

static void lingering_time_does_not_run_without_a_router(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    t.one.is_up = false;
    uplink_end_session(t.edge.uplink, new_session(1), true);
    pass_time(120000);
    assert_int_equal(t.edge.sessions->count[SESSION_LINGERING], 1);
}

/* ---- requests */

static void count_answer(void *context, const Wire__Envelope *reply)
{
    (void)context;
    t.answers++;
    t.empty_answers += reply == NULL;
}

static void ask_plain(void)
{
    Wire__AuthPlain plain = WIRE__AUTH_PLAIN__INIT;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_PLAIN;
    envelope.auth_plain = &plain;
    (void)uplink_ask(t.edge.uplink, STR("user@example.org"), &envelope, count_answer, NULL);
}

static void request_follows_its_shard(void **state)
{
    (void)state;
    ask_plain(); /* no map yet */
    map_says(1, 1, 10);
    assert_said(&t.one, "plain");
    map_says(2, 2, 11);
    assert_said(&t.two, "plain");
    assert_int_equal(t.answers, 0);
}

static void request_without_an_answer_times_out_once(void **state)
{
    (void)state;
    ask_plain();
    pass_time(9500);
    assert_int_equal(t.answers, 0);
    pass_time(2500);
    assert_int_equal(t.empty_answers, 1); /* B22 */
    pass_time(30000);
    assert_int_equal(t.answers, 1);
}

static void late_bind_of_a_client_that_left_is_closed(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 9, 9 }));
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.request = 12345;
    reply.session = &id;
    reply.full = wire_bytes(STR("user@example.org/desk"));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_BIND_REPLY;
    envelope.bind_reply = &reply;
    uplink_take(t.edge.uplink, &t.one, &envelope);
    assert_said(&t.one, "close");
}

/* ---- deliveries */

static void deliver(struct id128 session, int64_t log_id)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Target target = WIRE__TARGET__INIT;
    Wire__Target *targets[] = { &target };
    target.session = &id;
    target.bare = wire_bytes(STR("user@example.org"));
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
    downlink_take(t.edge.downlink, &t.one, &envelope);
}

static unsigned messages_written(void)
{
    unsigned count = 0;
    struct str rest = buf_view(&t.written);
    while (!str_is_empty(rest)) {
        count += str_starts_with(rest, STR("<message"));
        rest = str_from(rest.ptr + 1, rest.len - 1);
    }
    return count;
}

static void entry_is_reported_when_its_bytes_are_acknowledged(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    deliver(session->id, 41);
    uint64_t first_end = t.written.len;
    deliver(session->id, 42);
    turn();
    assert_said(&t.one, "");
    t.acknowledged = first_end;
    pass_time(250);
    assert_said(&t.one, "delivered:41");
    t.acknowledged = t.written.len;
    pass_time(250);
    assert_said(&t.one, "delivered:42");
    pass_time(1000);
    assert_said(&t.one, "");
}

static void repeated_entry_is_written_once(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    deliver(session->id, 41);
    deliver(session->id, 41); /* not yet confirmed: no answer */
    assert_int_equal(messages_written(), 1);
    assert_said(&t.one, "");
    t.acknowledged = t.written.len;
    pass_time(250);
    assert_said(&t.one, "delivered:41");
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0");
    deliver(session->id, 41); /* the new owner cannot know */
    assert_said(&t.two, "delivered:41");
    assert_int_equal(messages_written(), 1);
}

static void report_waits_for_room(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    deliver(session->id, 41);
    t.acknowledged = t.written.len;
    t.one.room = 0;
    pass_time(500);
    t.one.room = 10;
    pass_time(500);
    assert_said(&t.one, "delivered:41");
}

static void last_report_is_made_when_the_stream_ends(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    deliver(session->id, 41);
    t.acknowledged = t.written.len;
    downlink_session_ends(t.edge.downlink, session, true);
    assert_said(&t.one, "delivered:41");
    deliver(session->id, 42);
    t.acknowledged = t.written.len;
    downlink_session_ends(t.edge.downlink, session, false); /* reset: nobody knows */
    assert_said(&t.one, "");
}

static void unknown_session_is_told(void **state)
{
    (void)state;
    deliver((struct id128){ 5, 5 }, 41);
    assert_said(&t.one, "gone");
    assert_int_equal(t.written.len, 0);
}

static void volatile_stanza_is_not_reported(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    deliver(session->id, 0);
    deliver(session->id, 0);
    t.acknowledged = t.written.len;
    pass_time(500);
    assert_int_equal(messages_written(), 2);
    assert_said(&t.one, "");
}

#define UPLINK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPLINK_TEST(fresh_session_is_not_announced_and_inputs_leave_at_once),
        UPLINK_TEST(moved_shard_gets_the_announcement_and_what_is_unhandled),
        UPLINK_TEST(new_epoch_of_the_same_owner_repeats_too),
        UPLINK_TEST(without_an_owner_everything_waits),
        UPLINK_TEST(dead_incarnation_is_told_again),
        UPLINK_TEST(lost_connection_of_a_living_router_repeats_nothing),
        UPLINK_TEST(full_link_stalls_in_order_and_goes_on),
        UPLINK_TEST(wrong_owner_is_asked_again_later),
        UPLINK_TEST(wrong_owner_is_left_when_a_newer_map_comes),
        UPLINK_TEST(ended_session_lingers_until_the_reply),
        UPLINK_TEST(lingering_is_bounded_in_time_and_number),
        UPLINK_TEST(lingering_time_does_not_run_without_a_router),
        UPLINK_TEST(request_follows_its_shard),
        UPLINK_TEST(request_without_an_answer_times_out_once),
        UPLINK_TEST(late_bind_of_a_client_that_left_is_closed),
        UPLINK_TEST(entry_is_reported_when_its_bytes_are_acknowledged),
        UPLINK_TEST(repeated_entry_is_written_once),
        UPLINK_TEST(report_waits_for_room),
        UPLINK_TEST(last_report_is_made_when_the_stream_ends),
        UPLINK_TEST(unknown_session_is_told),
        UPLINK_TEST(volatile_stanza_is_not_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

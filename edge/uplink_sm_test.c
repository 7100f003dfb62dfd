/* Stream management between an edge and routers: what is sent in which order, what a numbered
 * delivery does, who is let go when a session moves (XEP-0198; P1, P3). */
#include "edge/uplink_fixture.h"

static unsigned enabled_calls;

static void note_enabled(struct session *session, const Wire__EnableReply *reply)
{
    (void)session;
    (void)reply;
    enabled_calls++;
}

static void want(struct session *session)
{
    enabled_calls = 0;
    session->sm = MEM_NEW(struct sm);
    *session->sm = (struct sm){
        .phase = SM_WANTED, .may_resume = true, .enabled = note_enabled, .session = session
    };
    uplink_enable(t.edge.uplink, session);
}

static void enable_reply(uint64_t request, Wire__Status status, uint32_t sequence, uint32_t counter)
{
    Wire__EnableReply reply = WIRE__ENABLE_REPLY__INIT;
    reply.request = request;
    reply.status = status;
    reply.sequence = sequence;
    reply.counter = counter;
    reply.resume_id = wire_bytes(STR("id"));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ENABLE_REPLY;
    envelope.enable_reply = &reply;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

/* On router one, with sequence numbers from 101. */
static struct session *managed_session(void)
{
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    want(session);
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_OK, 100, 0);
    assert_said(&t.one, "enable");
    assert_int_equal(enabled_calls, 1);
    return session;
}

static void client_acks(struct session *session, uint32_t h)
{
    assert_int_equal(sm_take_ack(session->sm, h), SM_ACK_NEWS);
    uplink_acked(t.edge.uplink, session);
}

static void kick(const struct session *session, uint32_t attach, bool is_moved)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Kick message = WIRE__KICK__INIT;
    message.session = &id;
    message.condition = STREAM_ERROR_CONFLICT;
    message.attach = attach;
    message.is_moved = is_moved;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_KICK;
    envelope.kick = &message;
    downlink_take(t.edge.downlink, &t.one, &envelope);
}

/* ---- enable */

static void enable_goes_behind_inputs_and_the_announcement(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    t.one.room = 1;
    send_stanza(session);
    send_stanza(session);
    want(session);
    assert_said(&t.one, "input:1");
    t.one.room = 100;
    uplink_peer_room(t.edge.uplink);
    assert_said(&t.one, "input:2 enable");
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0 input:1 input:2 enable");
}

static void late_answer_of_a_former_owner_is_no_answer(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    want(session);
    uint64_t first = t.enable_request;
    map_says(2, 2, 11);
    enable_reply(first, WIRE__STATUS__STATUS_OK, 5, 0);
    assert_int_equal(enabled_calls, 0);
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_OK, 7, 0);
    assert_int_equal(enabled_calls, 1);
    assert_int_equal(session->sm->sequence_base, 7);
    assert_true(session_may_resume(session));
}

static void wrong_owner_is_asked_to_enable_again(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    want(new_session(1));
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_NOT_OWNER, 0, 0);
    assert_int_equal(enabled_calls, 0);
    pass_time(250);
    assert_said(&t.one, "enable announce:0 enable");
}

static void refused_enable_leaves_a_plain_session(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    want(session);
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_LIMIT, 0, 0);
    assert_int_equal(enabled_calls, 1);
    assert_null(session->sm);
}

static void session_that_ends_before_the_answer_is_closed(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    want(session);
    struct id128 id = session->id;
    uplink_end_session(t.edge.uplink, session, false);
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_OK, 7, 0);
    assert_int_equal(enabled_calls, 0);
    assert_said(&t.one, "enable close");
    close_reply(id);
    assert_null(session_table_find(t.edge.sessions, id));
}

/* ---- deliveries and acks */

static void numbers_decide_what_is_written(void **state)
{
    (void)state;
    struct session *session = managed_session();
    deliver_numbered(session->id, 41, 101);
    deliver_numbered(session->id, 0, 102);
    deliver_numbered(session->id, 41, 101);
    deliver_numbered(session->id, 0, 102);
    assert_int_equal(messages_written(), 2);
    t.acknowledged = t.written.len;
    pass_time(1000);
    assert_said(&t.one, ""); /* the client's kernel does not speak for it any more */
}

static void former_home_is_not_written(void **state)
{
    (void)state;
    struct session *session = managed_session();
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0,acked=100,written=100,attach=1");
    deliver_by(&t.one, session->id, 41, 101, 1); /* another stanza than the next home's 101 */
    assert_int_equal(messages_written(), 0);
    assert_int_equal(session->sm->written, 100);
    deliver_by(&t.two, session->id, 42, 101, 1);
    assert_int_equal(messages_written(), 1);
    assert_int_equal(session->sm->written, 101);
}

/* Our own connection was given up, the router's was not: what it sent before it read the
 * announcement arrives before and behind it. */
static void delivery_behind_a_missing_one_waits_for_it(void **state)
{
    (void)state;
    struct session *session = managed_session();
    struct id128 id = session->id;
    uplink_peer_down(t.edge.uplink, &t.one, true);
    deliver_numbered(id, 41, 101);
    uplink_peer_up(t.edge.uplink, &t.one);
    assert_said(&t.one, "announce:0,acked=100,written=100,attach=1");
    deliver_numbered(id, 42, 102);
    assert_said(&t.one, "announce:0,acked=100,written=100,attach=1");
    deliver_numbered(id, 43, 103);
    assert_said(&t.one, ""); /* one word is enough */
    assert_int_equal(messages_written(), 0);
    for (uint32_t i = 1; i <= 3; i++) {
        deliver_numbered(id, 40 + i, 100 + i);
    }
    assert_int_equal(messages_written(), 3);
    assert_int_equal(session->sm->written, 103);
    assert_int_equal(t.fails + t.drops + t.detaches, 0);
    deliver_numbered(id, 45, 105); /* another time, another word */
    assert_said(&t.one, "announce:0,acked=100,written=103,attach=1");
}

static void nothing_is_written_until_the_word_has_left(void **state)
{
    (void)state;
    struct session *session = managed_session();
    t.one.room = 0;
    deliver_numbered(session->id, 42, 102);
    deliver_numbered(session->id, 41, 101); /* who sent this does not know yet */
    assert_int_equal(messages_written(), 0);
    t.one.room = 10;
    uplink_peer_room(t.edge.uplink);
    assert_said(&t.one, "announce:0,acked=100,written=100,attach=1");
    deliver_numbered(session->id, 41, 101);
    assert_int_equal(messages_written(), 1);
}

static void home_that_cannot_go_on_costs_the_stream_only(void **state)
{
    (void)state;
    struct session *session = managed_session();
    struct id128 id = session->id;
    for (unsigned i = 0; i < 3; i++) {
        deliver_numbered(id, 43, 103);
        deliver_numbered(id, 44, 104);
        assert_said(&t.one, "announce:0,acked=100,written=100,attach=1");
        assert_int_equal(t.detaches, 0);
        pass_time(3000);
    }
    deliver_numbered(id, 43, 103);
    assert_int_equal(t.detaches, 1);
    assert_int_equal(t.fails, 0);
    assert_said(&t.one, "detach:1"); /* the client finds it (P4) */
}

static void entry_from_before_enable_is_confirmed_by_the_kernel(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    deliver(session->id, 41);
    want(session);
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_OK, 100, 0);
    deliver_numbered(session->id, 42, 101);
    t.acknowledged = t.written.len;
    pass_time(250);
    assert_said(&t.one, "enable delivered:41");
}

static void acks_of_a_turn_are_told_once(void **state)
{
    (void)state;
    struct session *session = managed_session();
    for (uint32_t i = 101; i <= 103; i++) {
        deliver_numbered(session->id, 0, i);
    }
    client_acks(session, 1);
    client_acks(session, 3);
    assert_said(&t.one, "");
    turn();
    assert_said(&t.one, "acked:103");
    turn();
    assert_said(&t.one, "");
}

static void ack_waits_for_room_and_is_part_of_the_announcement(void **state)
{
    (void)state;
    struct session *session = managed_session();
    deliver_numbered(session->id, 0, 101);
    deliver_numbered(session->id, 0, 102);
    t.one.room = 0;
    client_acks(session, 1);
    turn();
    t.one.room = 10;
    uplink_peer_room(t.edge.uplink);
    assert_said(&t.one, "acked:101");
    client_acks(session, 2);
    map_says(2, 2, 11);
    turn();
    assert_said(&t.two, "announce:0,acked=102,written=102,attach=1");
}

static void ack_leaves_before_the_end(void **state)
{
    (void)state;
    struct session *session = managed_session();
    deliver_numbered(session->id, 0, 101);
    client_acks(session, 1);
    uplink_end_session(t.edge.uplink, session, true);
    turn();
    assert_said(&t.one, "acked:101 close");
}

static void numbers_wrap(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    want(session);
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_OK, UINT32_MAX - 1, 0);
    deliver_numbered(session->id, 0, UINT32_MAX);
    deliver_numbered(session->id, 0, 0);
    deliver_numbered(session->id, 0, 1);
    assert_int_equal(messages_written(), 3);
    assert_int_equal(sm_take_ack(session->sm, 4), SM_ACK_TOO_HIGH);
    assert_int_equal(sm_take_ack(session->sm, 3), SM_ACK_NEWS);
    assert_int_equal(sm_take_ack(session->sm, 2), SM_ACK_OLD);
    assert_int_equal(session->sm->acked, 1);
}

/* ---- detach and move */

static void lost_connection_detaches_behind_the_inputs(void **state)
{
    (void)state;
    struct session *session = managed_session();
    struct id128 id = session->id;
    send_stanza(session);
    uplink_end_session(t.edge.uplink, session, false);
    assert_said(&t.one, "input:1 detach:1");
    deliver_numbered(id, 0, 101);
    assert_int_equal(messages_written(), 0);
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0,acked=100,written=100,attach=1 input:1 detach:1");
    close_reply(id);
    assert_null(session_table_find(t.edge.sessions, id));
}

static void moved_session_is_let_go_without_a_word(void **state)
{
    (void)state;
    struct session *session = managed_session();
    struct id128 id = session->id;
    session->sm->attach = 3;
    send_stanza(session);
    kick(session, 2, true); /* an attachment that is over */
    assert_non_null(session_table_find(t.edge.sessions, id));
    kick(session, 3, true);
    assert_null(session_table_find(t.edge.sessions, id));
    assert_null(t.stream.session);
    assert_int_equal(t.fail_condition, STREAM_ERROR_CONFLICT);
    assert_said(&t.one, "input:1");
    assert_int_equal(t.edge.sessions->unhandled_bytes, 0);
}

static void moved_session_that_lingers_is_forgotten(void **state)
{
    (void)state;
    struct session *session = managed_session();
    struct id128 id = session->id;
    uplink_end_session(t.edge.uplink, session, false);
    kick(session, 1, true);
    assert_null(session_table_find(t.edge.sessions, id));
    assert_int_equal(t.fails, 0);
}

static void answer_to_a_resume_nobody_waits_for_detaches(void **state)
{
    (void)state;
    struct session *session = managed_session();
    Wire__Id id = WIRE_ID_INIT(session->id);
    struct id128 key = session->id;
    uplink_end_session(t.edge.uplink, session, false);
    assert_said(&t.one, "detach:1");
    Wire__ResumeReply reply = WIRE__RESUME_REPLY__INIT;
    reply.request = 12345;
    reply.session = &id;
    reply.full = wire_bytes(STR("user@example.org/desk"));
    reply.attach_token = wire_bytes(STR("second"));
    reply.attach = 2;
    reply.acked = 100;
    reply.has_carbons = true;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_RESUME_REPLY;
    envelope.resume_reply = &reply;
    uplink_take(t.edge.uplink, &t.one, &envelope);
    assert_said(&t.one, "detach:2");
    uplink_take(t.edge.uplink, &t.one, &envelope); /* not newer than what is here */
    assert_said(&t.one, "");
    assert_int_equal(session_table_find(t.edge.sessions, key)->sm->attach, 2);
    map_says(2, 2, 1); /* the token goes with the attachment */
    assert_said(&t.two, "announce:0,acked=100,written=100,attach=2 detach:2");
    assert_string_equal(t.token, "second");
    assert_true(t.has_carbons);
}

/* A session that was resumed here and whose stream is gone again: attachment 2. */
static struct id128 resumed_and_lost(void)
{
    struct session *session = managed_session();
    struct id128 key = session->id;
    session->sm->attach = 2;
    uplink_end_session(t.edge.uplink, session, false);
    assert_said(&t.one, "detach:2");
    return key;
}

static void late_reply_to_a_former_close_forgets_nothing(void **state)
{
    (void)state;
    struct id128 key = resumed_and_lost();
    close_reply_to(key, 1);
    assert_non_null(session_table_find(t.edge.sessions, key));
    close_reply_to(key, 2);
    assert_null(session_table_find(t.edge.sessions, key));
}

static void router_that_does_not_say_is_believed(void **state)
{
    (void)state;
    struct id128 key = resumed_and_lost();
    close_reply_to(key, 0);
    assert_null(session_table_find(t.edge.sessions, key));
}

static void late_delivery_for_a_former_attachment_is_not_written(void **state)
{
    (void)state;
    struct session *session = managed_session();
    session->sm->attach = 2;
    deliver_to(session->id, 0, 101, 1);
    assert_int_equal(messages_written(), 0);
    assert_int_equal(session->sm->written, 100);
    deliver_to(session->id, 0, 101, 2);
    assert_int_equal(messages_written(), 1);
    deliver_to((struct id128){ 7, 99 }, 0, 5, 3); /* what is gone is named as it was meant */
    assert_said(&t.one, "gone");
    assert_int_equal(t.gone_attach, 3);
}

static void inputs_name_their_attachment(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    assert_int_equal(t.input_attach, 1);
    want(session);
    send_stanza(session);
    assert_int_equal(t.input_attach, 1);
    enable_reply(t.enable_request, WIRE__STATUS__STATUS_OK, 100, 0);
    session->sm->attach = 4;
    send_stanza(session);
    assert_int_equal(t.input_attach, 4);
}

/* ---- XEP-0352 */

static void client_state_is_told_to_each_owner(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    session->is_inactive = true;
    session->is_state_due = true;
    uplink_pump(t.edge.uplink, session);
    uplink_pump(t.edge.uplink, session);
    assert_said(&t.one, "inactive");
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0 inactive");
    session->is_inactive = false;
    session->is_state_due = true;
    uplink_pump(t.edge.uplink, session);
    map_says(3, 1, 12);
    assert_said(&t.two, "active");
    assert_said(&t.one, "announce:0");
}

static void state_that_waits_keeps_the_client_waiting(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    session->is_inactive = true;
    session->is_state_due = true;
    t.one.is_up = false;
    uplink_pump(t.edge.uplink, session);
    assert_true(session->is_state_due);
    assert_int_equal(t.window_changes, 0);
    t.one.is_up = true;
    uplink_peer_up(t.edge.uplink, &t.one);
    assert_said(&t.one, "inactive");
    assert_false(session->is_state_due);
    assert_int_equal(t.window_changes, 1); /* it may be read again */
}

#define SM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SM_TEST(enable_goes_behind_inputs_and_the_announcement),
        SM_TEST(late_answer_of_a_former_owner_is_no_answer),
        SM_TEST(wrong_owner_is_asked_to_enable_again),
        SM_TEST(refused_enable_leaves_a_plain_session),
        SM_TEST(session_that_ends_before_the_answer_is_closed),
        SM_TEST(numbers_decide_what_is_written),
        SM_TEST(former_home_is_not_written),
        SM_TEST(delivery_behind_a_missing_one_waits_for_it),
        SM_TEST(nothing_is_written_until_the_word_has_left),
        SM_TEST(home_that_cannot_go_on_costs_the_stream_only),
        SM_TEST(entry_from_before_enable_is_confirmed_by_the_kernel),
        SM_TEST(acks_of_a_turn_are_told_once),
        SM_TEST(ack_waits_for_room_and_is_part_of_the_announcement),
        SM_TEST(ack_leaves_before_the_end),
        SM_TEST(numbers_wrap),
        SM_TEST(lost_connection_detaches_behind_the_inputs),
        SM_TEST(moved_session_is_let_go_without_a_word),
        SM_TEST(moved_session_that_lingers_is_forgotten),
        SM_TEST(answer_to_a_resume_nobody_waits_for_detaches),
        SM_TEST(late_reply_to_a_former_close_forgets_nothing),
        SM_TEST(router_that_does_not_say_is_believed),
        SM_TEST(late_delivery_for_a_former_attachment_is_not_written),
        SM_TEST(inputs_name_their_attachment),
        SM_TEST(client_state_is_told_to_each_owner),
        SM_TEST(state_that_waits_keeps_the_client_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

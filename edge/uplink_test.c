/* What sessions and requests do when shards move, routers die and links fill up (P1, P3, F06-F08),
 * and what the downlink does with deliveries. */
#include "edge/uplink_fixture.h"

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

/* XEP-0280: what a former home said is told to the next one. */
static void carbons_are_announced(void **state)
{
    (void)state;
    static const struct {
        Wire__Switch said;
        bool has_carbons;
    } steps[] = {
        { WIRE__SWITCH__SWITCH_NOT_SAID, false },
        { WIRE__SWITCH__SWITCH_ON, true },
        { WIRE__SWITCH__SWITCH_NOT_SAID, true },
        { WIRE__SWITCH__SWITCH_OFF, false },
    };
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    for (uint32_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        send_stanza(session);
        handled_with(session, i + 1, steps[i].said);
        map_says(2 + i, 1, 11 + i);
        assert_int_equal(t.has_carbons, steps[i].has_carbons);
    }
    handled_with(session, 2, WIRE__SWITCH__SWITCH_ON); /* late, from a former home */
    map_says(9, 1, 19);
    assert_false(t.has_carbons);
}

/* P5: an error has been answered already, so only the counter comes again. */
static void what_came_back_as_an_error_is_repeated_without_its_stanza(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    send_stanza(session);
    send_stanza(session);
    answered(session, 2);
    map_says(2, 2, 11);
    assert_said(&t.two, "announce:0 input:1 answered:2 input:3");
    handled(session, 3);
    assert_int_equal(t.edge.sessions->unhandled_bytes, 0);
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

static void router_that_gave_us_up_is_told_everything_again(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    struct session *session = new_session(1);
    send_stanza(session);
    Wire__NotOwner message = WIRE__NOT_OWNER__INIT;
    message.shard = WIRE_ALL_SHARDS;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_NOT_OWNER;
    envelope.not_owner = &message;
    uplink_take(t.edge.uplink, &t.two, &envelope); /* owns nothing */
    assert_said(&t.one, "input:1");
    uplink_take(t.edge.uplink, &t.one, &envelope);
    assert_said(&t.one, "announce:0 input:1");
    assert_said(&t.two, "");
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

static void session_given_up_while_stalled_ones_are_sent_is_left_out(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    t.settings.c2s_copy.max_lingering_sessions = 1;
    struct session *first = new_session(1);
    struct session *second = new_session(2);
    struct session *third = new_session(3);
    t.one.room = 0;
    send_stanza(first);
    send_stanza(second);
    send_stanza(third);
    uplink_end_session(t.edge.uplink, second, false);
    t.ends = first;
    t.one.room = 100;
    uplink_peer_room(t.edge.uplink);
    assert_said(&t.one, "input:1 close input:1");
    assert_int_equal(t.edge.sessions->count[SESSION_LINGERING], 1);
    assert_false(third->is_stalled);
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

/* ---- deliveries */

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
        UPLINK_TEST(carbons_are_announced),
        UPLINK_TEST(what_came_back_as_an_error_is_repeated_without_its_stanza),
        UPLINK_TEST(new_epoch_of_the_same_owner_repeats_too),
        UPLINK_TEST(without_an_owner_everything_waits),
        UPLINK_TEST(dead_incarnation_is_told_again),
        UPLINK_TEST(lost_connection_of_a_living_router_repeats_nothing),
        UPLINK_TEST(full_link_stalls_in_order_and_goes_on),
        UPLINK_TEST(wrong_owner_is_asked_again_later),
        UPLINK_TEST(wrong_owner_is_left_when_a_newer_map_comes),
        UPLINK_TEST(router_that_gave_us_up_is_told_everything_again),
        UPLINK_TEST(ended_session_lingers_until_the_reply),
        UPLINK_TEST(lingering_is_bounded_in_time_and_number),
        UPLINK_TEST(session_given_up_while_stalled_ones_are_sent_is_left_out),
        UPLINK_TEST(lingering_time_does_not_run_without_a_router),
        UPLINK_TEST(request_follows_its_shard),
        UPLINK_TEST(request_without_an_answer_times_out_once),
        UPLINK_TEST(entry_is_reported_when_its_bytes_are_acknowledged),
        UPLINK_TEST(repeated_entry_is_written_once),
        UPLINK_TEST(report_waits_for_room),
        UPLINK_TEST(last_report_is_made_when_the_stream_ends),
        UPLINK_TEST(unknown_session_is_told),
        UPLINK_TEST(volatile_stanza_is_not_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

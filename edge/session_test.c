/* A bound client: stanzas are stamped, checked, kept until they are handled, and the client is held
 * back when too much waits. Rows of the hostile-input catalogue are named at the tests. */
#include "edge/stream_fixture.h"

static struct session *the_session(void)
{
    return fixture.edge.streams->session;
}

/* The newest input, unpacked. */
static const Wire__Input *last_input(void)
{
    const Wire__Envelope *envelope = NULL;
    struct input_queue *inputs = &the_session()->inputs;
    struct str record = STR_NULL;
    struct str next;
    while (input_queue_peek(inputs, &next)) {
        record = next;
        input_queue_sent(inputs);
    }
    assert_int_equal(wire_unpack(&fixture.arena, record, &envelope), ERR_OK);
    assert_int_equal(envelope->verb_case, WIRE__ENVELOPE__VERB_INPUT);
    return envelope->input;
}

static void assert_bytes(ProtobufCBinaryData data, const char *expected)
{
    assert_true(str_equal(wire_str(data), str_from_cstr(expected)));
}

static void stanza_is_stamped_and_counted(void **state)
{
    (void)state;
    open_session();
    client_sends("<message to='Bob@Example.org' type='chat' id='m1'><body>hi</body></message>");
    const Wire__Input *input = last_input();
    assert_int_equal(input->counter, 1);
    assert_bytes(input->bare, "user@example.org");
    assert_bytes(input->stanza->from, "user@example.org/desk");
    assert_bytes(input->stanza->to, "bob@example.org");
    assert_bytes(input->stanza->id, "m1");
    assert_int_equal(input->stanza->type, STANZA_TYPE_CHAT);
    assert_true(input->stanza->flags & STANZA_HAS_BODY);
    expect_silence();
}

static void own_from_is_accepted_in_any_form(void **state)
{
    (void)state;
    open_session();
    client_sends("<message from='User@example.org' to='b@example.org'/>");
    assert_bytes(last_input()->stanza->from, "user@example.org/desk");
    client_sends("<message from='user@example.org/desk' to='b@example.org'/>");
    assert_bytes(last_input()->stanza->from, "user@example.org/desk");
}

static void foreign_from_ends_the_stream(void **state)
{
    (void)state;
    const char *const stanzas[] = { "<message from='other@example.org' to='b@example.org'/>",
        "<message from='user@foreign.example' to='b@example.org'/>",
        "<message from='user@example.org/other' to='b@example.org'/>",
        "<message from='@' to='b@example.org'/>",
        "<presence from=''/>" }; /* C01 */
    for (size_t i = 0; i < sizeof(stanzas) / sizeof(stanzas[0]); i++) {
        fixture.is_finished = false;
        open_session();
        client_sends(stanzas[i]);
        expect_death("invalid-from");
        turn();
    }
    assert_int_equal(fixture.ended_sessions, 5);
}

static void malformed_to_is_answered(void **state)
{
    (void)state;
    open_session();
    client_sends("<message to='@example.org' id='1'><body>x</body></message>"); /* C02 */
    const char *said = server_said();
    expect_part(said, "type='error'");
    expect_part(said, "<jid-malformed");
    expect_part(said, "from='example.org'");
    client_sends("<message to='@example.org' type='error' id='2'/>"); /* C07 */
    client_sends("<iq to='@' type='result' id='3'/>");
    expect_silence();
    assert_int_equal(the_session()->counter, 0);
}

static void unsound_iqs_are_answered_with_bad_request(void **state)
{
    (void)state;
    const char *const iqs[] = { "<iq type='get'><a xmlns='urn:x'/></iq>",
        "<iq id='1'><a xmlns='urn:x'/></iq>",
        "<iq id='1' type='foo'><a xmlns='urn:x'/></iq>",
        "<iq id='1' type='get'/>",
        "<iq id='1' type='set'><a xmlns='urn:x'/><b xmlns='urn:x'/></iq>" }; /* C04 */
    open_session();
    for (size_t i = 0; i < sizeof(iqs) / sizeof(iqs[0]); i++) {
        client_sends(iqs[i]);
        const char *said = server_said();
        expect_part(said, "<bad-request");
        expect_part(said, "to='user@example.org/desk'");
    }
    assert_int_equal(the_session()->counter, 0);
}

static void answer_comes_from_whom_the_stanza_was_for(void **state)
{
    (void)state;
    open_session();
    client_sends("<iq id='1' type='get' to='bob@example.org'/>");
    expect_part(server_said(), "from='bob@example.org'");
    client_sends("<iq id='1' type='get'/>"); /* RFC 6120 §10.3.3 */
    expect_part(server_said(), "from='user@example.org'");
}

static void unknown_stanza_ends_the_stream(void **state)
{
    (void)state;
    open_session();
    client_sends("<foo/>");
    expect_death("unsupported-stanza-type"); /* C06 */
}

static void old_session_request_is_a_no_op(void **state)
{
    (void)state;
    open_session();
    client_sends(
            "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    const char *said = server_said();
    expect_part(said, "type='result'");
    expect_part(said, "id='s'");
    assert_int_equal(the_session()->counter, 0);
}

static void client_is_held_back_while_too_much_is_unhandled(void **state)
{
    (void)state;
    open_session();
    for (int i = 0; i < 5; i++) { /* the window is 3 */
        client_sends("<message to='b@example.org'><body>x</body></message>");
    }
    assert_int_equal(the_session()->counter, 3); /* F06 */
    assert_true(fixture.transport->is_paused);

    session_handled(fixture.edge.sessions, the_session(), 2);
    stream_window_changed(fixture.edge.streams);
    assert_false(fixture.transport->is_paused);
    feed_held();
    assert_int_equal(the_session()->counter, 5);
    assert_true(fixture.transport->is_paused);
    session_handled(fixture.edge.sessions, the_session(), 5);
    assert_int_equal(fixture.edge.sessions->unhandled_bytes, 0);
}

static void presence_is_remembered_for_the_announcement(void **state)
{
    (void)state;
    open_session();
    client_sends("<presence><priority>5</priority></presence>");
    assert_true(the_session()->is_available);
    assert_int_equal(the_session()->priority, 5);
    client_sends("<presence to='b@example.org' type='unavailable'/>");
    assert_true(the_session()->is_available);
    client_sends("<presence type='unavailable'/>");
    assert_false(the_session()->is_available);
}

static void silence_is_broken_by_white_space_only(void **state)
{
    (void)state;
    open_session();
    pass_time(299000);
    expect_silence();
    pass_time(2000);
    assert_string_equal(server_said(), " ");
    assert_false(fixture.edge.streams->is_reader_warm); /* the parser's memory was given back */
    client_sends("<message to='b@example.org'><body>x</body></message>");
    assert_int_equal(the_session()->counter, 1);
}

static void white_space_flood_ends_the_stream(void **state)
{
    (void)state;
    char spaces[10001];
    memset(spaces, ' ', sizeof(spaces) - 1);
    spaces[sizeof(spaces) - 1] = '\0';
    open_session();
    for (int i = 0; i < 5; i++) {
        client_sends(spaces);
    }
    expect_silence(); /* the burst is allowed */
    client_sends(spaces);
    expect_death("policy-violation"); /* A36 */
}

static void flood_of_stanzas_is_slowed_and_then_cut(void **state)
{
    (void)state;
    char stanza[9001];
    (void)snprintf(stanza,
            sizeof(stanza),
            "<presence to='b@example.org'><status>%08000d</status></presence>",
            0);
    open_session();
    int64_t began_ms = fixture.time.monotonic_ms;
    bool was_held_back = false;
    while (!fixture.is_finished && fixture.time.monotonic_ms < began_ms + 60000) {
        for (int i = 0; i < 3 && fixture.transport && fixture.transport->held.len < 100000; i++) {
            client_sends(stanza);
        }
        was_held_back |= fixture.transport && fixture.transport->is_paused;
        if (fixture.transport) {
            session_handled(fixture.edge.sessions, the_session(), the_session()->counter);
            stream_window_changed(fixture.edge.streams);
        }
        pass_time(100);
        feed_held();
    }
    assert_true(was_held_back); /* C21 */
    expect_death("policy-violation");
    assert_true(fixture.time.monotonic_ms - began_ms >= 5000);
}

/* Few bytes, many stanzas: 10 000 a second where about 50 are paid for. */
static void flood_of_small_stanzas_is_held_back(void **state)
{
    (void)state;
    open_session();
    uint32_t before = 0;
    for (int second = 0; second < 4; second++) {
        before = the_session()->counter;
        for (int i = 0; i < 100; i++) {
            for (int j = 0; j < 100 && fixture.transport->held.len < 20000; j++) {
                client_sends("<presence to='b@e.org'/>");
            }
            session_handled(fixture.edge.sessions, the_session(), the_session()->counter);
            stream_window_changed(fixture.edge.streams);
            pass_time(10);
            feed_held();
        }
    }
    uint32_t in_the_last_second = the_session()->counter - before;
    assert_in_range(in_the_last_second, 20, 60); /* C21: 10000 B/s, 224 B each */
}

static void end_of_the_connection_ends_the_session(void **state)
{
    (void)state;
    open_session();
    fixture.transport->handlers->on_end(fixture.transport->context, TRANSPORT_RESET);
    assert_int_equal(fixture.ended_sessions, 1);
    assert_int_equal(fixture.edge.stream_count, 0);
}

static void limits_after_authentication_are_wider(void **state)
{
    (void)state;
    char text[20001];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    open_session();
    client_sends("<message to='b@example.org'><body>");
    client_sends(text);
    client_sends("</body></message>");
    assert_int_equal(the_session()->counter, 1);
    pass_time(10000);
    client_sends("<message to='b@example.org'>"); /* C03 */
    for (int i = 0; i < 101; i++) {
        client_sends("<a xmlns='urn:x'>");
    }
    expect_death("policy-violation");
}

#define SESSION_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SESSION_TEST(stanza_is_stamped_and_counted),
        SESSION_TEST(own_from_is_accepted_in_any_form),
        SESSION_TEST(foreign_from_ends_the_stream),
        SESSION_TEST(malformed_to_is_answered),
        SESSION_TEST(answer_comes_from_whom_the_stanza_was_for),
        SESSION_TEST(unsound_iqs_are_answered_with_bad_request),
        SESSION_TEST(unknown_stanza_ends_the_stream),
        SESSION_TEST(old_session_request_is_a_no_op),
        SESSION_TEST(client_is_held_back_while_too_much_is_unhandled),
        SESSION_TEST(presence_is_remembered_for_the_announcement),
        SESSION_TEST(silence_is_broken_by_white_space_only),
        SESSION_TEST(white_space_flood_ends_the_stream),
        SESSION_TEST(flood_of_stanzas_is_slowed_and_then_cut),
        SESSION_TEST(flood_of_small_stanzas_is_held_back),
        SESSION_TEST(end_of_the_connection_ends_the_session),
        SESSION_TEST(limits_after_authentication_are_wider),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

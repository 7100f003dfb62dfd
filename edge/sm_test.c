/* Stream management and client state as a client sees them: XEP-0198 §3 to §6, XEP-0352. Rows of
 * the hostile-input catalogue are named at the tests. */
#include "edge/sm.h"

#include "edge/sm_acks.h"
#include "edge/stream_fixture.h"

#define SM "xmlns='urn:xmpp:sm:3'"
#define REFUSED                      \
    "<failed xmlns='urn:xmpp:sm:3'>" \
    "<unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
#define MESSAGE "<message to='b@example.org'><body>x</body></message>"

static struct session *the_session(void)
{
    return fixture.edge.streams->session;
}

/* What the uplink does with an EnableReply. */
static void router_enables(uint32_t sequence)
{
    struct session *session = the_session();
    Wire__EnableReply reply = WIRE__ENABLE_REPLY__INIT;
    reply.resume_id = wire_bytes(STR("some'id"));
    reply.max_s = 300;
    session->sm->phase = SM_ON;
    session->sm->sequence_base = session->sm->written = session->sm->acked = sequence;
    session->sm->counter_base = session->counter;
    session->sm->attach = SM_FIRST_ATTACH;
    session->sm->enabled(session, &reply);
    feed_held();
}

static void open_managed_session(void)
{
    open_session();
    client_sends("<enable " SM " resume='true' max='60'/>");
    assert_int_equal(fixture.enables, 1);
    assert_true(the_session()->sm->may_resume);
    assert_int_equal(the_session()->sm->max_s, 60);
    router_enables(1000);
    expect("<enabled xmlns='urn:xmpp:sm:3' id='some&apos;id' resume='true' max='300'/>");
}

static void handled(uint32_t counter)
{
    session_handled(fixture.edge.sessions, the_session(), counter);
    sm_acks_handled(fixture.edge.streams);
    stream_window_changed(fixture.edge.streams);
}

static void write_numbered(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        the_session()->sm->written++;
        sm_acks_written(fixture.edge.streams);
    }
}

/* ---- enable */

static void feature_is_offered_with_bind(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    expect("<success");
    client_sends(HEADER_TO("example.org"));
    const char *said = server_said();
    expect_part(said, "<sm xmlns='urn:xmpp:sm:3'/>");
    expect_part(said, "<csi xmlns='urn:xmpp:csi:0'/>");
}

static void wrong_moments_are_refused_and_the_stream_goes_on(void **state)
{
    (void)state; /* C18 */
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    (void)server_said();
    client_sends("<enable " SM "/>");
    expect(REFUSED);
    become_secure();
    client_sends(HEADER_TO("example.org"));
    (void)server_said();
    client_sends("<resume " SM " previd='x' h='0'/>");
    expect(REFUSED);
    authenticate();
    client_sends("<enable " SM "/>");
    expect(REFUSED);
    client_sends("<r " SM "/>");
    expect(REFUSED);
    bind_resource();
    client_sends("<r " SM "/>");
    expect(REFUSED);
    client_sends("<a " SM " h='0'/>");
    expect(REFUSED);
    client_sends("<enable " SM "/>");
    assert_int_equal(fixture.enables, 1);
    router_enables(0);
    expect("<enabled");
    client_sends("<enable " SM "/>");
    expect(REFUSED);
    client_sends("<resume " SM " previd='x' h='0'/>");
    expect(REFUSED);
    client_sends(MESSAGE);
    assert_int_equal(the_session()->counter, 1);
}

static void nothing_is_read_until_the_router_counts(void **state)
{
    (void)state;
    open_session();
    client_sends(MESSAGE);
    client_sends("<enable " SM "/>" MESSAGE);
    assert_int_equal(the_session()->counter, 1);
    assert_false(the_session()->sm->may_resume);
    router_enables(0);
    assert_int_equal(the_session()->counter, 2);
    assert_int_equal(the_session()->sm->counter_base, 1);
}

/* ---- the client's stanzas */

static void request_is_answered_when_all_before_it_is_handled(void **state)
{
    (void)state;
    open_managed_session();
    client_sends("<r " SM "/>");
    expect("<a xmlns='urn:xmpp:sm:3' h='0'/>");
    client_sends(MESSAGE MESSAGE "<r " SM "/>");
    expect_silence();
    handled(1);
    expect_silence();
    handled(2);
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='2'/>");
    handled(2);
    pass_time(1000);
    expect_silence();
}

static void request_is_answered_in_time_and_once_more_at_the_end(void **state)
{
    (void)state;
    open_managed_session();
    client_sends(MESSAGE MESSAGE "<r " SM "/>");
    handled(1);
    pass_time(200);
    expect_silence();
    pass_time(100);
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    pass_time(1000);
    expect_silence();
    handled(2);
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='2'/>");
}

static void each_request_has_an_answer(void **state)
{
    (void)state;
    open_managed_session();
    client_sends(MESSAGE "<r " SM "/>" MESSAGE "<r " SM "/>");
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='0'/>");
    handled(2);
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='2'/>");
}

static const Wire__Input *last_input(void)
{
    const Wire__Envelope *envelope = NULL;
    struct input_queue *inputs = &the_session()->inputs;
    struct str record = STR_NULL;
    while (input_queue_peek(inputs, &record)) {
        input_queue_sent(inputs);
    }
    assert_int_equal(wire_unpack(&fixture.arena, record, &envelope), ERR_OK);
    return envelope->input;
}

static void errors_of_the_edge_are_counted_by_both_sides(void **state)
{
    (void)state;
    open_managed_session();
    client_sends("<message to='@example.org' id='1'><body>x</body></message>");
    expect_silence();
    const Wire__Input *input = last_input();
    assert_int_equal(input->counter, 1);
    assert_int_equal(input->stanza->type, STANZA_TYPE_ERROR);
    assert_true(str_equal(wire_str(input->stanza->to), the_session()->full));
    assert_true(str_equal(wire_str(input->stanza->id), STR("1")));
    client_sends("<message to='@example.org' type='error' id='2'/>");
    input = last_input();
    assert_int_equal(input->counter, 2);
    assert_true(str_equal(wire_str(input->stanza->to), the_session()->bare));
    expect_silence();
}

/* RFC 6120 §8.3.1, §10.3: clients match an answer by its id and from. */
static void answers_of_the_edge_name_whom_the_stanza_was_for(void **state)
{
    (void)state;
    static const char two[] = "<a xmlns='urn:x'/><b xmlns='urn:x'/></iq>";
    static const struct {
        const char *iq, *from;
    } cases[] = {
        { "<iq type='set' id='1' to='Bob@example.org'>", "bob@example.org" },
        { "<iq type='set' id='1' to='bob@example.org/desk'>", "bob@example.org/desk" },
        { "<iq type='set' id='1' to='example.org'>", "example.org" },
        { "<iq type='set' id='1'>", "user@example.org" },
        { "<iq type='set' id='1' to='@'>", "example.org" },
    };
    open_managed_session();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        client_sends(cases[i].iq);
        client_sends(two);
        const Wire__Input *input = last_input();
        assert_int_equal(input->counter, i + 1);
        assert_int_equal(input->stanza->type, STANZA_TYPE_ERROR);
        assert_true(str_equal(wire_str(input->answer_from), str_from_cstr(cases[i].from)));
        assert_true(str_equal(wire_str(input->stanza->from), the_session()->full));
        handled(input->counter);
    }
    client_sends("<iq type='set' id='s'>"
                 "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
    assert_true(str_equal(wire_str(last_input()->answer_from), the_session()->bare));
    client_sends(MESSAGE);
    assert_int_equal(last_input()->answer_from.len, 0);
    expect_silence();
}

/* ---- ours */

static void acknowledgement_is_asked_for_after_some_stanzas(void **state)
{
    (void)state;
    open_managed_session();
    write_numbered(9);
    expect_silence();
    write_numbered(1);
    assert_string_equal(server_said(), "<r xmlns='urn:xmpp:sm:3'/>");
    write_numbered(30); /* one question at a time */
    expect_silence();
    client_sends("<a " SM " h='10'/>");
    assert_int_equal(the_session()->sm->acked, 1010);
    assert_int_equal(fixture.acks, 1);
    assert_string_equal(server_said(), "<r xmlns='urn:xmpp:sm:3'/>");
    client_sends("<a " SM " h='40'/>");
    client_sends("<a " SM " h='12'/>");
    assert_int_equal(fixture.acks, 2);
    pass_time(10000);
    expect_silence();
}

/* As large as stanzas that a page of the log is full of after a few (C22). */
static void write_large(unsigned count)
{
    static char text[40000];
    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < count; i++) {
        stream_write(fixture.edge.streams, str_from(text, sizeof(text)));
        write_numbered(1);
    }
}

static bool was_asked(void)
{
    return strstr(server_said(), "<r xmlns='urn:xmpp:sm:3'/>") != NULL;
}

static void acknowledgement_is_asked_for_after_many_bytes(void **state)
{
    (void)state;
    open_managed_session();
    write_large(1);
    assert_false(was_asked());
    write_large(1);
    assert_true(was_asked());
    write_large(3);
    assert_false(was_asked());
    client_sends("<a " SM " h='2'/>");
    assert_true(was_asked());
    client_sends("<a " SM " h='5'/>");
    assert_false(was_asked());
}

static void acknowledgement_is_asked_for_after_some_quiet(void **state)
{
    (void)state;
    open_managed_session();
    write_numbered(1);
    pass_time(1500);
    write_numbered(1);
    pass_time(1500);
    expect_silence();
    pass_time(600);
    assert_string_equal(server_said(), "<r xmlns='urn:xmpp:sm:3'/>");
}

static void client_that_is_busy_is_not_asked_at_once(void **state)
{
    (void)state;
    open_managed_session();
    write_numbered(30);
    assert_string_equal(server_said(), "<r xmlns='urn:xmpp:sm:3'/>");
    client_sends("<a " SM " h='0'/>");
    expect_silence();
    pass_time(1900);
    expect_silence();
    pass_time(200);
    assert_string_equal(server_said(), "<r xmlns='urn:xmpp:sm:3'/>");
}

static void silent_client_is_detached(void **state)
{
    (void)state;
    open_managed_session();
    write_numbered(1);
    pass_time(61500);
    assert_non_null(fixture.edge.streams);
    pass_time(1000);
    assert_null(fixture.edge.streams);
    assert_true(fixture.is_destroyed);
    assert_int_equal(fixture.detached_sessions, 1);
}

/* Routers are away: the window is full, and the client's answer to our question waits behind it. */
static void open_session_that_is_not_read(void)
{
    open_managed_session();
    client_sends(MESSAGE MESSAGE MESSAGE);
    assert_true(fixture.transport->is_paused);
    write_numbered(1);
    pass_time(2100);
    assert_true(was_asked());
    client_sends("<a " SM " h='1'/>");
}

static void client_that_is_not_read_is_not_silent(void **state)
{
    (void)state; /* P6, F06 */
    open_session_that_is_not_read();
    assert_int_equal(sm_acks_next_due_ms(fixture.edge.streams), 0);
    pass_time(200000);
    assert_non_null(fixture.edge.streams);
    handled(3);
    feed_held();
    assert_int_equal(sm_unacked(the_session()->sm), 0);
    pass_time(200000);
    assert_non_null(fixture.edge.streams);
}

static void time_to_acknowledge_begins_anew_when_it_is_read(void **state)
{
    (void)state;
    open_session_that_is_not_read();
    buf_clear(&fixture.transport->held); /* it has not answered after all */
    pass_time(100000);
    handled(3);
    pass_time(59500);
    assert_non_null(fixture.edge.streams);
    pass_time(1000);
    assert_null(fixture.edge.streams);
    assert_int_equal(fixture.detached_sessions, 1);
}

/* Nothing else may come from the home: time goes on without it, from when it has been told. */
static void what_is_missing_is_asked_for_again_in_a_quiet_session(void **state)
{
    (void)state;
    open_managed_session();
    struct session *session = the_session();
    session->generation = 1;
    downlink_missing(fixture.edge.downlink, session);
    stream_rearm(fixture.edge.streams);
    pass_time(2900);
    assert_int_equal(fixture.gaps, 1);
    pass_time(200);
    assert_int_equal(fixture.gaps, 2);
    session->generation = 0;
    pass_time(20000);
    assert_int_equal(fixture.gaps, 2);
    session->generation = 1;
    pass_time(3100);
    assert_int_equal(fixture.gaps, 3);
    assert_int_equal(sm_take_sequence(session->sm, session->sm->written + 1), SM_NEXT);
    pass_time(20000);
    assert_int_equal(fixture.gaps, 3);
}

static void wrong_acks_end_the_session(void **state)
{
    (void)state; /* C19 */
    const char *const acks[] = {
        "-1", "4294967296", "x", "", " 1", "1x", "99999999999999999999999"
    };
    char element[128];
    for (size_t i = 0; i < sizeof(acks) / sizeof(acks[0]); i++) {
        fixture.is_finished = false;
        fixture.enables = 0;
        open_managed_session();
        (void)snprintf(element, sizeof(element), "<a " SM " h='%s'/>", acks[i]);
        client_sends(element);
        expect_death("undefined-condition");
        turn();
    }
    fixture.is_finished = false;
    fixture.enables = 0;
    open_managed_session();
    write_numbered(2);
    client_sends("<a " SM " h='3'/>");
    expect("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='3' send-count='2'/></stream:error>"
           "</stream:stream>");
    turn();
    fixture.is_finished = false;
    fixture.enables = 0;
    open_managed_session();
    write_numbered(2);
    client_sends("<a " SM " h='1'/><a " SM " h='0'/>"); /* old news are no mistake */
    expect_silence();
    client_sends("<a " SM " h='4294967295'/>"); /* and this is not behind 0 */
    expect("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='4294967295' send-count='2'/>");
    assert_int_equal(fixture.ended_sessions, 9);
    assert_int_equal(fixture.detached_sessions, 0);
}

/* ---- the end */

static void only_an_unfinished_stream_may_be_resumed(void **state)
{
    (void)state; /* XEP-0198 §7 */
    open_managed_session();
    fixture.transport->handlers->on_end(fixture.transport->context, TRANSPORT_RESET);
    assert_int_equal(fixture.detached_sessions, 1);
    turn();
    fixture.enables = 0;
    open_managed_session();
    fixture.transport->handlers->on_end(fixture.transport->context, TRANSPORT_CLOSED);
    assert_int_equal(fixture.detached_sessions, 2);
    turn();
    fixture.enables = 0;
    open_managed_session();
    client_sends("</stream:stream>");
    assert_int_equal(fixture.ended_sessions, 1);
    turn();
    fixture.enables = 0;
    open_managed_session();
    client_sends("<foo/>");
    assert_int_equal(fixture.ended_sessions, 2);
    assert_int_equal(fixture.detached_sessions, 2);
}

/* ---- resume */

static void authenticate_to_resume(void)
{
    open_secure(HEADER_TO("example.org"));
    authenticate();
}

static bool was_inactive; /* when the router resumes it */

static void router_resumes(Wire__Status status, bool has_h)
{
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 1, 2 }));
    Wire__ResumeReply resumed = WIRE__RESUME_REPLY__INIT;
    resumed.status = status;
    resumed.session = &id;
    resumed.full = wire_bytes(STR("user@example.org/desk"));
    resumed.token = wire_bytes(STR("token"));
    resumed.handled = 12;
    resumed.counter = 5;
    resumed.sequence = 1000;
    resumed.acked = 1004;
    resumed.attach = 2;
    resumed.has_h = has_h;
    resumed.is_available = true;
    resumed.priority = 3;
    resumed.is_inactive = was_inactive;
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_RESUME_REPLY;
    reply.resume_reply = &resumed;
    router_answers(&reply);
}

static const Wire__Resume *resume_asked(void)
{
    const Wire__Envelope *envelope = NULL;
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_RESUME);
    assert_int_equal(wire_unpack(&fixture.arena, buf_view(&fixture.question), &envelope), ERR_OK);
    return envelope->resume;
}

static void resumption_carries_the_counts_over(void **state)
{
    (void)state;
    authenticate_to_resume();
    client_sends("<resume " SM " previd='a&amp;b' h='4'/>" MESSAGE);
    const Wire__Resume *asked = resume_asked();
    assert_int_equal(asked->h, 4);
    assert_true(str_equal(wire_str(asked->resume_id), STR("a&b")));
    assert_true(str_equal(wire_str(asked->grant), STR("grant")));
    router_resumes(WIRE__STATUS__STATUS_OK, false);
    assert_string_equal(server_said(), "<resumed xmlns='urn:xmpp:sm:3' h='7' previd='a&amp;b'/>");
    assert_int_equal(the_session()->counter, 13); /* of the message behind it */
    assert_int_equal(the_session()->sm->attach, 2);
    assert_int_equal(the_session()->priority, 3);
    assert_true(session_may_resume(the_session()));
    assert_int_equal(fixture.edge.preauth_count, 0);
    client_sends("<a " SM " h='4'/><r " SM "/>");
    handled(13);
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='8'/>");
}

static void former_stream_on_this_edge_ends_with_conflict(void **state)
{
    (void)state;
    open_managed_session();
    struct stream *former = fixture.edge.streams;
    authenticate_to_resume();
    client_sends("<resume " SM " previd='x' h='0'/>");
    router_resumes(WIRE__STATUS__STATUS_OK, false);
    const char *said = server_said();
    expect_part(said, "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    expect_part(said, "</stream:stream><resumed");
    assert_true(stream_is_over(former));
    assert_int_equal(fixture.detached_sessions + fixture.ended_sessions, 0);
    assert_int_equal(fixture.edge.stream_count, 1);
    assert_int_equal(the_session()->sm->attach, 2);
}

static void refused_resumption_leaves_the_way_to_bind(void **state)
{
    (void)state;
    authenticate_to_resume();
    client_sends("<resume " SM " previd='x' h='0'/>");
    router_resumes(WIRE__STATUS__STATUS_NOT_FOUND, true);
    assert_string_equal(server_said(),
            "<failed xmlns='urn:xmpp:sm:3' h='7'>"
            "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
    client_sends("<resume " SM " previd='x' h='0'/>");
    router_resumes(WIRE__STATUS__STATUS_INVALID, false);
    expect("<failed xmlns='urn:xmpp:sm:3'><item-not-found");
    bind_resource();
}

static void nonsense_is_not_asked(void **state)
{
    (void)state;
    char element[4300];
    authenticate_to_resume();
    client_sends("<resume " SM " h='0'/>");
    expect("<bad-request");
    client_sends("<resume " SM " previd='x'/>");
    expect("<bad-request");
    client_sends("<resume " SM " previd='x' h='-1'/>");
    expect("<bad-request");
    (void)snprintf(element, sizeof(element), "<resume " SM " previd='%04100d' h='0'/>", 0);
    client_sends(element);
    expect("<item-not-found");
    assert_int_not_equal(fixture.asked, WIRE__ENVELOPE__VERB_RESUME);
    bind_resource();
}

static void routers_that_cannot_answer_are_asked_again(void **state)
{
    (void)state;
    authenticate_to_resume();
    client_sends("<resume " SM " previd='x' h='0'/>");
    router_resumes(WIRE__STATUS__STATUS_TEMPORARY, false);
    assert_null(fixture.answered);
    pass_time(1100);
    assert_non_null(fixture.answered);
    request_answered answered = fixture.answered;
    fixture.answered = NULL;
    answered(fixture.asker, NULL); /* no answer in time */
    (void)resume_asked();
    expect_silence();
    router_resumes(WIRE__STATUS__STATUS_OK, false);
    expect("<resumed");
}

/* <resumed/> is rightly withheld while inputs are in doubt (P2), and the client told to come back.
 */
static void resumption_that_waits_too_long_is_our_fault(void **state)
{
    (void)state;
    authenticate_to_resume();
    client_sends("<resume " SM " previd='x' h='0'/>");
    for (int i = 0; i < 61 && fixture.edge.streams; i++) {
        if (fixture.answered) {
            router_resumes(WIRE__STATUS__STATUS_TEMPORARY, false);
        }
        pass_time(1000); /* asked, or to be asked again */
    }
    expect_death("internal-server-error");
}

/* Two routers, one after the other, have answered: the later stream keeps the session. */
static void answer_older_than_the_session_here_is_refused(void **state)
{
    (void)state;
    open_managed_session();
    struct session *session = the_session();
    session->sm->attach = 3;
    authenticate_to_resume();
    client_sends("<resume " SM " previd='x' h='0'/>");
    router_resumes(WIRE__STATUS__STATUS_OK, false);
    expect("<failed xmlns='urn:xmpp:sm:3'><item-not-found");
    assert_ptr_equal(session_table_find(fixture.edge.sessions, session->id), session);
    assert_non_null(session->stream);
}

/* Behind 2^32 in both directions: what the client says, and what we say. */
static void counts_wrap(void **state)
{
    (void)state;
    authenticate_to_resume();
    client_sends("<resume " SM " previd='x' h='4294967294'/>");
    router_resumes(WIRE__STATUS__STATUS_OK, false);
    expect("<resumed");
    struct session *session = the_session();
    session->sm->sequence_base = 7;
    session->sm->acked = session->sm->written = 7 + UINT32_MAX - 1;
    session->sm->counter_base = 5;
    session->counter = session->handled = 5 + UINT32_MAX - 1;
    write_numbered(3);
    client_sends("<a " SM " h='4294967295'/><a " SM " h='1'/>");
    assert_int_equal(sm_unacked(session->sm), 0);
    client_sends(MESSAGE "<r " SM "/>");
    handled(session->counter);
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>");
    client_sends(MESSAGE "<r " SM "/>");
    handled(session->counter);
    assert_string_equal(server_said(), "<a xmlns='urn:xmpp:sm:3' h='0'/>");
    client_sends("<a " SM " h='2'/>");
    expect("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'/>");
}

static void resume_says_true_in_two_ways(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool may_resume;
    } cases[] = {
        { "1", true }, { "true", true }, { "0", false }, { "false", false }, { "TRUE", false }
    };
    char element[96];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fixture.is_finished = false;
        fixture.enables = 0;
        open_session();
        (void)snprintf(element, sizeof(element), "<enable " SM " resume='%s'/>", cases[i].text);
        client_sends(element);
        assert_int_equal(the_session()->sm->may_resume, cases[i].may_resume);
        router_enables(0);
        const char *said = server_said();
        assert_int_equal(strstr(said, " id=") != NULL, cases[i].may_resume);
        assert_int_equal(strstr(said, " resume='true'") != NULL, cases[i].may_resume);
        client_sends("</stream:stream>");
        turn();
    }
}

/* ---- XEP-0352 */

static void changes_of_the_client_state_are_passed_on(void **state)
{
    (void)state;
    open_session();
    unsigned pumps = fixture.pumps;
    client_sends("<active xmlns='urn:xmpp:csi:0'/>");
    assert_int_equal(fixture.pumps, pumps);
    client_sends("<inactive xmlns='urn:xmpp:csi:0'/><inactive xmlns='urn:xmpp:csi:0'/>");
    assert_true(the_session()->is_inactive);
    assert_int_equal(fixture.pumps, pumps + 1);
    client_sends("<active xmlns='urn:xmpp:csi:0'/>");
    assert_false(the_session()->is_inactive);
    expect_silence();
}

static void the_link_has_room_again(void)
{
    fixture.is_link_full = false;
    uplink_pump(fixture.edge.uplink, the_session());
    stream_window_changed(fixture.edge.streams);
    feed_held();
}

/* XEP-0352 §5.1: what is held back has to come before the answer. */
static void each_client_state_is_told_before_more_is_read(void **state)
{
    (void)state;
    open_session();
    client_sends("<inactive xmlns='urn:xmpp:csi:0'/>");
    fixture.is_link_full = true;
    client_sends("<active xmlns='urn:xmpp:csi:0'/>"
                 "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
                 "<inactive xmlns='urn:xmpp:csi:0'/>");
    assert_false(the_session()->is_inactive);
    assert_int_equal(the_session()->counter, 0);
    the_link_has_room_again();
    assert_int_equal(the_session()->counter, 1);
    assert_true(the_session()->is_inactive);
    assert_false(the_session()->is_state_due);
}

static void resumed_stream_is_told_as_active_before_it_is_read(void **state)
{
    (void)state; /* §5.2 */
    authenticate_to_resume();
    client_sends("<resume " SM " previd='x' h='0'/><inactive xmlns='urn:xmpp:csi:0'/>");
    fixture.is_link_full = true;
    was_inactive = true;
    router_resumes(WIRE__STATUS__STATUS_OK, false);
    was_inactive = false;
    expect("<resumed");
    assert_false(the_session()->is_inactive);
    the_link_has_room_again();
    assert_true(the_session()->is_inactive);
}

static void client_state_is_neither_offered_nor_heard_when_it_is_off(void **state)
{
    (void)state;
    fixture.edge.settings->c2s_copy.client_state = false;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    expect("<success");
    client_sends(HEADER_TO("example.org"));
    const char *said = server_said();
    expect_part(said, "<sm xmlns='urn:xmpp:sm:3'/>");
    assert_null(strstr(said, "urn:xmpp:csi:0"));
    bind_resource();
    client_sends("<inactive xmlns='urn:xmpp:csi:0'/>");
    assert_false(the_session()->is_inactive || the_session()->is_state_due);
    expect_silence();
}

#define SM_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SM_TEST(feature_is_offered_with_bind),
        SM_TEST(wrong_moments_are_refused_and_the_stream_goes_on),
        SM_TEST(nothing_is_read_until_the_router_counts),
        SM_TEST(request_is_answered_when_all_before_it_is_handled),
        SM_TEST(request_is_answered_in_time_and_once_more_at_the_end),
        SM_TEST(each_request_has_an_answer),
        SM_TEST(errors_of_the_edge_are_counted_by_both_sides),
        SM_TEST(answers_of_the_edge_name_whom_the_stanza_was_for),
        SM_TEST(acknowledgement_is_asked_for_after_some_stanzas),
        SM_TEST(acknowledgement_is_asked_for_after_many_bytes),
        SM_TEST(acknowledgement_is_asked_for_after_some_quiet),
        SM_TEST(client_that_is_busy_is_not_asked_at_once),
        SM_TEST(silent_client_is_detached),
        SM_TEST(client_that_is_not_read_is_not_silent),
        SM_TEST(what_is_missing_is_asked_for_again_in_a_quiet_session),
        SM_TEST(time_to_acknowledge_begins_anew_when_it_is_read),
        SM_TEST(wrong_acks_end_the_session),
        SM_TEST(only_an_unfinished_stream_may_be_resumed),
        SM_TEST(resumption_carries_the_counts_over),
        SM_TEST(former_stream_on_this_edge_ends_with_conflict),
        SM_TEST(refused_resumption_leaves_the_way_to_bind),
        SM_TEST(nonsense_is_not_asked),
        SM_TEST(routers_that_cannot_answer_are_asked_again),
        SM_TEST(resumption_that_waits_too_long_is_our_fault),
        SM_TEST(answer_older_than_the_session_here_is_refused),
        SM_TEST(counts_wrap),
        SM_TEST(resume_says_true_in_two_ways),
        SM_TEST(changes_of_the_client_state_are_passed_on),
        SM_TEST(each_client_state_is_told_before_more_is_read),
        SM_TEST(resumed_stream_is_told_as_active_before_it_is_read),
        SM_TEST(client_state_is_neither_offered_nor_heard_when_it_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

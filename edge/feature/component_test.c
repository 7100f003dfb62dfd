/* XEP-0114 at the edge: the handshake is a router's business, addresses are ours. */
#include "edge/stream_fixture.h"

#define STREAM_TO(ns, to) \
    "<stream:stream xmlns='" ns "' xmlns:stream='http://etherx.jabber.org/streams'" to ">"
#define HEADER STREAM_TO("jabber:component:accept", " to='comp.example.org'")

static void router_accepts(Wire__Status status, const char *full)
{
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 1, 2 }));
    Wire__BindReply bound = WIRE__BIND_REPLY__INIT;
    bound.status = status;
    bound.session = &id;
    bound.full = wire_bytes(str_from_cstr(full));
    bound.token = wire_bytes(STR("token"));
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_BIND_REPLY;
    reply.bind_reply = &bound;
    router_answers(&reply);
}

static void shake(void)
{
    (void)connect_by(LISTENER_COMPONENT);
    client_sends(HEADER);
    expect("from='comp.example.org'");
    client_sends("<handshake>0123</handshake>");
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_COMPONENT_BIND);
}

static void enter(void)
{
    shake();
    router_accepts(WIRE__STATUS__STATUS_OK, "comp.example.org/1");
    assert_string_equal(server_said(), "<handshake/>");
    assert_int_equal(fixture.edge.streams->state, STREAM_COMPONENT);
}

static void handshake_goes_to_the_router(void **state)
{
    (void)state;
    (void)connect_by(LISTENER_COMPONENT);
    client_sends(HEADER);
    const char *said = server_said();
    assert_null(strstr(said, "version='1.0' "));
    assert_null(strstr(said, "features"));
    const char *id = strstr(said, " id='");
    assert_non_null(id);
    client_sends("<handshake>0123</handshake><message/>"); /* the second one waits */
    expect_silence();
    const Wire__Envelope *envelope = NULL;
    assert_int_equal(wire_unpack(&fixture.arena, buf_view(&fixture.question), &envelope), ERR_OK);
    const Wire__ComponentBind *bind = envelope->component_bind;
    assert_true(str_equal(wire_str(bind->domain), STR("comp.example.org")));
    assert_true(str_equal(wire_str(bind->handshake), STR("0123")));
    assert_int_equal(bind->stream_id.len, 32);
    assert_memory_equal(bind->stream_id.data, id + 5, 32);
}

static void refusals_end_the_stream(void **state)
{
    (void)state;
    static const struct {
        Wire__Status status;
        const char *full;
        const char *condition;
    } refusals[] = {
        { WIRE__STATUS__STATUS_NOT_AUTHORIZED, "", "not-authorized" },
        { WIRE__STATUS__STATUS_NOT_FOUND, "", "host-unknown" },
        { WIRE__STATUS__STATUS_TEMPORARY, "", "internal-server-error" },
        { WIRE__STATUS__STATUS_OK, "other.example/1", "internal-server-error" },
        { WIRE__STATUS__STATUS_OK, "comp.example.org", "internal-server-error" },
    };
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        fixture.is_finished = false;
        shake();
        router_accepts(refusals[i].status, refusals[i].full);
        expect_death(refusals[i].condition);
        turn();
    }
    fixture.is_finished = false;
    shake();
    router_answers(NULL);
    expect_death("internal-server-error");
}

static void wrong_headers_and_elements(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        { STREAM_TO("jabber:client", " to='comp.example.org'"), "invalid-namespace" },
        { STREAM_TO("jabber:component:accept", ""), "improper-addressing" },
        { STREAM_TO("jabber:component:accept", " to='example.org'"), "host-unknown" },
        { STREAM_TO("jabber:component:accept", " to='a@comp.example.org'"), "improper-addressing" },
        { HEADER "<message from='comp.example.org' to='a@example.org'/>", "not-authorized" },
        { HEADER "<handshake xmlns='jabber:client'/>", "not-authorized" },
        { HEADER "<stream:features/>", "not-authorized" },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fixture.is_finished = false;
        (void)connect_by(LISTENER_COMPONENT);
        client_sends(wrong[i][0]);
        expect_death(wrong[i][1]);
        turn();
    }
}

static void silence_ends(void **state)
{
    (void)state;
    (void)connect_by(LISTENER_COMPONENT);
    client_sends(HEADER);
    expect("<stream:stream");
    pass_time(61000);
    expect_death("policy-violation"); /* B09 */
}

static void its_stanzas_are_inputs(void **state)
{
    (void)state;
    enter();
    client_sends(
            "<message from='Bot@comp.example.org/x' to='a@EXAMPLE.org'><body>b</body></message>");
    const struct session *session = fixture.edge.streams->session;
    assert_int_equal(session->inputs.count, 1);
    assert_int_equal(fixture.pumps, 1);
    expect_silence();
    client_sends("<message from='comp.example.org' to='@'/>");
    expect("<message from='comp.example.org' to='comp.example.org' type='error'>");
    client_sends("<iq from='a@comp.example.org' id='1' type='get'><q xmlns='urn:q'/></iq>");
    expect("bad-request");
    assert_int_equal(session->inputs.count, 1);
    client_sends("<message from='a@example.org' to='b@example.org'/>");
    expect_death("invalid-from");
}

static void nothing_else_is_understood(void **state)
{
    (void)state;
    enter();
    client_sends("<handshake>0123</handshake>");
    expect_death("unsupported-stanza-type");
}

static void its_limits_are_its_own(void **state)
{
    (void)state;
    enter();
    struct buf text;
    buf_init(&text, 0);
    buf_append_literal(&text, "<message from='comp.example.org' to='a@example.org'><body>");
    for (int i = 0; i < 25000; i++) {
        buf_append_char(&text, 'x');
    }
    buf_append_literal(&text, "</body></message>");
    buf_append_char(&text, '\0');
    client_sends(buf_view(&text).ptr);
    expect_death("policy-violation");
    buf_fini(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handshake_goes_to_the_router),
        TEST(refusals_end_the_stream),
        TEST(wrong_headers_and_elements),
        TEST(silence_ends),
        TEST(its_stanzas_are_inputs),
        TEST(nothing_else_is_understood),
        TEST(its_limits_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SASL2 with everything inside, message by message: what the router is asked, what the client is
 * told, and in which order. */
#include "edge/stream_fixture.h"

#define HEADER HEADER_TO("example.org")
#define SASL2  "xmlns='urn:xmpp:sasl:2'"
#define CLIENT "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
#define PLAIN_WITH(inside)                                                         \
    "<authenticate " SASL2 " mechanism='PLAIN'><initial-response>AHVzZXIAcGVuY2ls" \
    "</initial-response>" CLIENT inside "</authenticate>"
#define BIND_ALL                                                                           \
    "<bind xmlns='urn:xmpp:bind:0'><tag>T</tag><enable xmlns='urn:xmpp:sm:3' resume='1'/>" \
    "<enable xmlns='urn:xmpp:carbons:2'/><inactive xmlns='urn:xmpp:csi:0'/></bind>"
#define RESUME "<resume xmlns='urn:xmpp:sm:3' previd='p' h='5'/>"

static const Wire__Envelope *question(void)
{
    const Wire__Envelope *envelope = NULL;
    assert_int_equal(wire_unpack(&fixture.arena, buf_view(&fixture.question), &envelope), ERR_OK);
    return envelope;
}

static void router_binds_managed(const char *resume_id)
{
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 1, 2 }));
    Wire__BindReply bound = WIRE__BIND_REPLY__INIT;
    bound.session = &id;
    bound.full = wire_bytes(STR("user@example.org/T/x"));
    bound.token = wire_bytes(STR("token"));
    bound.has_sm = true;
    bound.resume_id = wire_bytes(str_from_cstr(resume_id));
    bound.max_s = 300;
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_BIND_REPLY;
    reply.bind_reply = &bound;
    router_answers(&reply);
}

static void it_is_offered_inside_tls(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("plain.example"));
    assert_null(strstr(server_said(), "urn:xmpp:sasl:2"));
    become_secure();
    client_sends(HEADER_TO("plain.example"));
    const char *said = server_said();
    expect_part(said, "<authentication " SASL2 "><mechanism>SCRAM-SHA-512-PLUS</mechanism>");
    expect_part(said, "<inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'>");
    expect_part(said, "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism>");
    assert_null(strstr(said, "HT-SHA-256-ENDP")); /* this connection has no such binding */
}

static void everything_comes_in_one_success(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends(PLAIN_WITH(BIND_ALL));
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    expect_silence(); /* nothing before the session is there */
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_BIND);
    const Wire__Bind *bind = question()->bind;
    assert_true(bind->wants_sm && bind->may_resume && bind->has_carbons && bind->is_inactive);
    assert_true(str_equal(wire_str(bind->tag), STR("T")) && bind->client && bind->client->hi != 0);
    router_binds_managed("sm-1");
    assert_string_equal(server_said(),
            "<success " SASL2 "><authorization-identifier>user@example.org/T/x"
            "</authorization-identifier><bound xmlns='urn:xmpp:bind:0'>"
            "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='300'/></bound></success>"
            "<stream:features><csi xmlns='urn:xmpp:csi:0'/><limits "
            "xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes></limits>"
            "</stream:features>");
    struct session *session = fixture.edge.streams->session;
    assert_true(session_may_resume(session) && session->is_inactive && !session->is_state_due);
    client_sends(PLAIN_WITH(""));
    expect_death("policy-violation"); /* XEP-0388 §4.8 */
}

static void client_state_that_is_off_is_not_heard_at_bind(void **state)
{
    (void)state;
    fixture.edge.settings->c2s_copy.client_state = false;
    (void)connect_client(false);
    client_sends(HEADER);
    become_secure();
    (void)server_said();
    client_sends(HEADER);
    const char *said = server_said();
    expect_part(said, "<feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:sm:3'/>");
    assert_null(strstr(said, "urn:xmpp:csi:0"));
    client_sends(PLAIN_WITH(BIND_ALL));
    router_says(WIRE__STATUS__STATUS_OK);
    const Wire__Bind *bind = question()->bind;
    assert_true(bind->wants_sm && bind->has_carbons && !bind->is_inactive);
    router_binds_managed("sm-1");
    assert_null(strstr(server_said(), "urn:xmpp:csi:0"));
    assert_false(fixture.edge.streams->session->is_inactive);
}

static void a_refused_bind_is_a_failure_and_another_attempt_is_free(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends(PLAIN_WITH(BIND_ALL));
    router_says(WIRE__STATUS__STATUS_OK);
    router_binds(WIRE__STATUS__STATUS_LIMIT);
    expect("<failure " SASL2 "><temporary-auth-failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
           "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failure>");
    client_sends("<message/>");
    expect_death("not-authorized"); /* nobody has logged in */
}

static void a_resumption_needs_no_resource(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends(PLAIN_WITH(RESUME BIND_ALL));
    router_says(WIRE__STATUS__STATUS_OK);
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_RESUME);
    assert_int_equal(question()->resume->h, 5);
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 1, 2 }));
    Wire__ResumeReply resumed = WIRE__RESUME_REPLY__INIT;
    resumed.session = &id;
    resumed.full = wire_bytes(STR("user@example.org/desk"));
    resumed.handled = 9;
    resumed.counter = 2;
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_RESUME_REPLY;
    reply.resume_reply = &resumed;
    router_answers(&reply);
    /* XEP-0198 §9.2: no features. */
    assert_string_equal(server_said(),
            "<success " SASL2 "><authorization-identifier>user@example.org/desk"
            "</authorization-identifier><resumed xmlns='urn:xmpp:sm:3' h='7' previd='p'/>"
            "</success>");
    assert_int_equal(fixture.edge.streams->state, STREAM_SESSION);
}

static void a_failed_resumption_goes_on_to_bind(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends(PLAIN_WITH(RESUME BIND_ALL));
    router_says(WIRE__STATUS__STATUS_OK);
    Wire__ResumeReply refused = WIRE__RESUME_REPLY__INIT;
    refused.status = WIRE__STATUS__STATUS_NOT_FOUND;
    refused.has_h = true;
    refused.handled = 4;
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_RESUME_REPLY;
    reply.resume_reply = &refused;
    router_answers(&reply);
    expect_silence();
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_BIND);
    router_binds_managed("");
    const char *said = server_said();
    expect_part(said,
            "<failed xmlns='urn:xmpp:sm:3' h='4'><item-not-found "
            "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed><bound ");
    expect_part(said, "<enabled xmlns='urn:xmpp:sm:3'/></bound>");
}

static void an_older_router_knows_no_inline_stream_management(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends(PLAIN_WITH(BIND_ALL));
    router_says(WIRE__STATUS__STATUS_OK);
    router_binds(WIRE__STATUS__STATUS_OK);
    expect("<bound xmlns='urn:xmpp:bind:0'><failed xmlns='urn:xmpp:sm:3'>");
    assert_false(session_has_sm(fixture.edge.streams->session));
}

static void without_bind_the_stream_goes_on_without_a_restart(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends(PLAIN_WITH(""));
    router_says(WIRE__STATUS__STATUS_OK);
    const char *said = server_said();
    expect_part(said, "<authorization-identifier>user@example.org</authorization-identifier>");
    expect_part(said, "<stream:features><bind ");
    bind_resource();
}

static void tokens_are_asked_and_told(void **state)
{
    (void)state;
    open_secure(HEADER);
    /* "user", NUL and 32 bytes. */
    client_sends("<authenticate " SASL2 " mechanism='HT-SHA-256-EXPR'><initial-response>"
                 "dXNlcgAwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==</initial-response>" CLIENT
                 "<fast xmlns='urn:xmpp:fast:0' count='3'/></authenticate>");
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_AUTH_TOKEN);
    const Wire__AuthToken *token = question()->auth_token;
    assert_true(str_equal(wire_str(token->bare), STR("user@example.org")));
    assert_int_equal(token->mechanism, HT_SHA_256_EXPR);
    assert_int_equal(token->binding.len, 32); /* the exporter's bytes of the fixture */
    assert_true(token->proof.len == 32 && token->has_count && token->count == 3);
    Wire__AuthResult result = WIRE__AUTH_RESULT__INIT;
    result.server_signature = wire_bytes(STR("ok"));
    result.token = wire_bytes(STR("next"));
    result.token_expires = 1700000000;
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_AUTH_RESULT;
    reply.auth_result = &result;
    router_answers(&reply);
    const char *said = server_said();
    expect_part(said, "<additional-data>b2s=</additional-data>");
    expect_part(said,
            "<token xmlns='urn:xmpp:fast:0' expiry='2023-11-14T22:13:20.000Z' token='next'/>");
    assert_string_equal(fixture.edge.streams->binding, "tls-exporter");
}

static void an_expired_token_is_no_guess(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends("<authenticate " SASL2 " mechanism='HT-SHA-256-NONE'><initial-response>"
                 "dXNlcgAwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==</initial-response>" CLIENT
                 "<fast xmlns='urn:xmpp:fast:0'/></authenticate>");
    Wire__AuthResult result = WIRE__AUTH_RESULT__INIT;
    result.status = WIRE__STATUS__STATUS_NOT_AUTHORIZED;
    result.is_expired = true;
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_AUTH_RESULT;
    reply.auth_result = &result;
    router_answers(&reply);
    expect("<credentials-expired xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"); /* at once */
}

static void messages_out_of_turn_end_the_stream(void **state)
{
    (void)state;
    const char *const elements[] = {
        "<response " SASL2 ">AA==</response>",
        "<abort " SASL2 "/>",
        "<next " SASL2 " task='UPGR-SCRAM-SHA-1'/>",
        "<task-data " SASL2 "/>",
    };
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        fixture.is_finished = false;
        open_secure(HEADER);
        client_sends(elements[i]);
        expect_death("not-authorized");
        turn();
    }
}

static void a_client_that_leaves_cancels_what_it_asked(void **state)
{
    (void)state;
    open_secure(HEADER);
    client_sends(PLAIN_WITH(BIND_ALL));
    router_says(WIRE__STATUS__STATUS_OK);
    stream_drop(fixture.edge.streams);
    assert_int_equal(fixture.cancels, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_is_offered_inside_tls),
        TEST(everything_comes_in_one_success),
        TEST(client_state_that_is_off_is_not_heard_at_bind),
        TEST(a_refused_bind_is_a_failure_and_another_attempt_is_free),
        TEST(a_resumption_needs_no_resource),
        TEST(a_failed_resumption_goes_on_to_bind),
        TEST(an_older_router_knows_no_inline_stream_management),
        TEST(without_bind_the_stream_goes_on_without_a_restart),
        TEST(tokens_are_asked_and_told),
        TEST(an_expired_token_is_no_guess),
        TEST(messages_out_of_turn_end_the_stream),
        TEST(a_client_that_leaves_cancels_what_it_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

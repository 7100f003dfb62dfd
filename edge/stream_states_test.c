/* The negotiation, state by state: right steps lead on, each wrong one gets its RFC 6120 error.
 * Rows of the hostile-input catalogue are named at the tests. */
#include "edge/stream_fixture.h"

#define STANZA_QUERY "<query xmlns='jabber:iq:register'>"

struct wrong_header {
    const char *row;
    const char *header;
    const char *condition;
};

#define STREAM_NS "xmlns:stream='http://etherx.jabber.org/streams'"

static const struct wrong_header wrong_headers[] = {
    { "A01",
            "<stream:stream xmlns='jabber:client' version='1.0' " STREAM_NS ">",
            "improper-addressing" },
    { "A02", HEADER_TO("foreign.example"), "host-unknown" },
    { "A03", HEADER_TO("gone.example"), "host-gone" },
    { "A04 empty", HEADER_TO(""), "improper-addressing" },
    { "A04 space", HEADER_TO("exam ple.org"), "improper-addressing" },
    { "A04 local part", HEADER_TO("user@example.org"), "improper-addressing" },
    { "A04 resource", HEADER_TO("example.org/x"), "improper-addressing" },
    { "A05",
            "<stream:stream xmlns='jabber:client' to='example.org' version='1.0' "
            "xmlns:stream='urn:wrong'>",
            "invalid-namespace" },
    { "A06 server",
            "<stream:stream xmlns='jabber:server' to='example.org' version='1.0' " STREAM_NS ">",
            "invalid-namespace" },
    { "A06 foreign",
            "<stream:stream xmlns='urn:foreign' to='example.org' version='1.0' " STREAM_NS ">",
            "invalid-namespace" },
    { "A07", "<html>", "bad-format" },
    { "A08 missing",
            "<stream:stream xmlns='jabber:client' to='example.org' " STREAM_NS ">",
            "unsupported-version" },
    { "A08 abc",
            "<stream:stream xmlns='jabber:client' to='example.org' version='abc' " STREAM_NS ">",
            "unsupported-version" },
    { "A08 old",
            "<stream:stream xmlns='jabber:client' to='example.org' version='0.9' " STREAM_NS ">",
            "unsupported-version" },
    { "A09", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "not-well-formed" },
};

static void wrong_headers_die_with_our_header_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong_headers) / sizeof(wrong_headers[0]); i++) {
        fixture.is_finished = false;
        (void)connect_client(false);
        client_sends(wrong_headers[i].header);
        const char *said = server_said();
        if (strncmp(said, "<?xml version='1.0'?><stream:stream ", 36) != 0
                || !strstr(said, wrong_headers[i].condition) || !fixture.is_finished) {
            fail_msg("%s: %s", wrong_headers[i].row, said);
        }
        turn();
    }
}

static void later_version_is_answered_with_ours(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends("<stream:stream xmlns='jabber:client' to='example.org' version='9.0' " STREAM_NS
                 ">"); /* A08 */
    const char *said = server_said();
    expect_part(said, "version='1.0'");
    expect_part(said, "from='example.org'");
    expect_part(said, "<stream:features><starttls");
}

static void tls_is_required_and_nothing_else_is_offered_before(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    const char *said = server_said();
    expect_part(said, "<required/>");
    assert_null(strstr(said, "<mechanisms"));
    assert_null(strstr(said, "<register"));
    expect_part(said, "<max-bytes>10000</max-bytes>"); /* A22 */
}

static void auth_before_required_tls_is_refused_and_may_go_on(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    (void)server_said();
    client_sends(AUTH_PLAIN);
    expect("<encryption-required/>"); /* B03 */
    assert_non_null(fixture.transport);
    become_secure();
}

static void nothing_behind_starttls_is_read_in_plain(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    (void)server_said();
    client_sends("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" AUTH_PLAIN);
    const char *said = server_said();
    expect_part(said, "<proceed");
    assert_null(strstr(said, "failure"));
    /* B01: the transport sees what was not taken and refuses to go on. */
    assert_true(fixture.transport->held.len == sizeof(AUTH_PLAIN) - 1);
}

static void starttls_inside_tls_fails_and_closes(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"); /* B02 */
    expect("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
    assert_true(fixture.is_finished);
}

static void stanzas_before_authentication_are_not_processed(void **state)
{
    (void)state;
    const char *const stanzas[] = { "<message to='a@b.c'/>",
        "<presence/>",
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>" };
    for (size_t i = 0; i < 3; i++) {
        fixture.is_finished = false;
        open_secure(HEADER_TO("example.org"));
        client_sends(stanzas[i]);
        expect_death("not-authorized"); /* A20 */
        turn();
    }
}

static void unknown_elements_end_the_stream(void **state)
{
    (void)state;
    const char *const elements[] = { "<foo/>",
        "<x xmlns='urn:foreign'/>",
        "<compress xmlns='http://jabber.org/protocol/compress'/>" }; /* A21, B20 */
    for (size_t i = 0; i < 3; i++) {
        fixture.is_finished = false;
        open_secure(HEADER_TO("example.org"));
        client_sends(elements[i]);
        expect_death("unsupported-stanza-type");
        turn();
    }
}

static void preauth_limits_hold(void **state)
{
    (void)state;
    char big[12001];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    open_secure(HEADER_TO("example.org"));
    client_sends("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>");
    client_sends(big);
    expect_death("policy-violation"); /* A22 */
}

static void silence_times_out_with_our_header_first(void **state)
{
    (void)state;
    (void)connect_client(false);
    pass_time(29000);
    expect_silence();
    pass_time(1500);
    expect_death("connection-timeout"); /* A27 */
}

static void busy_negotiation_ends_after_its_time(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    for (int i = 0; i < 59; i++) {
        pass_time(1000);
        client_sends(" ");
    }
    expect_silence();
    pass_time(2000);
    expect_death("policy-violation"); /* A28 */
}

/* Who waits for us has not violated anything and is to come back. */
static void negotiation_without_answer_is_our_fault(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    pass_time(55000);
    client_sends(AUTH_PLAIN);
    assert_non_null(fixture.answered);
    pass_time(6000);
    expect_death("internal-server-error");
    turn();
    fixture.is_finished = false;
    open_secure(HEADER_TO("example.org"));
    pass_time(59900);
    client_sends(AUTH_PLAIN); /* not this answer took so long */
    pass_time(200);
    expect_death("policy-violation");
}

static void stopped_handshake_is_closed_without_xml(void **state)
{
    (void)state;
    (void)connect_client(true);
    pass_time(10200); /* B09 */
    expect_silence();
    assert_true(fixture.is_destroyed);
    assert_null(fixture.edge.streams);
}

static void close_is_answered_and_errors_are_not_echoed(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org") "</stream:stream>"); /* A32 */
    const char *said = server_said();
    expect_part(said, "</stream:features></stream:stream>");
    turn();
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org") "<stream:error><conflict "
                                          "xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                                          "</stream:error>");
    said = server_said();
    assert_null(strstr(said, "conflict"));
    expect_part(said, "</stream:stream>");
}

static void half_closed_connection_gets_its_answers_and_the_end(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    fixture.transport->handlers->on_end(fixture.transport->context, TRANSPORT_CLOSED); /* A31 */
    expect("</stream:features></stream:stream>");
    assert_true(fixture.is_finished);
}

static void restart_must_name_the_same_host_and_user(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    (void)server_said();
    become_secure();
    client_sends(HEADER_TO("any.example"));
    expect_death("not-authorized"); /* A34 */
    turn();

    fixture.is_finished = false;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_OK);
    (void)server_said();
    client_sends("<stream:stream xmlns='jabber:client' to='example.org' version='1.0' " STREAM_NS
                 " from='other@example.org'>");
    expect_death("not-authorized");
}

static void plain_is_never_offered_without_tls(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("plain.example"));
    const char *said = server_said();
    expect_part(said, "<mechanism>SCRAM-SHA-256</mechanism>");
    assert_null(strstr(said, ">PLAIN<"));
    assert_null(strstr(said, "-PLUS<"));
    client_sends(AUTH_PLAIN);
    expect("<invalid-mechanism/>"); /* B11 */
}

static void channel_bindings_are_announced_with_plus(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("example.org"));
    (void)server_said();
    become_secure();
    client_sends(HEADER_TO("example.org"));
    const char *said = server_said();
    expect_part(said, "<mechanism>SCRAM-SHA-256-PLUS</mechanism>");
    expect_part(said, "<channel-binding type='tls-exporter'/>"); /* XEP-0440 */
}

static void host_for_any_password_offers_plain_only(void **state)
{
    (void)state;
    (void)connect_client(false);
    client_sends(HEADER_TO("any.example"));
    (void)server_said();
    become_secure();
    client_sends(HEADER_TO("any.example"));
    expect("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
           "</mechanisms>");
}

static void sasl_mistakes_are_answered_and_the_stream_goes_on(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
    expect("<invalid-mechanism/>"); /* B11 */
    client_sends("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>!</auth>");
    expect("<incorrect-encoding/>"); /* B12 */
    client_sends("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AAAA</auth>");
    expect("<malformed-request/>");
    client_sends("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    expect("<aborted/>"); /* B18 */
    authenticate();
}

static void response_without_auth_ends_the_stream(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    expect_death("not-authorized"); /* B12 */
}

static void wrong_password_is_answered_after_a_delay(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_NOT_AUTHORIZED);
    expect_silence();
    pass_time(200);
    expect("<not-authorized/>"); /* B13 */
    authenticate();
}

static void sixth_failure_ends_the_stream(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    for (int i = 0; i < 5; i++) {
        client_sends(AUTH_PLAIN);
        router_says(WIRE__STATUS__STATUS_NOT_AUTHORIZED);
        pass_time(200);
        expect("<not-authorized/>");
    }
    client_sends(AUTH_PLAIN);
    expect_death("policy-violation"); /* B17 */
}

static void store_out_of_reach_is_no_wrong_password(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    for (int i = 0; i < 8; i++) { /* B22; and it counts as nobody's failure */
        client_sends(AUTH_PLAIN);
        if (i % 2) {
            router_says(WIRE__STATUS__STATUS_TEMPORARY);
        } else {
            router_answers(NULL);
        }
        expect("<temporary-auth-failure/>");
    }
    authenticate();
}

static void disabled_account_is_told(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    router_says(WIRE__STATUS__STATUS_DISABLED);
    pass_time(200);
    expect("<account-disabled/>"); /* B21 */
}

static void second_auth_after_success_ends_the_stream(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    authenticate();
    client_sends(AUTH_PLAIN);
    expect_death("policy-violation"); /* B18 */
}

static void stanza_before_bind_ends_the_stream(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    authenticate();
    client_sends("<message to='a@example.org'><body>x</body></message>");
    expect_death("not-authorized"); /* B19 */
}

static void bind_mistakes_are_answered(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    authenticate();
    client_sends("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>"
                 "&#xE000;</resource></bind></iq>"); /* B24 */
    expect("<bad-request");
    client_sends("<iq type='set' id='2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    router_binds(WIRE__STATUS__STATUS_LIMIT);
    expect("<resource-constraint");
    client_sends("<iq type='set' id='3'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    router_binds(WIRE__STATUS__STATUS_CONFLICT);
    expect("<conflict");
    bind_resource();
}

static void client_that_leaves_while_asking_is_forgotten(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends(AUTH_PLAIN);
    fixture.transport->handlers->on_end(fixture.transport->context, TRANSPORT_RESET);
    assert_int_equal(fixture.cancels, 1);
    assert_null(fixture.edge.streams);
    assert_int_equal(fixture.edge.preauth_count, 0);
}

static void registration_asks_the_router(void **state)
{
    (void)state;
    open_secure(HEADER_TO("example.org"));
    client_sends("<iq type='get' id='1'>" STANZA_QUERY "</query></iq>");
    expect("<username/><password/>");
    client_sends("<iq type='set' id='2'>" STANZA_QUERY "<username>Bill</username></query></iq>");
    expect("<not-acceptable");
    client_sends("<iq type='set' id='3'>" STANZA_QUERY
                 "<username>Bill</username><password>p</password></query></iq>");
    assert_int_equal(fixture.asked, WIRE__ENVELOPE__VERB_REGISTER);
    Wire__RegisterReply registered = WIRE__REGISTER_REPLY__INIT;
    Wire__Envelope reply = WIRE__ENVELOPE__INIT;
    reply.verb_case = WIRE__ENVELOPE__VERB_REGISTER_REPLY;
    reply.register_reply = &registered;
    registered.status = WIRE__STATUS__STATUS_CONFLICT;
    router_answers(&reply);
    expect("<conflict");
    client_sends("<iq type='set' id='4'>" STANZA_QUERY
                 "<username>bob</username><password>p</password></query></iq>");
    registered.status = WIRE__STATUS__STATUS_OK;
    router_answers(&reply);
    const char *said = server_said();
    expect_part(said, "type='result'");
    expect_part(said, "id='4'");
}

static void every_state_has_a_step_for_every_element(void **state)
{
    (void)state;
    for (int s = 0; s < STREAM_STATES; s++) {
        assert_non_null(stream_state_name((enum stream_state)s));
        for (int e = 0; e < STREAM_ELEMENTS; e++) {
            assert_true(stream_states_find((enum stream_state)s, (enum stream_element)e) != NULL);
        }
    }
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(wrong_headers_die_with_our_header_first),
        STREAM_TEST(later_version_is_answered_with_ours),
        STREAM_TEST(tls_is_required_and_nothing_else_is_offered_before),
        STREAM_TEST(auth_before_required_tls_is_refused_and_may_go_on),
        STREAM_TEST(nothing_behind_starttls_is_read_in_plain),
        STREAM_TEST(starttls_inside_tls_fails_and_closes),
        STREAM_TEST(stanzas_before_authentication_are_not_processed),
        STREAM_TEST(unknown_elements_end_the_stream),
        STREAM_TEST(preauth_limits_hold),
        STREAM_TEST(silence_times_out_with_our_header_first),
        STREAM_TEST(busy_negotiation_ends_after_its_time),
        STREAM_TEST(negotiation_without_answer_is_our_fault),
        STREAM_TEST(stopped_handshake_is_closed_without_xml),
        STREAM_TEST(close_is_answered_and_errors_are_not_echoed),
        STREAM_TEST(half_closed_connection_gets_its_answers_and_the_end),
        STREAM_TEST(restart_must_name_the_same_host_and_user),
        STREAM_TEST(plain_is_never_offered_without_tls),
        STREAM_TEST(channel_bindings_are_announced_with_plus),
        STREAM_TEST(host_for_any_password_offers_plain_only),
        STREAM_TEST(sasl_mistakes_are_answered_and_the_stream_goes_on),
        STREAM_TEST(response_without_auth_ends_the_stream),
        STREAM_TEST(wrong_password_is_answered_after_a_delay),
        STREAM_TEST(sixth_failure_ends_the_stream),
        STREAM_TEST(store_out_of_reach_is_no_wrong_password),
        STREAM_TEST(disabled_account_is_told),
        STREAM_TEST(second_auth_after_success_ends_the_stream),
        STREAM_TEST(stanza_before_bind_ends_the_stream),
        STREAM_TEST(bind_mistakes_are_answered),
        STREAM_TEST(client_that_leaves_while_asking_is_forgotten),
        STREAM_TEST(registration_asks_the_router),
        STREAM_TEST(every_state_has_a_step_for_every_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SASL negotiation, RFC 6120 §6: what is offered, and the exchange between the client, the
 * mechanism's state machine and the router that knows the verifiers. */
#include "chassis/base/encoding.h"
#include "chassis/log.h"
#include "edge/auth_throttle.h"
#include "edge/feature/features.h"
#include "edge/negotiation.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"
#include "edge/uplink.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

/* ---- what is offered */

/* RFC 6120 §6.3.4: never alone without TLS, unless the operator has waived it. */
static bool may_authenticate(const struct stream *stream)
{
    return stream->is_secured || !stream->host->tls_required;
}

static bool is_offered(const struct stream *stream, const struct sasl_mechanism *mechanism)
{
    if (stream->host->accept_any_password) {
        /* Test builds: there is no verifier that SCRAM could prove anything against. */
        return !mechanism->is_scram;
    }
    if (!settings_has_mechanism(stream->edge->settings, mechanism)) {
        return false;
    }
    if (!mechanism->is_scram) {
        return stream->is_secured;
    }
    return !mechanism->is_plus || stream->negotiation->binding_count > 0;
}

static void add_binding(struct stream *stream, enum channel_binding type, const char *name)
{
    struct negotiation *negotiation = stream->negotiation;
    struct sasl_binding *binding = &negotiation->bindings[negotiation->binding_count];
    size_t len = 0;
    if (transport_channel_binding(stream->transport, type, binding->bytes, &len) == ERR_OK) {
        binding->name = name;
        binding->len = len;
        negotiation->binding_count++;
    }
}

static void find_bindings(struct stream *stream)
{
    stream->negotiation->binding_count = 0;
    if (stream->is_secured) {
        add_binding(stream, CHANNEL_BINDING_TLS_EXPORTER, "tls-exporter");
        add_binding(stream, CHANNEL_BINDING_TLS_SERVER_END_POINT, "tls-server-end-point");
    }
}

/* XEP-0440 §3. */
static void advertise_bindings(const struct negotiation *negotiation, struct buf *out)
{
    if (!negotiation->is_plus_offered) {
        return;
    }
    xml_open(out, "sasl-channel-binding", NS_SASL_CB);
    xml_end_open(out);
    for (size_t i = 0; i < negotiation->binding_count; i++) {
        xml_open(out, "channel-binding", NULL);
        xml_attr(out, "type", str_from_cstr(negotiation->bindings[i].name));
        xml_end_empty(out);
    }
    xml_close(out, "sasl-channel-binding");
}

static void advertise(struct stream *stream, struct buf *out)
{
    bool is_negotiating =
            stream->state == STREAM_NEGOTIATE_PLAIN || stream->state == STREAM_NEGOTIATE_SECURED;
    if (!is_negotiating || !may_authenticate(stream)) {
        return;
    }
    struct negotiation *negotiation = stream->negotiation;
    find_bindings(stream);
    negotiation->is_plus_offered = false;
    xml_open(out, "mechanisms", NS_SASL);
    xml_end_open(out);
    for (const struct sasl_mechanism *m = sasl_mechanisms; m->name; m++) {
        if (is_offered(stream, m)) {
            xml_text_element(out, "mechanism", NULL, str_from_cstr(m->name));
            negotiation->is_plus_offered |= m->is_plus;
        }
    }
    xml_close(out, "mechanisms");
    advertise_bindings(negotiation, out);
}

const struct stream_feature feature_sasl = { .name = "sasl", .advertise = advertise };

/* ---- ends */

static void write_failure(struct stream *stream, enum sasl_condition condition)
{
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "failure", NS_SASL);
    xml_end_open(&out);
    xml_open(&out, sasl_condition_name(condition), NULL);
    xml_end_empty(&out);
    xml_close(&out, "failure");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

static void end_exchange(struct negotiation *negotiation)
{
    sasl_exchange_destroy(negotiation->exchange);
    negotiation->exchange = NULL;
    negotiation->mechanism = NULL;
    negotiation->is_judged = false;
}

/* A wrong password costs time: the answer waits, longer for an address that guesses, and few are
 * allowed on a stream (B17). What failed before a router looked at any password is no guess and is
 * answered at once: there are clients that try every mechanism before they find the one they can
 * do (binding types they do not share with us, the GS2 flag of B16). */
static bool is_guess(const struct negotiation *negotiation, enum sasl_condition condition)
{
    return negotiation->is_judged
            && (condition == SASL_NOT_AUTHORIZED || condition == SASL_ACCOUNT_DISABLED);
}

static bool has_failed_too_often(const struct stream *stream)
{
    const struct c2s_settings *c2s = stream->edge->settings->c2s;
    return stream->negotiation->guesses >= (unsigned)c2s->max_auth_failures
            || stream->negotiation->failures >= (unsigned)c2s->max_auth_attempts;
}

static void fail(struct stream *stream, enum sasl_condition condition)
{
    struct negotiation *negotiation = stream->negotiation;
    struct edge *edge = stream->edge;
    stream_metrics_sasl(NULL, condition);
    if (negotiation->exchange && sasl_was_binding_mismatch(negotiation->exchange)) {
        stream_metrics_binding_mismatch();
        log_warn("sasl",
                "channel binding mismatch or downgrade, possible attack",
                log_cstr("mechanism", negotiation->mechanism->name));
    }
    bool was_guess = is_guess(negotiation, condition);
    end_exchange(negotiation);
    if (condition != SASL_TEMPORARY_AUTH_FAILURE) {
        negotiation->failures++;
    }
    int64_t delay_ms = 0;
    if (was_guess) {
        negotiation->guesses++;
        delay_ms = auth_throttle_failed(edge->throttle,
                &stream->address,
                edge->settings->c2s->sasl_failure_delay_ms,
                loop_now_ms(edge->loop));
    }
    if (delay_ms == 0) {
        write_failure(stream, condition);
        return;
    }
    negotiation->failure = condition;
    stream_pause(stream, PAUSE_ANSWER);
    stream_wake_in(stream, delay_ms);
}

void sasl_tell_failure(struct stream *stream)
{
    write_failure(stream, stream->negotiation->failure);
    stream_resume(stream, PAUSE_ANSWER);
}

static void succeed(struct stream *stream, struct str additional_data)
{
    struct negotiation *negotiation = stream->negotiation;
    stream->mechanism = negotiation->mechanism->name;
    stream->binding = sasl_binding_used(negotiation->exchange);
    negotiation->bare = str_to_cstr(sasl_bare(negotiation->exchange));
    stream_metrics_sasl(stream->mechanism, SASL_OK);
    end_exchange(negotiation);

    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "success", NS_SASL);
    if (str_is_empty(additional_data)) {
        xml_end_empty(&out);
    } else {
        xml_end_open(&out);
        base64_encode(&out, additional_data);
        xml_close(&out, "success");
    }
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
    stream_restart(stream, STREAM_HEADER_AUTHENTICATED);
}

static void challenge(struct stream *stream, struct str data)
{
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "challenge", NS_SASL);
    xml_end_open(&out);
    base64_encode(&out, data);
    xml_close(&out, "challenge");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

/* ---- asking the router */

static void ask_lookup(struct stream *stream);
static void ask_verify(struct stream *stream);
static void ask_plain(struct stream *stream);

/* `out` is what the machine has to say. */
static void go_on(struct stream *stream, enum sasl_next next, struct buf *out)
{
    switch (next) {
    case SASL_NEXT_CHALLENGE: challenge(stream, buf_view(out)); break;
    case SASL_NEXT_LOOKUP: ask_lookup(stream); break;
    case SASL_NEXT_VERIFY: ask_verify(stream); break;
    case SASL_NEXT_PLAIN: ask_plain(stream); break;
    case SASL_NEXT_SUCCESS: succeed(stream, buf_view(out)); break;
    case SASL_NEXT_FAILURE: fail(stream, sasl_failure(stream->negotiation->exchange)); break;
    }
    if (out->data) {
        secret_wipe(out->data, out->capacity);
    }
    buf_fini(out);
}

static enum sasl_condition condition_of(Wire__Status status)
{
    switch ((int)status) {
    case WIRE__STATUS__STATUS_OK: return SASL_OK;
    case WIRE__STATUS__STATUS_NOT_AUTHORIZED: return SASL_NOT_AUTHORIZED;
    case WIRE__STATUS__STATUS_DISABLED: return SASL_ACCOUNT_DISABLED;
    default: return SASL_TEMPORARY_AUTH_FAILURE; /* B22 */
    }
}

static void on_lookup(void *context, const Wire__Envelope *envelope)
{
    struct stream *stream = context;
    struct negotiation *negotiation = stream->negotiation;
    const Wire__AuthLookupReply *reply =
            envelope && envelope->verb_case == WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY
            ? envelope->auth_lookup_reply
            : NULL;
    negotiation->request = NULL;
    stream_resume(stream, PAUSE_ANSWER);
    if (!reply || reply->status != WIRE__STATUS__STATUS_OK) {
        fail(stream, condition_of(reply ? reply->status : WIRE__STATUS__STATUS_TEMPORARY));
        return;
    }
    struct buf out;
    buf_init(&out, 0);
    enum sasl_next next = sasl_exchange_lookup(negotiation->exchange,
            wire_str(reply->salt),
            reply->iterations,
            wire_str(reply->server_nonce),
            &out);
    go_on(stream, next, &out);
}

static void on_result(void *context, const Wire__Envelope *envelope)
{
    struct stream *stream = context;
    struct negotiation *negotiation = stream->negotiation;
    const Wire__AuthResult *reply =
            envelope && envelope->verb_case == WIRE__ENVELOPE__VERB_AUTH_RESULT
            ? envelope->auth_result
            : NULL;
    negotiation->request = NULL;
    stream_resume(stream, PAUSE_ANSWER);
    enum sasl_condition condition =
            condition_of(reply ? reply->status : WIRE__STATUS__STATUS_TEMPORARY);
    if (reply && condition == SASL_OK) {
        buf_clear(&negotiation->grant);
        buf_append_str(&negotiation->grant, wire_str(reply->grant));
    }
    negotiation->is_judged = true;
    struct buf out;
    buf_init(&out, 0);
    enum sasl_next next = sasl_exchange_verified(negotiation->exchange,
            condition,
            reply ? wire_str(reply->server_signature) : STR_NULL,
            &out);
    go_on(stream, next, &out);
}

static void ask(struct stream *stream, Wire__Envelope *envelope, request_answered answered)
{
    struct negotiation *negotiation = stream->negotiation;
    stream_pause(stream, PAUSE_ANSWER);
    negotiation->request = uplink_ask(
            stream->edge->uplink, sasl_bare(negotiation->exchange), envelope, answered, stream);
}

static void ask_lookup(struct stream *stream)
{
    const struct negotiation *negotiation = stream->negotiation;
    Wire__AuthLookup lookup = WIRE__AUTH_LOOKUP__INIT;
    lookup.bare = wire_bytes(sasl_bare(negotiation->exchange));
    lookup.digest = negotiation->mechanism->digest;
    lookup.client_nonce = wire_bytes(sasl_client_nonce(negotiation->exchange));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_LOOKUP;
    envelope.auth_lookup = &lookup;
    ask(stream, &envelope, on_lookup);
}

static void ask_verify(struct stream *stream)
{
    const struct negotiation *negotiation = stream->negotiation;
    const struct sasl_exchange *exchange = negotiation->exchange;
    Wire__AuthVerify verify = WIRE__AUTH_VERIFY__INIT;
    verify.bare = wire_bytes(sasl_bare(exchange));
    verify.digest = negotiation->mechanism->digest;
    verify.client_nonce = wire_bytes(sasl_client_nonce(exchange));
    verify.server_nonce = wire_bytes(sasl_server_nonce(exchange));
    verify.auth_message = wire_bytes(sasl_auth_message(exchange));
    verify.proof = wire_bytes(sasl_proof(exchange));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_VERIFY;
    envelope.auth_verify = &verify;
    ask(stream, &envelope, on_result);
}

static void ask_plain(struct stream *stream)
{
    const struct negotiation *negotiation = stream->negotiation;
    Wire__AuthPlain plain = WIRE__AUTH_PLAIN__INIT;
    plain.bare = wire_bytes(sasl_bare(negotiation->exchange));
    plain.password = wire_bytes(sasl_password(negotiation->exchange));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_PLAIN;
    envelope.auth_plain = &plain;
    ask(stream, &envelope, on_result);
}

/* ---- what the client says */

/* RFC 6120 §6.4.2: nothing is no data, "=" is empty data. */
static void step(struct stream *stream, const struct xml_element *element)
{
    struct negotiation *negotiation = stream->negotiation;
    struct buf data;
    buf_init(&data, 0);
    bool is_empty_data = str_equal(element->text, STR("="));
    if (element->child_count > 0) {
        fail(stream, SASL_MALFORMED_REQUEST);
    } else if (!is_empty_data && base64_decode(&data, element->text) != ERR_OK) {
        fail(stream, SASL_INCORRECT_ENCODING);
    } else {
        struct buf out;
        buf_init(&out, 0);
        bool has_data = is_empty_data || !str_is_empty(element->text);
        enum sasl_next next =
                sasl_exchange_step(negotiation->exchange, buf_view(&data), has_data, &out);
        go_on(stream, next, &out);
    }
    if (data.data) {
        secret_wipe(data.data, data.capacity);
    }
    buf_fini(&data);
}

static bool start_exchange(struct stream *stream, struct str mechanism_name)
{
    struct negotiation *negotiation = stream->negotiation;
    const struct sasl_mechanism *mechanism = sasl_mechanism_find(mechanism_name);
    if (!mechanism || !is_offered(stream, mechanism)) {
        return false;
    }
    const struct sasl_environment environment = {
        .host = stream->host->domain,
        .bindings = negotiation->bindings,
        .binding_count = negotiation->binding_count,
        .plus_was_offered = negotiation->is_plus_offered,
    };
    negotiation->mechanism = mechanism;
    negotiation->exchange = sasl_exchange_create(mechanism, &environment);
    return true;
}

void sasl_handle_auth(struct stream *stream, const struct xml_element *element)
{
    struct negotiation *negotiation = stream->negotiation;
    if (has_failed_too_often(stream)) {
        stream_fail(stream, STREAM_ERROR_POLICY_VIOLATION, STR_NULL); /* B17 */
        return;
    }
    end_exchange(negotiation); /* a second <auth/> gives up the first */
    if (!may_authenticate(stream)) {
        fail(stream, SASL_ENCRYPTION_REQUIRED); /* B03 */
    } else if (!start_exchange(stream, xml_element_attribute(element, STR("mechanism")))) {
        fail(stream, SASL_INVALID_MECHANISM); /* B11 */
    } else {
        step(stream, element);
    }
}

void sasl_handle_response(struct stream *stream, const struct xml_element *element)
{
    if (!stream->negotiation->exchange) {
        stream_fail(stream, STREAM_ERROR_NOT_AUTHORIZED, STR_NULL); /* B12 */
        return;
    }
    step(stream, element);
}

void sasl_handle_abort(struct stream *stream, const struct xml_element *element)
{
    (void)element;
    fail(stream, SASL_ABORTED); /* B18 */
}

/* The exchange, and what of it is asked of routers. */
#include "edge/authentication.h"

#include "chassis/base/encoding.h"
#include "chassis/log.h"
#include "edge/address.h"
#include "edge/auth_throttle.h"
#include "edge/negotiation.h"
#include "edge/sasl2_request.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"
#include "edge/uplink.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

/* ---- what may be used */

bool authentication_is_allowed(const struct stream *stream)
{
    return stream->is_secured || !stream->host->tls_required;
}

static bool has_binding(const struct negotiation *negotiation, const char *name)
{
    for (size_t i = 0; i < negotiation->binding_count; i++) {
        if (strcmp(negotiation->bindings[i].name, name) == 0) {
            return true;
        }
    }
    return name[0] == '\0';
}

bool authentication_offers(const struct stream *stream, const struct sasl_mechanism *mechanism)
{
    if (stream->host->accept_any_password) {
        /* Test builds: there is no verifier that SCRAM could prove anything against. */
        return !mechanism->is_scram && !mechanism->token;
    }
    if (!settings_has_mechanism(stream->edge->settings, mechanism)) {
        return false;
    }
    if (!mechanism->is_scram) {
        return stream->is_secured
                && has_binding(stream->negotiation, ht_binding_name(mechanism->token));
    }
    return !mechanism->is_plus || stream->negotiation->binding_count > 0;
}

struct known_binding {
    const char *name;
    enum channel_binding type;
};
static const struct known_binding known_bindings[] = {
    { "tls-exporter", CHANNEL_BINDING_TLS_EXPORTER },
    { "tls-server-end-point", CHANNEL_BINDING_TLS_SERVER_END_POINT },
};

void authentication_find_bindings(struct stream *stream)
{
    struct negotiation *negotiation = stream->negotiation;
    negotiation->binding_count = 0;
    for (size_t i = 0; stream->is_secured && i < 2; i++) {
        size_t len = 0;
        if (transport_channel_binding(stream->transport, known_bindings[i].type, NULL, &len)
                == ERR_OK) {
            negotiation->bindings[negotiation->binding_count++] =
                    (struct sasl_binding){ .name = known_bindings[i].name };
        }
    }
}

/* The exporter costs a few key derivations: only who binds pays for them. */
static void fetch_bindings(struct stream *stream)
{
    struct negotiation *negotiation = stream->negotiation;
    for (size_t i = 0; i < negotiation->binding_count; i++) {
        struct sasl_binding *binding = &negotiation->bindings[i];
        bool is_exporter = strcmp(binding->name, known_bindings[0].name) == 0;
        enum err err = transport_channel_binding(stream->transport,
                known_bindings[is_exporter ? 0 : 1].type,
                binding->bytes,
                &binding->len);
        if (err != ERR_OK) {
            random_bytes(binding->bytes, sizeof(binding->bytes)); /* fits nobody */
            binding->len = sizeof(binding->bytes);
        }
    }
}

/* ---- XEP-0474: what the client should have seen */

/* i;octet (RFC 4790 §9.3). */
static bool is_before(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, len);
    return order < 0 || (order == 0 && a.len < b.len);
}

static void sort_names(struct str *names, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct str name = names[i];
        size_t at = i;
        for (; at > 0 && is_before(name, names[at - 1]); at--) {
            names[at] = names[at - 1];
        }
        names[at] = name;
    }
}

#define MAX_NAMES 16

static void append_names(struct buf *out, struct str *names, size_t count)
{
    sort_names(names, count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_append_char(out, '\x1e');
        }
        buf_append_str(out, names[i]);
    }
}

static void write_offer(const struct stream *stream, struct buf *out)
{
    const struct negotiation *negotiation = stream->negotiation;
    struct str names[MAX_NAMES];
    size_t count = 0;
    for (const struct sasl_mechanism *m = sasl_mechanisms; m->name && count < MAX_NAMES; m++) {
        if (!m->token && authentication_offers(stream, m)) {
            names[count++] = str_from_cstr(m->name);
        }
    }
    append_names(out, names, count);
    if (!negotiation->is_plus_offered) {
        return;
    }
    buf_append_char(out, '\x1f');
    for (count = 0; count < negotiation->binding_count; count++) {
        names[count] = str_from_cstr(negotiation->bindings[count].name);
    }
    append_names(out, names, count);
}

/* ---- ends */

static void write_failure(struct stream *stream, enum sasl_condition condition)
{
    const struct sasl_profile *profile = stream->negotiation->profile;
    bool is_sasl = strcmp(profile->ns, NS_SASL) == 0;
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "failure", profile->ns);
    xml_end_open(&out);
    xml_open(&out, sasl_condition_name(condition), is_sasl ? NULL : NS_SASL);
    xml_end_empty(&out);
    xml_close(&out, "failure");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

void authentication_end(struct stream *stream)
{
    struct negotiation *negotiation = stream->negotiation;
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

bool authentication_has_failed_too_often(const struct stream *stream)
{
    const struct c2s_settings *c2s = stream->edge->settings->c2s;
    return stream->negotiation->guesses >= (unsigned)c2s->max_auth_failures
            || stream->negotiation->failures >= (unsigned)c2s->max_auth_attempts;
}

/* Returns how long the answer has to wait. */
static int64_t count_failure(struct stream *stream, enum sasl_condition condition)
{
    struct negotiation *negotiation = stream->negotiation;
    struct edge *edge = stream->edge;
    if (condition != SASL_TEMPORARY_AUTH_FAILURE) {
        negotiation->failures++;
    }
    if (!is_guess(negotiation, condition)) {
        return 0;
    }
    negotiation->guesses++;
    return auth_throttle_failed(edge->throttle,
            &stream->address,
            edge->settings->c2s->sasl_failure_delay_ms,
            loop_now_ms(edge->loop));
}

void authentication_fail(
        struct stream *stream, const struct sasl_profile *profile, enum sasl_condition condition)
{
    struct negotiation *negotiation = stream->negotiation;
    negotiation->profile = profile;
    stream_metrics_sasl(NULL, condition);
    if (negotiation->exchange && sasl_was_binding_mismatch(negotiation->exchange)) {
        stream_metrics_binding_mismatch();
        log_warn("sasl",
                "channel binding mismatch or downgrade, possible attack",
                log_cstr("mechanism", negotiation->mechanism->name));
    }
    int64_t delay_ms = count_failure(stream, condition);
    authentication_end(stream);
    if (profile->on_failure) {
        profile->on_failure(stream);
    }
    if (delay_ms == 0) {
        write_failure(stream, condition);
        return;
    }
    negotiation->failure = condition;
    stream_pause(stream, PAUSE_ANSWER);
    stream_wake_in(stream, delay_ms);
}

static void fail(struct stream *stream, enum sasl_condition condition)
{
    authentication_fail(stream, stream->negotiation->profile, condition);
}

void authentication_tell_failure(struct stream *stream)
{
    write_failure(stream, stream->negotiation->failure);
    stream_resume(stream, PAUSE_ANSWER);
}

static void succeed(struct stream *stream, struct str data)
{
    struct negotiation *negotiation = stream->negotiation;
    stream->mechanism = negotiation->mechanism->name;
    stream->binding = sasl_binding_used(negotiation->exchange);
    free(negotiation->bare);
    negotiation->bare = str_to_cstr(sasl_bare(negotiation->exchange));
    stream_metrics_sasl(stream->mechanism, SASL_OK);
    authentication_end(stream);
    negotiation->profile->on_success(stream, data);
}

static void challenge(struct stream *stream, struct str data)
{
    const struct sasl_profile *profile = stream->negotiation->profile;
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "challenge", profile->ns);
    xml_end_open(&out);
    base64_encode(&out, data);
    xml_close(&out, "challenge");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
    if (profile->on_challenge) {
        profile->on_challenge(stream);
    }
}

/* ---- asking the router */

static void ask_lookup(struct stream *stream);
static void ask_verify(struct stream *stream);
static void ask_plain(struct stream *stream);
static void ask_token(struct stream *stream);

/* XEP-0388 §2.3, §4.4: who has said in the header to be somebody logs in as that one. With RFC 6120
 * the header behind <success/> shows it (A34). */
static bool is_who_came(const struct stream *stream)
{
    const struct negotiation *negotiation = stream->negotiation;
    return !negotiation->profile->is_extensible || !negotiation->is_from_user
            || negotiation->from_hash == str_hash(sasl_bare(negotiation->exchange));
}

/* `out` is what the machine has to say. */
static void go_on(struct stream *stream, enum sasl_next next, struct buf *out)
{
    bool is_asking = next == SASL_NEXT_LOOKUP || next == SASL_NEXT_PLAIN || next == SASL_NEXT_TOKEN;
    if (is_asking && !is_who_came(stream)) {
        authentication_fail(stream, stream->negotiation->profile, SASL_INVALID_AUTHZID); /* B14 */
        buf_fini(out);
        return;
    }
    switch (next) {
    case SASL_NEXT_CHALLENGE: challenge(stream, buf_view(out)); break;
    case SASL_NEXT_LOOKUP: ask_lookup(stream); break;
    case SASL_NEXT_VERIFY: ask_verify(stream); break;
    case SASL_NEXT_PLAIN: ask_plain(stream); break;
    case SASL_NEXT_TOKEN: ask_token(stream); break;
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
        sasl2_request_take(negotiation->sasl2, reply);
    }
    if (reply && condition == SASL_NOT_AUTHORIZED && reply->is_expired) {
        condition = SASL_CREDENTIALS_EXPIRED; /* XEP-0484 §4.2 */
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
    struct sasl2_wish wish;
    verify.token_wish = sasl2_request_wish(negotiation->sasl2, &wish);
    verify.upgrades = wish.upgrades;
    uint8_t address[8];
    verify.address = wire_bytes(address_limit_bytes(&stream->address.storage, address));
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
    struct sasl2_wish wish;
    plain.token_wish = sasl2_request_wish(negotiation->sasl2, &wish);
    plain.upgrades = wish.upgrades;
    uint8_t address[8];
    plain.address = wire_bytes(address_limit_bytes(&stream->address.storage, address));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_PLAIN;
    envelope.auth_plain = &plain;
    ask(stream, &envelope, on_result);
}

static void ask_token(struct stream *stream)
{
    const struct negotiation *negotiation = stream->negotiation;
    const struct sasl2_request *request = negotiation->sasl2;
    Wire__Id client = WIRE_ID_INIT(request->client);
    Wire__Id attempt = WIRE_ID_INIT(request->attempt);
    Wire__AuthToken token = WIRE__AUTH_TOKEN__INIT;
    token.bare = wire_bytes(sasl_bare(negotiation->exchange));
    token.client = &client;
    token.attempt = &attempt;
    token.mechanism = negotiation->mechanism->token;
    token.binding = wire_bytes(sasl_binding_data(negotiation->exchange));
    token.proof = wire_bytes(sasl_proof(negotiation->exchange));
    token.has_count = request->has_count;
    token.count = request->count;
    token.is_invalidated = request->is_invalidated;
    struct sasl2_wish wish;
    token.token_wish = sasl2_request_wish(request, &wish);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_TOKEN;
    envelope.auth_token = &token;
    ask(stream, &envelope, on_result);
}

/* ---- what the client says */

void authentication_step(struct stream *stream, struct str base64, bool has_data)
{
    struct negotiation *negotiation = stream->negotiation;
    struct buf data;
    buf_init(&data, 0);
    if (base64_decode(&data, base64) != ERR_OK) {
        fail(stream, SASL_INCORRECT_ENCODING);
    } else {
        struct buf out;
        buf_init(&out, 0);
        enum sasl_next next =
                sasl_exchange_step(negotiation->exchange, buf_view(&data), has_data, &out);
        go_on(stream, next, &out);
    }
    if (data.data) {
        secret_wipe(data.data, data.capacity);
    }
    buf_fini(&data);
}

bool authentication_start(
        struct stream *stream, const struct sasl_profile *profile, struct str mechanism_name)
{
    struct negotiation *negotiation = stream->negotiation;
    authentication_end(stream);
    negotiation->profile = profile;
    const struct sasl_mechanism *mechanism = sasl_mechanism_find(mechanism_name);
    if (!mechanism || !authentication_offers(stream, mechanism)
            || (mechanism->token && !profile->is_extensible)) {
        return false;
    }
    if (mechanism->is_plus || ht_binding_name(mechanism->token)[0] != '\0') {
        fetch_bindings(stream);
    }
    struct buf offer;
    buf_init(&offer, 0);
    if (mechanism->is_scram) {
        write_offer(stream, &offer);
    }
    const struct sasl_environment environment = {
        .host = stream->host->domain,
        .bindings = negotiation->bindings,
        .binding_count = negotiation->binding_count,
        .plus_was_offered = negotiation->is_plus_offered,
        .advertised = buf_view(&offer),
    };
    negotiation->mechanism = mechanism;
    negotiation->exchange = sasl_exchange_create(mechanism, &environment);
    buf_fini(&offer);
    return true;
}

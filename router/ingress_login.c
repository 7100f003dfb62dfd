/* Logins and registrations from edges, each with an answer: where the account is not at home, that
 * is it. */
#include "router/auth.h"
#include "router/egress.h"
#include "router/ingress_internal.h"
#include "router/registrar.h"
#include "router/signer.h"

static void send_auth_result(
        struct ingress *ingress, struct peer *peer, uint64_t request, Wire__Status status)
{
    Wire__AuthResult result = WIRE__AUTH_RESULT__INIT;
    result.request = request;
    result.status = status;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_RESULT;
    envelope.auth_result = &result;
    egress_envelope(ingress->router->egress, peer->link, &envelope);
}

void ingress_on_auth_lookup(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__AuthLookup *message = envelope->auth_lookup;
    Wire__Status status = ingress_work_status(ingress, peer, wire_str(message->bare));
    if (status == WIRE__STATUS__STATUS_OK) {
        auth_on_lookup(ingress->router->auth, peer, message);
        return;
    }

    Wire__AuthLookupReply reply = WIRE__AUTH_LOOKUP_REPLY__INIT;
    reply.request = message->request;
    reply.status = status;
    Wire__Envelope answer = WIRE__ENVELOPE__INIT;
    answer.verb_case = WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY;
    answer.auth_lookup_reply = &reply;
    egress_envelope(ingress->router->egress, peer->link, &answer);
}

/* False: it was answered. */
static bool accept_login(
        struct ingress *ingress, struct peer *peer, uint64_t request, ProtobufCBinaryData bare)
{
    Wire__Status status = ingress_work_status(ingress, peer, wire_str(bare));
    if (status != WIRE__STATUS__STATUS_OK) {
        send_auth_result(ingress, peer, request, status);
    }
    return status == WIRE__STATUS__STATUS_OK;
}

void ingress_on_auth_verify(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__AuthVerify *message = envelope->auth_verify;
    if (accept_login(ingress, peer, message->request, message->bare)) {
        auth_on_verify(ingress->router->auth, peer, message);
    }
}

void ingress_on_auth_plain(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__AuthPlain *message = envelope->auth_plain;
    if (accept_login(ingress, peer, message->request, message->bare)) {
        auth_on_plain(ingress->router->auth, peer, message);
    }
}

void ingress_on_auth_token(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__AuthToken *message = envelope->auth_token;
    if (accept_login(ingress, peer, message->request, message->bare)) {
        auth_on_token(ingress->router->auth, peer, message);
    }
}

void ingress_on_auth_upgrade(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__AuthUpgrade *message = envelope->auth_upgrade;
    if (!accept_login(ingress, peer, message->request, message->bare)) {
        return;
    }
    struct str grant = wire_str(message->grant);
    if (ingress_has_grant(ingress, peer, wire_str(message->bare), grant)
            && signer_grant_is_by_password(grant)) {
        auth_on_upgrade(ingress->router->auth, peer, message);
    } else {
        ingress_violation(ingress, peer, "grant"); /* F04 */
        send_auth_result(ingress, peer, message->request, WIRE__STATUS__STATUS_NOT_AUTHORIZED);
    }
}

void ingress_on_register(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Register *message = envelope->register_;
    Wire__Status status = ingress_work_status(ingress, peer, wire_str(message->bare));
    if (status == WIRE__STATUS__STATUS_OK) {
        registrar_on_register(ingress->router->registrar, peer, message);
        return;
    }

    Wire__RegisterReply reply = WIRE__REGISTER_REPLY__INIT;
    reply.request = message->request;
    /* The edge looks at its map again, as for every temporary failure. */
    reply.status = status == WIRE__STATUS__STATUS_NOT_OWNER ? WIRE__STATUS__STATUS_NOT_OWNER
                                                            : WIRE__STATUS__STATUS_INVALID;
    Wire__Envelope answer = WIRE__ENVELOPE__INIT;
    answer.verb_case = WIRE__ENVELOPE__VERB_REGISTER_REPLY;
    answer.register_reply = &reply;
    egress_envelope(ingress->router->egress, peer->link, &answer);
}

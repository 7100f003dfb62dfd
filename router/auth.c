/* SCRAM and PLAIN. An attempt lives from its message to its answer; what it needs of the message is
 * copied into its arena. Unknown users take the same way as known ones with a wrong password
 * (B13). */
#include "router/auth.h"

#include "chassis/base/mem.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/precis.h"
#include "proto/xmpp/scram.h"
#include "router/auth_attempt.h"
#include "router/egress.h"
#include "router/password_work.h"
#include "router/router.h"
#include "router/scram_message.h"
#include "router/signer.h"

#define PLAIN_DIGEST DIGEST_SHA256 /* the verifier that checks PLAIN passwords */

/* ---- verifiers */

/* Takes what the store found, or what looks like it. ERR_UNAVAILABLE: say "later" (B22). */
static enum err take_verifier(struct attempt *attempt,
        enum err err,
        const struct account_row *row,
        const struct verifier *verifier)
{
    struct router *router = attempt->auth->router;
    attempt->verifier.iterations = (uint32_t)router->settings->scram_iterations;
    attempt->verifier.salt_len = sizeof(attempt->verifier.salt);
    signer_fake_salt(router->signer, attempt->bare, attempt->digest, attempt->verifier.salt);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        return ERR_UNAVAILABLE;
    }

    if (row != NULL && verifier != NULL && row->state != ACCOUNT_DELETED) {
        attempt->row = *row;
        attempt->verifier = *verifier;
        attempt->is_known = true;
    }
    return ERR_OK;
}

/* ---- SCRAM, first step */

static void send_challenge(struct attempt *attempt)
{
    struct auth *auth = attempt->auth;
    struct signer_login login = {
        .bare = attempt->bare,
        .edge = str_from_cstr(link_peer_node(attempt->edge->link)),
        .client_nonce = attempt->client_nonce,
        .digest = attempt->digest,
    };
    struct buf nonce;
    buf_init(&nonce, 0);
    signer_nonce(auth->router->signer, &login, auth_now_s(auth), &nonce);
    Wire__AuthLookupReply reply = WIRE__AUTH_LOOKUP_REPLY__INIT;
    reply.request = attempt->request;
    reply.status = WIRE__STATUS__STATUS_OK;
    reply.salt = wire_bytes(str_from(attempt->verifier.salt, attempt->verifier.salt_len));
    reply.iterations = attempt->verifier.iterations;
    reply.server_nonce = wire_bytes(buf_view(&nonce));
    struct remembered_login remembered = {
        .row = attempt->row,
        .verifier = attempt->verifier,
        .is_known = attempt->is_known,
    };
    login_memory_put(auth->memory,
            buf_view(&nonce),
            attempt->bare,
            &remembered,
            loop_now_ms(auth->router->loop));
    secret_wipe(&remembered, sizeof(remembered));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY;
    envelope.auth_lookup_reply = &reply;
    egress_envelope(auth->router->egress, attempt->edge->link, &envelope);
    buf_fini(&nonce);
}

static void refuse_lookup(
        struct auth *auth, struct peer *edge, uint64_t request, Wire__Status status)
{
    Wire__AuthLookupReply reply = WIRE__AUTH_LOOKUP_REPLY__INIT;
    reply.request = request;
    reply.status = status;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY;
    envelope.auth_lookup_reply = &reply;
    egress_envelope(auth->router->egress, edge->link, &envelope);
}

static void on_lookup_loaded(
        void *context, enum err err, const struct account_row *row, const struct verifier *verifier)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return; /* auth_destroy frees it */
    }

    enum err taken = take_verifier(attempt, err, row, verifier);
    if (attempt_edge_is_same(attempt)) {
        if (taken == ERR_OK) {
            send_challenge(attempt);
        } else {
            refuse_lookup(
                    attempt->auth, attempt->edge, attempt->request, WIRE__STATUS__STATUS_TEMPORARY);
        }
    }
    attempt_free(attempt);
}

void auth_on_lookup(struct auth *auth, struct peer *edge, const Wire__AuthLookup *message)
{
    if (message->digest > DIGEST_SHA512) {
        refuse_lookup(auth, edge, message->request, WIRE__STATUS__STATUS_INVALID);
        return;
    }

    struct attempt *attempt = attempt_create(auth, edge, message->request, wire_str(message->bare));
    attempt->digest = (enum digest)message->digest;
    attempt->client_nonce = str_dup(&attempt->arena, wire_str(message->client_nonce));
    account_load_verifier(
            auth->router->accounts, attempt->bare, attempt->digest, on_lookup_loaded, attempt);
}

/* ---- SCRAM, last step */

static void verify(struct attempt *attempt);

static void on_verify_loaded(
        void *context, enum err err, const struct account_row *row, const struct verifier *verifier)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (take_verifier(attempt, err, row, verifier) != ERR_OK) {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
        return;
    }

    verify(attempt);
}

static void verify(struct attempt *attempt)
{
    bool is_proved = scram_proof_is_valid(
            attempt->digest, attempt->verifier.stored_key, attempt->auth_message, attempt->proof);
    if (!is_proved || !attempt->is_known) {
        attempt_fail(attempt);
        return;
    }

    uint8_t signature[DIGEST_MAX_BYTES];
    scram_server_signature(
            attempt->digest, attempt->verifier.server_key, attempt->auth_message, signature);
    attempt_finish_proved(attempt, str_from(signature, digest_size(attempt->digest)));
}

void auth_on_verify(struct auth *auth, struct peer *edge, const Wire__AuthVerify *message)
{
    struct attempt *attempt = attempt_create(auth, edge, message->request, wire_str(message->bare));
    struct signer_login login = {
        .bare = attempt->bare,
        .edge = str_from_cstr(link_peer_node(edge->link)),
        .client_nonce = wire_str(message->client_nonce),
        .digest = (enum digest)message->digest,
    };
    struct str server_nonce = wire_str(message->server_nonce);
    if (message->digest > DIGEST_SHA512
            || !signer_nonce_is_valid(auth->router->signer, &login, server_nonce, auth_now_s(auth))
            || !scram_message_has_nonces(
                    wire_str(message->auth_message), login.client_nonce, server_nonce)) {
        attempt_fail(attempt);
        return;
    }

    attempt->digest = login.digest;
    attempt->auth_message = str_dup(&attempt->arena, wire_str(message->auth_message));
    attempt->proof = str_dup(&attempt->arena, wire_str(message->proof));
    attempt_take_wish(attempt, message->token_wish);
    attempt->upgrades = message->upgrades;
    struct remembered_login remembered;
    int64_t now_ms = loop_now_ms(auth->router->loop);
    if (login_memory_take(auth->memory, server_nonce, now_ms, &remembered)) {
        attempt->row = remembered.row;
        attempt->verifier = remembered.verifier;
        attempt->is_known = remembered.is_known;
        secret_wipe(&remembered, sizeof(remembered));
        verify(attempt);
        return;
    }
    account_load_verifier(
            auth->router->accounts, attempt->bare, attempt->digest, on_verify_loaded, attempt);
}

/* ---- PLAIN */

static void on_plain_derived(void *context, const struct verifier *derived)
{
    struct attempt *attempt = context;
    size_t size = digest_size(PLAIN_DIGEST);
    bool is_right = str_equal_secret(
            str_from(derived->stored_key, size), str_from(attempt->verifier.stored_key, size));
    if (is_right && attempt->is_known) {
        attempt_finish_proved(attempt, STR(""));
    } else {
        attempt_fail(attempt);
    }
}

static void on_plain_loaded(
        void *context, enum err err, const struct account_row *row, const struct verifier *verifier)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (take_verifier(attempt, err, row, verifier) != ERR_OK) {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
        return;
    }

    /* Unknown users cost the same, out of the fake salt. */
    err = password_derive(attempt->auth->router->passwords,
            PLAIN_DIGEST,
            attempt->password,
            &attempt->verifier,
            on_plain_derived,
            attempt);
    if (err != ERR_OK) {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
    }
}

/* ---- any password: hosts of test builds */

/* Somebody else was faster, or the name is blocked. */
static void on_any_exists(void *context, enum err err, const struct account_row *row)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err == ERR_OK && row->state != ACCOUNT_DELETED) {
        attempt->row = *row;
        attempt_finish_proved(attempt, STR(""));
    } else if (err == ERR_OK || err == ERR_NOT_FOUND) {
        attempt_fail(attempt);
    } else {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
    }
}

static void on_any_created(void *context, enum err err, int64_t id)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err == ERR_OK) {
        attempt->row.id = id;
        attempt_succeed(attempt, STR(""));
    } else if (err == ERR_EXISTS) {
        account_load(attempt->auth->router->accounts, attempt->bare, on_any_exists, attempt);
    } else {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
    }
}

/* The account gets keys nobody knows a password for. */
static void create_any(struct attempt *attempt)
{
    struct router *router = attempt->auth->router;
    struct verifier verifiers[VERIFIERS];
    random_bytes(verifiers, sizeof(verifiers));
    for (int i = 0; i < VERIFIERS; i++) {
        verifiers[i].iterations = (uint32_t)router->settings->scram_iterations;
        verifiers[i].salt_len = sizeof(verifiers[i].salt);
    }
    account_create(router->accounts, attempt->bare, verifiers, on_any_created, attempt);
}

static void on_any_loaded(void *context, enum err err, const struct account_row *row)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err == ERR_NOT_FOUND) {
        create_any(attempt);
    } else if (err != ERR_OK) {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
    } else if (row->state == ACCOUNT_DELETED) {
        attempt_fail(attempt);
    } else {
        attempt->row = *row;
        attempt_finish_proved(attempt, STR(""));
    }
}

void auth_on_plain(struct auth *auth, struct peer *edge, const Wire__AuthPlain *message)
{
    struct attempt *attempt = attempt_create(auth, edge, message->request, wire_str(message->bare));
    attempt->digest = PLAIN_DIGEST;
    attempt_take_wish(attempt, message->token_wish);
    attempt->upgrades = message->upgrades;
    struct jid jid;
    const struct host *host = jid_split(attempt->bare, &jid) == ERR_OK
            ? settings_find_host(auth->router->settings, jid.domain)
            : NULL;
    if (host != NULL && host->accept_any_password) {
        account_load(auth->router->accounts, attempt->bare, on_any_loaded, attempt);
        return;
    }

    struct str prepared;
    if (precis_opaque_string(&attempt->arena, wire_str(message->password), &prepared) != ERR_OK) {
        attempt_fail(attempt); /* never set as a password, so it is wrong */
        return;
    }
    attempt->password = str_dup(&attempt->arena, prepared);
    account_load_verifier(
            auth->router->accounts, attempt->bare, PLAIN_DIGEST, on_plain_loaded, attempt);
}

/* ---- life */

struct auth *auth_create(struct router *router)
{
    struct auth *auth = MEM_NEW(struct auth);
    auth->router = router;
    auth->memory = login_memory_create();
    return auth;
}

void auth_destroy(struct auth *auth)
{
    if (auth == NULL) {
        return;
    }

    while (auth->attempts != NULL) {
        attempt_free(auth->attempts);
    }
    login_memory_destroy(auth->memory);
    free(auth);
}

void auth_on_account_changed(struct auth *auth, struct str bare)
{
    login_memory_forget(auth->memory, bare);
}

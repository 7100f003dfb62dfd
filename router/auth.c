/* An attempt lives from its message to its answer; what it needs of the message is copied into its
 * arena. Unknown users take the same way as known ones with a wrong password (B13). */
#include "router/auth.h"

#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/precis.h"
#include "proto/xmpp/scram.h"
#include "router/egress.h"
#include "router/failure_count.h"
#include "router/password_work.h"
#include "router/router.h"
#include "router/scram_message.h"
#include "router/signer.h"

#define MAX_DELAYED  1000
#define PLAIN_DIGEST DIGEST_SHA256 /* the verifier that checks PLAIN passwords */

static struct metric_family metric_results = {
    .name = "auth_results_total", .help = "Answers to logins.", .label = "result"
};

struct attempt {
    struct auth *auth;
    struct peer *edge;
    uint64_t edge_boot;
    uint64_t request;
    struct arena arena;
    struct str bare;
    enum digest digest;
    struct str client_nonce;
    struct str server_nonce;
    struct str auth_message;
    struct str proof;
    struct str password; /* prepared */
    struct account_row row;
    struct verifier verifier; /* the user's, or the fake one */
    bool is_known;
    struct timer delay;
    struct attempt *prev;
    struct attempt *next;
};

struct auth {
    struct router *router;
    struct failure_count failures;
    struct attempt *attempts;
    size_t delayed;
};

static int64_t now_s(const struct auth *auth)
{
    return loop_wall_us(auth->router->loop) / 1000000;
}

static struct attempt *attempt_create(
        struct auth *auth, struct peer *edge, uint64_t request, struct str bare)
{
    struct attempt *attempt = MEM_NEW(struct attempt);
    attempt->auth = auth;
    attempt->edge = edge;
    attempt->edge_boot = edge->boot_epoch;
    attempt->request = request;
    arena_init(&attempt->arena, 1024);
    attempt->bare = str_dup(&attempt->arena, bare);
    DL_APPEND(auth->attempts, attempt);
    return attempt;
}

static void attempt_free(struct attempt *attempt)
{
    timer_stop(&attempt->delay);
    DL_DELETE(attempt->auth->attempts, attempt);
    if (attempt->password.len > 0) {
        secret_wipe((void *)(uintptr_t)attempt->password.ptr, attempt->password.len);
    }
    secret_wipe(&attempt->verifier, sizeof(attempt->verifier));
    arena_fini(&attempt->arena);
    free(attempt);
}

/* Request numbers of a new incarnation of the edge mean other logins. */
static bool edge_is_same(const struct attempt *attempt)
{
    return !attempt->edge->is_dead && attempt->edge->boot_epoch == attempt->edge_boot;
}

/* ---- answers */

static void send_result(
        struct attempt *attempt, Wire__Status status, struct str signature, struct str grant)
{
    if (!edge_is_same(attempt)) {
        return;
    }

    Wire__AuthResult result = WIRE__AUTH_RESULT__INIT;
    result.request = attempt->request;
    result.status = status;
    result.server_signature = wire_bytes(signature);
    result.grant = wire_bytes(grant);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_RESULT;
    envelope.auth_result = &result;
    egress_envelope(attempt->auth->router->egress, attempt->edge->link, &envelope);
}

static void refuse(struct attempt *attempt, Wire__Status status)
{
    metric_family_add(
            &metric_results, status == WIRE__STATUS__STATUS_DISABLED ? "disabled" : "temporary", 1);
    send_result(attempt, status, STR(""), STR(""));
    attempt_free(attempt);
}

static void on_delay(struct timer *timer, void *context)
{
    (void)timer;
    struct attempt *attempt = context;
    attempt->auth->delayed--;
    send_result(attempt, WIRE__STATUS__STATUS_NOT_AUTHORIZED, STR(""), STR(""));
    attempt_free(attempt);
}

/* Guessing gets slower with every failure for this name; a right password never waits (B17). */
static void fail(struct attempt *attempt)
{
    struct auth *auth = attempt->auth;
    metric_family_add(&metric_results, "not-authorized", 1);
    int64_t delay =
            failure_count_add(&auth->failures, attempt->bare, loop_now_ms(auth->router->loop));
    if (delay == 0 || auth->delayed >= MAX_DELAYED) {
        send_result(attempt, WIRE__STATUS__STATUS_NOT_AUTHORIZED, STR(""), STR(""));
        attempt_free(attempt);
        return;
    }

    auth->delayed++;
    timer_init(&attempt->delay, on_delay, attempt);
    timer_start(loop_timers(auth->router->loop), &attempt->delay, delay);
}

static void succeed(struct attempt *attempt, struct str signature)
{
    struct auth *auth = attempt->auth;
    metric_family_add(&metric_results, "ok", 1);
    struct buf grant;
    buf_init(&grant, 0);
    signer_make_grant(auth->router->signer,
            attempt->bare,
            str_from_cstr(link_peer_node(attempt->edge->link)),
            loop_wall_us(auth->router->loop),
            &grant);
    send_result(attempt, WIRE__STATUS__STATUS_OK, signature, buf_view(&grant));
    buf_fini(&grant);
    attempt_free(attempt);
}

/* After a correct proof only (B21). */
static void finish_proved(struct attempt *attempt, struct str signature)
{
    if (attempt->row.state == ACCOUNT_DISABLED) {
        refuse(attempt, WIRE__STATUS__STATUS_DISABLED);
    } else {
        succeed(attempt, signature);
    }
}

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
    signer_nonce(auth->router->signer, &login, now_s(auth), &nonce);
    Wire__AuthLookupReply reply = WIRE__AUTH_LOOKUP_REPLY__INIT;
    reply.request = attempt->request;
    reply.status = WIRE__STATUS__STATUS_OK;
    reply.salt = wire_bytes(str_from(attempt->verifier.salt, attempt->verifier.salt_len));
    reply.iterations = attempt->verifier.iterations;
    reply.server_nonce = wire_bytes(buf_view(&nonce));
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
    if (edge_is_same(attempt)) {
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

static void on_verify_loaded(
        void *context, enum err err, const struct account_row *row, const struct verifier *verifier)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (take_verifier(attempt, err, row, verifier) != ERR_OK) {
        refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
        return;
    }

    bool is_proved = scram_proof_is_valid(
            attempt->digest, attempt->verifier.stored_key, attempt->auth_message, attempt->proof);
    if (!is_proved || !attempt->is_known) {
        fail(attempt);
        return;
    }

    uint8_t signature[DIGEST_MAX_BYTES];
    scram_server_signature(
            attempt->digest, attempt->verifier.server_key, attempt->auth_message, signature);
    finish_proved(attempt, str_from(signature, digest_size(attempt->digest)));
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
            || !signer_nonce_is_valid(auth->router->signer, &login, server_nonce, now_s(auth))
            || !scram_message_has_nonces(
                    wire_str(message->auth_message), login.client_nonce, server_nonce)) {
        fail(attempt);
        return;
    }

    attempt->digest = login.digest;
    attempt->auth_message = str_dup(&attempt->arena, wire_str(message->auth_message));
    attempt->proof = str_dup(&attempt->arena, wire_str(message->proof));
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
        finish_proved(attempt, STR(""));
    } else {
        fail(attempt);
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
        refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
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
        refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
    }
}

/* ---- any password: hosts of test builds */

static void on_any_created(void *context, enum err err, int64_t id)
{
    (void)id;
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err == ERR_OK || err == ERR_EXISTS) {
        succeed(attempt, STR(""));
    } else {
        refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
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
        refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
    } else if (row->state == ACCOUNT_DELETED) {
        fail(attempt);
    } else {
        attempt->row = *row;
        finish_proved(attempt, STR(""));
    }
}

void auth_on_plain(struct auth *auth, struct peer *edge, const Wire__AuthPlain *message)
{
    struct attempt *attempt = attempt_create(auth, edge, message->request, wire_str(message->bare));
    attempt->digest = PLAIN_DIGEST;
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
        fail(attempt); /* never set as a password, so it is wrong */
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
    free(auth);
}

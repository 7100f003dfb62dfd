/* Beginning and ends of logins. */
#include "router/auth_attempt.h"

#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "router/egress.h"
#include "router/login_days.h"
#include "router/router.h"
#include "router/signer.h"
#include "router/store/token_store.h"

#define MAX_DELAYED 1000

static struct metric_family metric_results = {
    .name = "auth_results_total", .help = "Answers to logins.", .label = "result"
};

int64_t auth_now_s(const struct auth *auth)
{
    return loop_wall_us(auth->router->loop) / 1000000;
}

struct attempt *attempt_create(
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

void attempt_free(struct attempt *attempt)
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

bool attempt_edge_is_same(const struct attempt *attempt)
{
    return !attempt->edge->is_dead && attempt->edge->boot_epoch == attempt->edge_boot;
}

void attempt_take_wish(struct attempt *attempt, const Wire__TokenWish *wish)
{
    struct id128 client = wire_id(wish ? wish->client : NULL);
    if (!wish || id128_is_zero(client) || wish->mechanism >= HT_MECHANISMS) {
        return;
    }
    attempt->wanted_token = (enum ht_mechanism)wish->mechanism;
    attempt->claim.client = client;
}

void attempt_make_token(const struct attempt *attempt, struct token_slot *slot_out)
{
    const struct auth *auth = attempt->auth;
    enum ht_mechanism mechanism =
            attempt->wanted_token ? attempt->wanted_token : attempt->claim.mechanism;
    token_slot_renew(
            slot_out, mechanism, auth_now_s(auth) + auth->router->settings->token_lifetime_s);
}

/* ---- answers */

static void add_token(const struct attempt *attempt, struct buf *text, Wire__AuthResult *result)
{
    if (attempt->token.is_set) {
        signer_fast_token(attempt->auth->router->signer,
                attempt->bare,
                attempt->claim.client,
                &attempt->token,
                text);
        result->token = wire_bytes(buf_view(text));
        result->token_expires = attempt->token.expires_s;
    }
}

static void send_result(
        struct attempt *attempt, Wire__Status status, struct str signature, struct str grant)
{
    if (!attempt_edge_is_same(attempt)) {
        return;
    }

    const struct router *router = attempt->auth->router;
    struct buf token;
    buf_init(&token, 0);
    Wire__AuthResult result = WIRE__AUTH_RESULT__INIT;
    result.request = attempt->request;
    result.status = status;
    result.server_signature = wire_bytes(signature);
    result.grant = wire_bytes(grant);
    result.is_expired = attempt->is_expired;
    if (status == WIRE__STATUS__STATUS_OK) {
        add_token(attempt, &token, &result);
        result.upgrades = attempt->upgrades;
        result.iterations = attempt->upgrades ? (uint32_t)router->settings->scram_iterations : 0;
    }
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_RESULT;
    envelope.auth_result = &result;
    egress_envelope(router->egress, attempt->edge->link, &envelope);
    if (token.data) {
        secret_wipe(token.data, token.capacity);
    }
    buf_fini(&token);
}

void attempt_answer(struct attempt *attempt, Wire__Status status)
{
    send_result(attempt, status, STR(""), STR(""));
    attempt_free(attempt);
}

static const char *result_label(Wire__Status status)
{
    switch ((int)status) {
    case WIRE__STATUS__STATUS_DISABLED: return "disabled";
    case WIRE__STATUS__STATUS_NOT_AUTHORIZED: return "expired";
    default: return "temporary";
    }
}

void attempt_refuse(struct attempt *attempt, Wire__Status status)
{
    metric_family_add(&metric_results, result_label(status), 1);
    attempt_answer(attempt, status);
}

static void on_delay(struct timer *timer, void *context)
{
    (void)timer;
    struct attempt *attempt = context;
    attempt->auth->delayed--;
    send_result(attempt, WIRE__STATUS__STATUS_NOT_AUTHORIZED, STR(""), STR(""));
    attempt_free(attempt);
}

void attempt_fail(struct attempt *attempt)
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

void attempt_succeed(struct attempt *attempt, struct str signature)
{
    struct auth *auth = attempt->auth;
    metric_family_add(&metric_results, "ok", 1);
    login_days_note(auth->router->login_days, attempt->row.id, true);
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

/* ---- what else was wanted. It never makes a login fail. */

static void on_issued(void *context, enum err err)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return; /* auth_destroy frees it */
    }
    attempt->token.is_set = err == ERR_OK;
    attempt_succeed(attempt, attempt->signature);
}

static void issue_token(struct attempt *attempt)
{
    const struct router *router = attempt->auth->router;
    attempt_make_token(attempt, &attempt->token);
    const struct token_issue issue = {
        .owner = attempt->row.id,
        .client = attempt->claim.client,
        .fresh = attempt->token,
        .now_s = auth_now_s(attempt->auth),
        .max_clients = router->settings->max_token_clients,
    };
    token_issue(router->tokens, &issue, on_issued, attempt);
}

static void go_on(struct attempt *attempt)
{
    if (attempt->wanted_token) {
        issue_token(attempt);
    } else {
        attempt_succeed(attempt, attempt->signature);
    }
}

static void on_digests(void *context, enum err err, int64_t digests)
{
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return;
    }
    attempt->upgrades = err == ERR_OK ? attempt->upgrades & ~(uint32_t)digests : 0;
    go_on(attempt);
}

void attempt_finish_proved(struct attempt *attempt, struct str signature)
{
    attempt->upgrades &= (1U << VERIFIERS) - 1;
    if (attempt->row.state == ACCOUNT_DISABLED) {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_DISABLED);
        return;
    }
    if (!attempt->wanted_token && !attempt->upgrades) {
        attempt_succeed(attempt, signature);
        return;
    }
    attempt->signature = str_dup(&attempt->arena, signature);
    if (attempt->upgrades) {
        account_load_digests(attempt->auth->router->accounts, attempt->row.id, on_digests, attempt);
    } else {
        go_on(attempt);
    }
}

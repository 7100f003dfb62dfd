/* Logins with tokens (XEP-0484). A token is no longer believed when somebody shows signs of having
 * stolen it: its whole family goes, and the client has to use a password (B23). */
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "router/auth.h"
#include "router/auth_attempt.h"
#include "router/router.h"
#include "router/signer.h"
#include "router/store/token_store.h"

#define MAX_TRIES 3 /* logins of one client at the same moment */

static struct metric_family metric_revoked = {
    .name = "token_families_revoked_total",
    .help = "Clients that lost their tokens (XEP-0484) because of what was done with one.",
    .label = "why",
};

static void load(struct attempt *attempt);

static bool is_closed(enum err err)
{
    return err == ERR_CLOSED; /* auth_destroy frees the attempt */
}

/* ---- thieves */

static void on_revoked(void *context, enum err err)
{
    struct attempt *attempt = context;
    if (is_closed(err)) {
        return;
    }
    if (err == ERR_OK || err == ERR_NOT_FOUND) {
        attempt_fail(attempt);
    } else {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY); /* it is tried again next time */
    }
}

/* `why` is a constant. */
static void revoke(struct attempt *attempt, struct id128 client, const char *why)
{
    metric_family_add(&metric_revoked, why, 1);
    log_warn("auth",
            "a token was misused, its family is revoked",
            log_jid("account", attempt->bare),
            log_cstr("why", why));
    token_revoke(attempt->auth->router->tokens, attempt->row.id, client, on_revoked, attempt);
}

/* It proves nothing for this client. For another one? */
static void on_others(
        void *context, enum err err, const struct token_family *families, size_t count)
{
    struct attempt *attempt = context;
    const struct auth *auth = attempt->auth;
    if (is_closed(err)) {
        return;
    }
    if (err != ERR_OK) {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        int slot;
        struct token_claim claim = attempt->claim;
        claim.client = families[i].client;
        claim.attempt = (struct id128){ 0, 0 };
        if (token_family_judge(&families[i], auth->router->signer, &claim, auth_now_s(auth), &slot)
                != TOKEN_WRONG) {
            revoke(attempt, claim.client, "other-client");
            return;
        }
    }
    attempt_fail(attempt);
}

/* ---- the right ones */

static void on_updated(void *context, enum err err)
{
    struct attempt *attempt = context;
    if (is_closed(err)) {
        return;
    }
    if (err == ERR_OK) {
        attempt_succeed(attempt, attempt->signature);
    } else if ((err == ERR_CONFLICT || err == ERR_NOT_FOUND) && ++attempt->tries < MAX_TRIES) {
        attempt->token = (struct token_slot){ .is_set = false };
        load(attempt);
    } else {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY);
    }
}

/* A token that is old, or wanted: XEP-0484 §3.5; none when the client says good-bye to this one
 * without asking for another (§3.6). */
static bool is_token_due(const struct attempt *attempt, const struct token_slot *used)
{
    const struct settings *settings = attempt->auth->router->settings;
    int64_t age_s = settings->token_lifetime_s - (used->expires_s - auth_now_s(attempt->auth));
    bool is_old = age_s >= settings->token_rotate_after_s;
    return attempt->wanted_token || (is_old && !attempt->is_invalidated);
}

static void use(struct attempt *attempt, const struct token_family *family, int slot)
{
    struct token_store *tokens = attempt->auth->router->tokens;
    struct token_family next = *family;
    struct token_slot used = family->slots[slot];
    bool is_changed = token_family_used(&next, slot, &attempt->claim);
    next.attempt = attempt->claim.attempt;
    if (attempt->is_invalidated && slot != TOKEN_FORMER) {
        next.slots[TOKEN_FORMER] = next.slots[TOKEN_CURRENT]; /* shown again, it is stolen */
        next.slots[TOKEN_CURRENT] = (struct token_slot){ .is_set = false };
        next.slots[TOKEN_FRESH] = (struct token_slot){ .is_set = false };
        is_changed = true;
    }
    if (is_token_due(attempt, &used)) {
        attempt_make_token(attempt, &attempt->token);
        next.slots[TOKEN_FRESH] = attempt->token;
        is_changed = true;
    }
    if (is_changed) {
        token_update(tokens, attempt->row.id, &next, on_updated, attempt);
    } else {
        attempt_succeed(attempt, attempt->signature);
    }
}

/* The answer proves that we know the same token. */
static void sign(struct attempt *attempt, const struct token_slot *slot)
{
    uint8_t signature[HT_PROOF_BYTES];
    struct buf token;
    buf_init(&token, 0);
    signer_fast_token(
            attempt->auth->router->signer, attempt->bare, attempt->claim.client, slot, &token);
    ht_responder(buf_view(&token), attempt->claim.binding, signature);
    attempt->signature = str_dup(&attempt->arena, str_from(signature, sizeof(signature)));
    secret_wipe(token.data, token.capacity);
    buf_fini(&token);
}

static void judge(struct attempt *attempt, const struct token_family *family)
{
    const struct auth *auth = attempt->auth;
    int slot = 0;
    switch (token_family_judge(
            family, auth->router->signer, &attempt->claim, auth_now_s(auth), &slot)) {
    case TOKEN_WRONG:
        token_load_others(
                auth->router->tokens, attempt->row.id, attempt->claim.client, on_others, attempt);
        break;
    case TOKEN_EXPIRED:
        attempt->is_expired = true;
        attempt_refuse(attempt, WIRE__STATUS__STATUS_NOT_AUTHORIZED);
        break;
    case TOKEN_REPLAYED: revoke(attempt, attempt->claim.client, "replay"); break;
    case TOKEN_GOOD:
        if (attempt->row.state == ACCOUNT_DISABLED) {
            attempt_refuse(attempt, WIRE__STATUS__STATUS_DISABLED);
        } else {
            sign(attempt, &family->slots[slot]);
            use(attempt, family, slot);
        }
        break;
    }
}

static void on_loaded(void *context,
        enum err err,
        const struct account_row *row,
        const struct token_family *family)
{
    static const struct token_family none = { .version = 0 };
    struct attempt *attempt = context;
    if (is_closed(err)) {
        return;
    }
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        attempt_refuse(attempt, WIRE__STATUS__STATUS_TEMPORARY); /* B22 */
        return;
    }
    bool is_there = row && row->state != ACCOUNT_DELETED;
    attempt->row = is_there ? *row : (struct account_row){ .id = -1 }; /* costs the same (B13) */
    judge(attempt, is_there && family ? family : &none);
}

static void load(struct attempt *attempt)
{
    token_load(attempt->auth->router->tokens,
            attempt->bare,
            attempt->claim.client,
            on_loaded,
            attempt);
}

void auth_on_token(struct auth *auth, struct peer *edge, const Wire__AuthToken *message)
{
    struct attempt *attempt = attempt_create(auth, edge, message->request, wire_str(message->bare));
    attempt_take_wish(attempt, message->token_wish);
    attempt->claim = (struct token_claim){
        .bare = attempt->bare,
        .client = wire_id(message->client),
        .attempt = wire_id(message->attempt),
        .mechanism = (enum ht_mechanism)message->mechanism,
        .binding = str_dup(&attempt->arena, wire_str(message->binding)),
        .proof = str_dup(&attempt->arena, wire_str(message->proof)),
        .has_count = message->has_count,
        .count = (int64_t)message->count,
    };
    attempt->is_invalidated = message->is_invalidated;
    bool is_good = message->mechanism > HT_ABSENT && message->mechanism < HT_MECHANISMS
            && message->count <= INT64_MAX && !id128_is_zero(attempt->claim.client);
    if (is_good) {
        load(attempt);
    } else {
        attempt_fail(attempt);
    }
}

/* The one storage request of a turn that waits: the mailbox stands still, the store answers, the
 * continuation ends the turn. */
#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "router/auth.h"
#include "router/entity/data_request.h"
#include "router/entity/entity.h"
#include "router/entity/roster_access.h"
#include "router/entity/sessions.h"
#include "router/password_work.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/turn.h"

struct account_request {
    struct entity_ref *ref;
    struct router *router;
    turn_continuation continuation;
    char *bare;
    char *password; /* a new one, while its verifiers are made one after the other */
    size_t password_len;
    struct verifier verifiers[VERIFIERS];
    unsigned derived;
    struct roster_change change;
    struct roster_item *item; /* a copy for the continuation */
};

static struct account_request *request_create(
        struct entity *entity, const struct turn_request *request)
{
    struct account_request *wait = MEM_NEW(struct account_request);
    wait->ref = entity_ref_create(entity);
    wait->router = entity->router;
    wait->continuation = request->continuation;
    wait->bare = str_to_cstr(entity->bare);
    return wait;
}

static void request_destroy(struct account_request *wait)
{
    free(wait->bare);
    roster_item_destroy(wait->item);
    secret_wipe(wait->verifiers, sizeof(wait->verifiers));
    free(wait);
}

static void end_item(struct entity *entity, struct item *item)
{
    if (item->kind == ITEM_INPUT) {
        inputs_part_done(entity, item->session, item->counter);
    } else if (item->done) {
        item->done(item->context, ERR_OK);
    }
    item_destroy(item);
}

static void run_continuation(
        struct entity *entity, struct item *item, const struct account_request *wait, enum err err)
{
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, &item->stanza);
    turn.origin = item->origin;
    if (item->kind == ITEM_INPUT) {
        turn.session = entity_find_session(entity, item->session);
        turn.origin = inputs_origin(turn.session, item);
    }
    turn.change = &wait->change;
    wait->continuation(&turn, &item->stanza, err);
    effects_apply(&turn);
    arena_fini(&arena);
}

static void finish(struct account_request *wait, enum err err)
{
    struct entity *entity = entity_ref_take(wait->ref);
    if (!entity || !entity->waiting || err == ERR_FENCED) {
        request_destroy(wait); /* the shard went: the next home is asked */
        if (entity && err == ERR_FENCED) {
            entity_drop_fenced(entity);
        }
        return;
    }
    struct item *item = entity->waiting;
    entity->waiting = NULL;
    run_continuation(entity, item, wait, err);
    request_destroy(wait);
    end_item(entity, item);
    entity_mark_dirty(entity);
    if (entity->state == ENTITY_ACTIVE && !entity->roster.is_loaded) {
        entity_reload(entity); /* nobody knows what was written */
    }
    entity_wake(entity);
}

static void on_changed(void *context, enum err err, int64_t id)
{
    (void)id;
    const struct account_request *wait = context;
    if (err != ERR_CLOSED) {
        auth_on_account_changed(wait->router->auth, str_from_cstr(wait->bare));
    }
    finish(context, err);
}

/* ---- a new password: a verifier for each digest, each with a salt of its own (RFC 5802 §3) */

static void derive_next(struct account_request *wait);

static void on_derived(void *context, const struct verifier *verifier)
{
    struct account_request *wait = context;
    wait->verifiers[wait->derived++] = *verifier;
    derive_next(wait);
}

static void end_password(struct account_request *wait)
{
    secret_wipe(wait->password, wait->password_len);
    free(wait->password);
    wait->password = NULL;
}

static void derive_next(struct account_request *wait)
{
    if (wait->derived == VERIFIERS) {
        end_password(wait);
        account_set_verifiers(wait->router->accounts,
                str_from_cstr(wait->bare),
                wait->verifiers,
                on_changed,
                wait);
        return;
    }
    struct verifier parameters = {
        .iterations = (uint32_t)wait->router->settings->scram_iterations,
        .salt_len = sizeof(parameters.salt),
    };
    random_bytes(parameters.salt, sizeof(parameters.salt));
    if (password_derive(wait->router->passwords,
                (enum digest)wait->derived,
                str_from(wait->password, wait->password_len),
                &parameters,
                on_derived,
                wait)
            != ERR_OK) {
        end_password(wait);
        finish(wait, ERR_LIMIT);
    }
}

/* ---- a change of the roster */

static void on_roster_saved(void *context, enum err err)
{
    finish(context, err);
}

static void start_roster(
        struct entity *entity, struct account_request *wait, struct roster_item *item)
{
    wait->item = roster_item_create(item);
    wait->change.item = wait->item;
    wait->change.before = roster_flags(&entity->roster, item->jid);
    roster_access_save(entity, item, on_roster_saved, wait);
}

void account_request_start(
        struct entity *entity, struct item *item, const struct turn_request *request)
{
    ASSERT(!entity->waiting);
    entity->waiting = item;
    if (request->kind == TURN_REQUEST_ADMIN) {
        admin_request_start(entity, request);
        return;
    }
    if (request->kind == TURN_REQUEST_LOAD_DATA || request->kind == TURN_REQUEST_STORE_DATA) {
        data_request_start(entity, request);
        return;
    }
    struct account_request *wait = request_create(entity, request);
    switch (request->kind) {
    case TURN_REQUEST_SET_PASSWORD:
        wait->password = str_to_cstr(request->password);
        wait->password_len = request->password.len;
        derive_next(wait);
        break;
    case TURN_REQUEST_DELETE_ACCOUNT:
        account_delete(entity->router->accounts, entity->bare, on_changed, wait);
        break;
    case TURN_REQUEST_LOAD_DATA:
    case TURN_REQUEST_STORE_DATA:
    case TURN_REQUEST_ADMIN:
    case TURN_REQUEST_CHANGE_ROSTER: start_roster(entity, wait, request->item); break;
    case TURN_REQUEST_NONE: finish(wait, ERR_INVALID); break;
    }
}

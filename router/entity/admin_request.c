/* A turn that waits for what an administrator asked of other accounts. The account's home reads the
 * row again afterwards, wherever it is. */
#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "router/cluster.h"
#include "router/entity/entity.h"
#include "router/entity/sessions.h"
#include "router/log_client.h"
#include "router/password_work.h"
#include "router/router.h"
#include "router/turn.h"

struct admin_request {
    struct entity_ref *ref;
    struct router *router;
    turn_continuation continuation;
    enum turn_admin_op op;
    char *bare;
};

static void end_item(struct entity *entity, struct item *item)
{
    if (item->kind == ITEM_INPUT) {
        inputs_part_done(entity, item->session, item->counter);
    } else if (item->done) {
        item->done(item->context, ERR_OK);
    }
    item_destroy(item);
}

static void finish(struct admin_request *wait, enum err err, struct str answer)
{
    struct entity *entity = entity_ref_take(wait->ref);
    turn_continuation continuation = wait->continuation;
    free(wait->bare);
    free(wait);
    if (!entity || !entity->waiting) {
        return; /* the shard went: the edge asks the next home */
    }
    struct item *item = entity->waiting;
    entity->waiting = NULL;
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, &item->stanza);
    turn.session = item->kind == ITEM_INPUT ? entity_find_session(entity, item->session) : NULL;
    turn.loaded = answer;
    continuation(&turn, &item->stanza, err);
    effects_apply(&turn);
    arena_fini(&arena);
    end_item(entity, item);
    entity_mark_dirty(entity);
    entity_wake(entity);
}

static void on_told(void *context, enum err err, struct str text)
{
    finish(context, err, text);
}

static void on_changed(void *context, enum err err, int64_t id)
{
    (void)id;
    struct admin_request *wait = context;
    if (err == ERR_OK) {
        cluster_tell_account_changed(wait->router, str_from_cstr(wait->bare), false);
    }
    finish(wait, err, STR_NULL);
}

static void on_found(void *context, enum err err, const struct account_row *row)
{
    struct admin_request *wait = context;
    if (err == ERR_OK && row->state == ACCOUNT_DELETED) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK) {
        cluster_tell_account_changed(wait->router, str_from_cstr(wait->bare), true);
    }
    finish(wait, err, STR_NULL);
}

static void on_derived(void *context, const struct verifier *verifiers)
{
    struct admin_request *wait = context;
    struct account_store *accounts = wait->router->accounts;
    struct str bare = str_from_cstr(wait->bare);
    if (!verifiers) {
        finish(wait, ERR_UNAVAILABLE, STR_NULL);
    } else if (wait->op == TURN_ADMIN_CREATE) {
        account_create(accounts, bare, verifiers, on_changed, wait);
    } else {
        account_set_verifiers(accounts, bare, verifiers, on_changed, wait);
    }
}

static void derive(struct admin_request *wait, struct str password)
{
    enum err err = password_derive_all(wait->router->passwords,
            password,
            (uint32_t)wait->router->settings->scram_iterations,
            on_derived,
            wait);
    if (err != ERR_OK) {
        finish(wait, ERR_UNAVAILABLE, STR_NULL);
    }
}

static void count_online(struct admin_request *wait)
{
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "%llu", (unsigned long long)cluster_count_online(wait->router));
    finish(wait, ERR_OK, buf_view(&text));
    buf_fini(&text);
}

void admin_request_start(struct entity *entity, const struct turn_request *request)
{
    const struct turn_admin *admin = &request->admin;
    struct account_store *accounts = entity->router->accounts;
    struct admin_request *wait = MEM_NEW(struct admin_request);
    wait->ref = entity_ref_create(entity);
    wait->router = entity->router;
    wait->continuation = request->continuation;
    wait->op = admin->op;
    wait->bare = str_to_cstr(admin->bare);
    struct str bare = str_from_cstr(wait->bare);
    switch (admin->op) {
    case TURN_ADMIN_CREATE:
    case TURN_ADMIN_SET_PASSWORD: derive(wait, admin->password); break;
    case TURN_ADMIN_DELETE: account_delete(accounts, bare, on_changed, wait); break;
    case TURN_ADMIN_DISABLE:
        account_set_state(accounts, bare, ACCOUNT_DISABLED, on_changed, wait);
        break;
    case TURN_ADMIN_ENABLE:
        account_set_state(accounts, bare, ACCOUNT_ACTIVE, on_changed, wait);
        break;
    case TURN_ADMIN_END_SESSIONS: account_load(accounts, bare, on_found, wait); break;
    case TURN_ADMIN_COUNT:
        account_count(accounts,
                admin->domain,
                admin->is_disabled ? ACCOUNT_DISABLED : ACCOUNT_ACTIVE,
                on_told,
                wait);
        break;
    case TURN_ADMIN_LIST: account_list(accounts, admin->domain, admin->max, on_told, wait); break;
    case TURN_ADMIN_COUNT_ONLINE: count_online(wait); break;
    }
}

/* A turn that waits for what an administrator asked of other accounts. The account's home reads the
 * row again afterwards, wherever it is. */
#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "router/cluster.h"
#include "router/entity/entity.h"
#include "router/entity/sessions.h"
#include "router/password_work.h"
#include "router/router.h"
#include "router/turn.h"

struct admin_request {
    struct entity_ref *ref;
    struct router *router;
    turn_continuation continuation;
    enum turn_admin_op op;
    struct arena arena;         /* of the accounts */
    const struct str *accounts; /* one after the other */
    size_t account_count;
    size_t at;
    size_t done;
    enum err first_err;
    struct buf outcomes;
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

static void request_free(struct admin_request *wait)
{
    struct arena arena = wait->arena; /* holds the request, too */
    buf_fini(&wait->outcomes);
    arena_fini(&arena);
}

static void finish(struct admin_request *wait, enum err err, struct str answer)
{
    struct entity *entity = entity_ref_take(wait->ref);
    if (!entity || !entity->waiting) {
        request_free(wait);
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
    wait->continuation(&turn, &item->stanza, err);
    effects_apply(&turn);
    arena_fini(&arena);
    request_free(wait);
    end_item(entity, item);
    entity_mark_dirty(entity);
    entity_wake(entity);
}

static void on_told(void *context, enum err err, struct str text)
{
    finish(context, err, text);
}

/* ---- accounts, one after the other */

static void next_account(struct admin_request *wait);

static struct str current(const struct admin_request *wait)
{
    return wait->accounts[wait->at];
}

/* `more`: of the outcome. */
static void note_outcome(struct admin_request *wait, enum err err, struct str more)
{
    if (err == ERR_CLOSED) { /* the program ends: nothing more is asked */
        finish(wait, err, STR_NULL);
        return;
    }
    buf_printf(&wait->outcomes,
            "%s" STR_FMT " %s",
            wait->at > 0 ? "\n" : "",
            STR_ARG(current(wait)),
            err == ERR_OK ? "done" : err_name(err));
    if (more.len > 0) {
        buf_printf(&wait->outcomes, " " STR_FMT, STR_ARG(more));
    }
    wait->done += err == ERR_OK ? 1 : 0;
    wait->first_err = wait->first_err == ERR_OK ? err : wait->first_err;
    wait->at++;
    next_account(wait);
}

static void on_changed(void *context, enum err err, int64_t id)
{
    (void)id;
    struct admin_request *wait = context;
    if (err == ERR_OK) {
        cluster_tell_account_changed(wait->router, current(wait), false);
    }
    note_outcome(wait, err, STR_NULL);
}

static void on_found(void *context, enum err err, const struct account_row *row)
{
    struct admin_request *wait = context;
    if (err == ERR_OK && row->state == ACCOUNT_DELETED) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_OK) {
        cluster_tell_account_changed(wait->router, current(wait), true);
    }
    note_outcome(wait, err, STR_NULL);
}

static void on_last_login(void *context, enum err err, struct str day)
{
    note_outcome(context, err, day);
}

static void change_account(struct admin_request *wait)
{
    struct account_store *accounts = wait->router->accounts;
    struct str bare = current(wait);
    switch ((int)wait->op) {
    case TURN_ADMIN_DELETE: account_delete(accounts, bare, on_changed, wait); break;
    case TURN_ADMIN_DISABLE:
        account_set_state(accounts, bare, ACCOUNT_DISABLED, on_changed, wait);
        break;
    case TURN_ADMIN_ENABLE:
        account_set_state(accounts, bare, ACCOUNT_ACTIVE, on_changed, wait);
        break;
    case TURN_ADMIN_END_SESSIONS: account_load(accounts, bare, on_found, wait); break;
    default: account_last_login(accounts, bare, on_last_login, wait); break;
    }
}

static void next_account(struct admin_request *wait)
{
    if (wait->at < wait->account_count) {
        change_account(wait);
    } else {
        finish(wait, wait->done > 0 ? ERR_OK : wait->first_err, buf_view(&wait->outcomes));
    }
}

/* ---- passwords, of one account */

static void on_derived(void *context, const struct verifier *verifiers)
{
    struct admin_request *wait = context;
    struct account_store *accounts = wait->router->accounts;
    if (!verifiers) {
        note_outcome(wait, ERR_UNAVAILABLE, STR_NULL);
    } else if (wait->op == TURN_ADMIN_CREATE) {
        account_create(accounts, current(wait), verifiers, on_changed, wait);
    } else {
        account_set_verifiers(accounts, current(wait), verifiers, on_changed, wait);
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
        note_outcome(wait, ERR_UNAVAILABLE, STR_NULL);
    }
}

/* ---- the rest */

static void count_online(struct admin_request *wait)
{
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "%llu", (unsigned long long)cluster_count_online(wait->router));
    finish(wait, ERR_OK, buf_view(&text));
    buf_fini(&text);
}

static void announce(struct admin_request *wait, const struct turn_admin *admin)
{
    cluster_announce(wait->router, admin->domain, admin->subject, admin->text);
    finish(wait, ERR_OK, STR_NULL);
}

static struct admin_request *request_create(
        struct entity *entity, const struct turn_request *request)
{
    const struct turn_admin *admin = &request->admin;
    struct arena arena;
    arena_init(&arena, 0);
    struct admin_request *wait = arena_calloc(&arena, sizeof(*wait));
    struct str *accounts = arena_calloc(&arena, (admin->account_count + 1) * sizeof(*accounts));
    for (size_t i = 0; i < admin->account_count; i++) {
        accounts[i] = str_dup(&arena, admin->accounts[i]);
    }
    wait->ref = entity_ref_create(entity);
    wait->router = entity->router;
    wait->continuation = request->continuation;
    wait->op = admin->op;
    wait->accounts = accounts;
    wait->account_count = admin->account_count;
    buf_init(&wait->outcomes, 0);
    wait->arena = arena;
    return wait;
}

void admin_request_start(struct entity *entity, const struct turn_request *request)
{
    const struct turn_admin *admin = &request->admin;
    struct account_store *accounts = entity->router->accounts;
    struct admin_request *wait = request_create(entity, request);
    switch (admin->op) {
    case TURN_ADMIN_CREATE:
    case TURN_ADMIN_SET_PASSWORD: derive(wait, admin->password); break;
    case TURN_ADMIN_DELETE:
    case TURN_ADMIN_DISABLE:
    case TURN_ADMIN_ENABLE:
    case TURN_ADMIN_END_SESSIONS:
    case TURN_ADMIN_LAST_LOGIN: next_account(wait); break;
    case TURN_ADMIN_COUNT:
        account_count(accounts,
                admin->domain,
                admin->is_disabled ? ACCOUNT_DISABLED : ACCOUNT_ACTIVE,
                on_told,
                wait);
        break;
    case TURN_ADMIN_LIST: account_list(accounts, admin->domain, admin->max, on_told, wait); break;
    case TURN_ADMIN_COUNT_ONLINE: count_online(wait); break;
    case TURN_ADMIN_ANNOUNCE: announce(wait, admin); break;
    }
}

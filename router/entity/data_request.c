/* A turn that waits for what its account keeps at the server (router/store/account_data_store.h):
 * the result is told after the commit. */
#include "chassis/base/mem.h"
#include "router/entity/entity.h"
#include "router/entity/sessions.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/turn.h"

struct data_request {
    struct entity_ref *ref;
    turn_continuation continuation;
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

static void go_on(
        struct entity *entity, turn_continuation continuation, enum err err, struct str loaded)
{
    struct item *item = entity->waiting;
    entity->waiting = NULL;
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, &item->stanza);
    turn.origin = item->origin;
    if (item->kind == ITEM_INPUT) {
        turn.session = entity_find_session(entity, item->session);
        turn.origin = (struct origin){ item->session, item->counter, 0 };
    }
    turn.loaded = loaded;
    continuation(&turn, &item->stanza, err);
    effects_apply(&turn);
    arena_fini(&arena);
    end_item(entity, item);
    entity_mark_dirty(entity);
    entity_wake(entity);
}

/* Frees the request; NULL: the shard went, and the edge asks the next home. */
static struct entity *take(struct data_request *wait, turn_continuation *continuation_out)
{
    struct entity *entity = entity_ref_take(wait->ref);
    *continuation_out = wait->continuation;
    free(wait);
    return entity && entity->waiting ? entity : NULL;
}

static void on_loaded(void *context, enum err err, const struct account_datum *rows, size_t count)
{
    turn_continuation continuation;
    struct entity *entity = take(context, &continuation);
    if (entity) {
        go_on(entity, continuation, err, count ? rows[0].value : STR_NULL);
    }
}

static void on_stored(void *context, enum err err)
{
    turn_continuation continuation;
    struct entity *entity = take(context, &continuation);
    if (!entity) {
        return;
    }
    if (err == ERR_FENCED) { /* the next home decides about the stanza */
        shard_fenced(entity->router->shards, entity->shard);
        entity_drop(entity);
        return;
    }
    if (err == ERR_UNAVAILABLE) { /* nobody knows what the store has: it is read again */
        entity_post(entity, item_create(ITEM_ACCOUNT_CHANGED, NULL, 0));
    }
    go_on(entity, continuation, err, STR_NULL);
}

void data_request_start(struct entity *entity, const struct turn_request *request)
{
    struct data_request *wait = MEM_NEW(struct data_request);
    wait->ref = entity_ref_create(entity);
    wait->continuation = request->continuation;
    struct account_data_change change = request->data;
    change.owner = entity->account.id;
    if (request->kind == TURN_REQUEST_LOAD_DATA) {
        account_data_load(entity->router->data,
                change.owner,
                change.kind,
                change.items[0].key,
                on_loaded,
                wait);
        return;
    }
    change.shard = entity->shard;
    change.epoch = shard_epoch(entity->router->shards, entity->shard);
    account_data_put(entity->router->data, &change, on_stored, wait);
}

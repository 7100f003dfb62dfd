/* A turn that waits for what its account keeps at the server (router/store/account_data_store.h):
 * it is sealed on its way out and opened on its way in; the result is told after the commit. */
#include "router/entity/data_request.h"

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "router/data_seal.h"
#include "router/entity/entity.h"
#include "router/entity/sessions.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/turn.h"

struct data_request {
    struct entity_ref *ref;
    turn_continuation continuation;
    struct data_place place; /* LOAD */
    bool has_new_key;        /* STORE: it is written with the data */
    struct vault_key key;
};

/* ---- the account's key, and what is needed before the first turn */

void data_forget_key(struct entity *entity)
{
    secret_wipe(&entity->key, sizeof(entity->key));
}

enum err data_take_key(struct entity *entity, struct str wrapped)
{
    if (wrapped.len == 0) {
        data_forget_key(entity);
        return ERR_OK;
    }
    struct vault_key key;
    enum err err = vault_open_key(entity->router->vault, entity->account.id, wrapped, &key);
    if (err != ERR_OK) {
        log_error("entity",
                "the account's key was wrapped by another router.storage_key_file",
                log_jid("jid", entity->bare));
        return err;
    }
    entity->key = key;
    secret_wipe(&key, sizeof(key));
    return ERR_OK;
}

/* `value` as it is in a row; `opened` holds what is sealed. */
static enum err open_value(const struct entity *entity,
        const struct data_place *place,
        const struct account_datum *row,
        struct buf *opened,
        struct str *value_out)
{
    if (!row->is_sealed) {
        *value_out = row->value;
        return ERR_OK;
    }
    enum err err = entity->key.owner != 0 ? data_open(&entity->key, place, row->value, opened)
                                          : ERR_DENIED;
    if (err == ERR_OK) {
        *value_out = buf_view(opened);
    } else {
        log_error("entity",
                "what an account keeps cannot be opened",
                log_jid("jid", entity->bare),
                log_int("kind", place->kind));
    }
    return err;
}

enum err data_take_blocklist(struct entity *entity, const struct account_row *row)
{
    struct account_datum datum = { .value = row->blocked, .is_sealed = row->is_blocked_sealed };
    struct data_place place = data_place_of(&entity->key, ACCOUNT_DATA_BLOCKLIST, STR_NULL);
    struct buf opened;
    struct str list;
    buf_init(&opened, 0);
    enum err err = open_value(entity, &place, &datum, &opened, &list);
    if (err == ERR_OK) {
        entity_set_blocklist(entity, list);
    }
    buf_fini(&opened);
    return err;
}

/* ---- going on */

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
        turn.origin = inputs_origin(turn.session, item);
    }
    turn.loaded = loaded;
    continuation(&turn, &item->stanza, err);
    effects_apply(&turn);
    arena_fini(&arena);
    end_item(entity, item);
    entity_mark_dirty(entity);
    entity_wake(entity);
}

static void request_destroy(struct data_request *wait)
{
    secret_wipe(wait, sizeof(*wait));
    free(wait);
}

/* NULL: the shard went, and the edge asks the next home. */
static struct entity *find_waiting(const struct data_request *wait)
{
    struct entity *entity = entity_ref_take(wait->ref);
    return entity && entity->waiting ? entity : NULL;
}

static void on_loaded(void *context, enum err err, const struct account_datum *rows, size_t count)
{
    struct data_request *wait = context;
    struct entity *entity = find_waiting(wait);
    if (entity) {
        struct buf opened;
        struct str value = STR_NULL;
        buf_init(&opened, 0);
        if (count > 0) {
            err = open_value(entity, &wait->place, &rows[0], &opened, &value);
        }
        go_on(entity, wait->continuation, err, value);
        buf_fini(&opened);
    }
    request_destroy(wait);
}

static void take_new_key(struct entity *entity, const struct data_request *wait, enum err err)
{
    if (wait->has_new_key && (err == ERR_OK || err == ERR_LIMIT)) {
        entity->key = wait->key;
    }
}

static void on_stored(void *context, enum err err)
{
    struct data_request *wait = context;
    struct entity *entity = find_waiting(wait);
    turn_continuation continuation = wait->continuation;
    if (entity) {
        take_new_key(entity, wait, err);
    }
    request_destroy(wait);
    if (!entity) {
        return;
    }
    if (err == ERR_FENCED) { /* the next home decides about the stanza */
        entity_drop_fenced(entity);
        return;
    }
    if (err == ERR_UNAVAILABLE) { /* nobody knows what the store has: it is read again */
        entity_post(entity, item_create(ITEM_ACCOUNT_CHANGED, NULL, 0));
    }
    go_on(entity, continuation, err, STR_NULL);
}

/* ---- starting */

static void load(
        struct entity *entity, struct data_request *wait, const struct account_data_change *asked)
{
    struct account_data_name name = {
        .owner = entity->account.id, .kind = asked->kind, .clear_key = asked->items[0].key
    };
    /* Without a key nothing is sealed, and this place is nobody's. */
    wait->place = data_place_of(&entity->key, name.kind, name.clear_key);
    name.key = data_place_key(&wait->place);
    account_data_load(entity->router->data, &name, on_loaded, wait);
}

/* What is stored for `items`, in the turn of the request. */
struct sealed_items {
    struct account_datum *rows;
    struct data_place *places;
    struct buf *values;
    size_t count;
};

static struct sealed_items seal_items(
        const struct vault_key *key, const struct account_data_change *change)
{
    struct sealed_items sealed = { .count = change->count };
    sealed.rows = mem_calloc(change->count, sizeof(*sealed.rows));
    sealed.places = mem_calloc(change->count, sizeof(*sealed.places));
    sealed.values = mem_calloc(change->count, sizeof(*sealed.values));
    for (size_t i = 0; i < change->count; i++) {
        const struct account_datum *item = &change->items[i];
        sealed.places[i] = data_place_of(key, change->kind, item->key);
        buf_init(&sealed.values[i], 0);
        if (item->value.len > 0) {
            data_seal(key, &sealed.places[i], item->value, &sealed.values[i]);
        }
        sealed.rows[i] = (struct account_datum){
            .key = data_place_key(&sealed.places[i]),
            .value = buf_view(&sealed.values[i]),
            .clear_key = item->key,
        };
    }
    return sealed;
}

static void sealed_items_fini(struct sealed_items *sealed)
{
    for (size_t i = 0; i < sealed->count; i++) {
        buf_fini(&sealed->values[i]);
    }
    free(sealed->rows);
    free(sealed->places);
    free(sealed->values);
}

static void store(
        struct entity *entity, struct data_request *wait, const struct account_data_change *asked)
{
    struct buf wrapped;
    buf_init(&wrapped, 0);
    wait->has_new_key = entity->key.owner == 0;
    wait->key = entity->key;
    if (wait->has_new_key) {
        vault_new_key(entity->router->vault, entity->account.id, &wait->key, &wrapped);
    }
    struct sealed_items sealed = seal_items(&wait->key, asked);
    struct account_data_change change = *asked;
    change.owner = entity->account.id;
    change.items = sealed.rows;
    change.shard = entity->shard;
    change.epoch = shard_epoch(entity->router->shards, entity->shard);
    change.wrapped_key = buf_view(&wrapped);
    account_data_put(entity->router->data, &change, on_stored, wait);
    sealed_items_fini(&sealed);
    buf_fini(&wrapped);
}

void data_request_start(struct entity *entity, const struct turn_request *request)
{
    struct data_request *wait = MEM_NEW(struct data_request);
    wait->ref = entity_ref_create(entity);
    wait->continuation = request->continuation;
    if (request->kind == TURN_REQUEST_LOAD_DATA) {
        load(entity, wait, &request->data);
    } else {
        store(entity, wait, &request->data);
    }
}

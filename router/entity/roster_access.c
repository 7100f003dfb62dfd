/* Loads and saves rosters. A row that does not open is left out; an account key that does not open
 * stops everything: with a new one the old rows would be lost. */
#include "router/entity/roster_access.h"

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "router/entity/data_request.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/store/roster_store.h"

#define TABLE "roster"

/* ---- loading */

struct load {
    struct entity_ref *ref;
    void (*done)(struct entity *entity, enum err err);
};

static enum err open_row(const struct vault_key *key,
        const struct roster_row *row,
        struct buf *content,
        struct roster_item **item_out)
{
    if (row->contact.len != VAULT_LOOKUP_BYTES) {
        return ERR_INVALID;
    }
    buf_clear(content);
    enum err err = vault_open(key, TABLE, (const uint8_t *)row->contact.ptr, row->item, content);
    return err == ERR_OK ? roster_item_decode(buf_view(content), item_out) : err;
}

static void take_rows(struct roster *roster,
        const struct vault_key *key,
        struct str bare,
        const struct roster_snapshot *snapshot)
{
    struct buf content;
    size_t broken = 0;
    buf_init(&content, 0);
    for (size_t i = 0; i < snapshot->count; i++) {
        struct roster_item *item;
        if (open_row(key, &snapshot->rows[i], &content, &item) == ERR_OK) {
            roster_put(roster, item);
        } else {
            broken++;
        }
    }
    if (broken > 0) {
        log_error(
                "roster", "items cannot be opened", log_jid("jid", bare), log_int("count", broken));
    }
    buf_fini(&content);
}

enum err roster_access_read(const struct vault *vault,
        int64_t owner,
        struct str bare,
        const struct roster_snapshot *snapshot,
        struct roster *roster)
{
    roster_clear(roster);
    if (snapshot->wrapped_key.len > 0) {
        struct vault_key key;
        enum err err = vault_open_key(vault, owner, snapshot->wrapped_key, &key);
        if (err != ERR_OK) {
            log_error("roster",
                    "the account's key was wrapped by another router.storage_key_file",
                    log_jid("jid", bare));
            return err;
        }
        take_rows(roster, &key, bare, snapshot);
        secret_wipe(&key, sizeof(key));
    }
    roster->version = snapshot->version;
    roster->since = snapshot->version;
    roster->is_loaded = true;
    return ERR_OK;
}

static enum err take_snapshot(struct entity *entity, const struct roster_snapshot *snapshot)
{
    enum err err = data_take_key(entity, snapshot->wrapped_key);
    if (err != ERR_OK) {
        return err;
    }
    return roster_access_read(
            entity->router->vault, entity->account.id, entity->bare, snapshot, &entity->roster);
}

static void on_loaded(void *context, enum err err, const struct roster_snapshot *snapshot)
{
    struct load load = *(struct load *)context;
    free(context);
    struct entity *entity = entity_ref_take(load.ref);
    if (!entity) {
        return;
    }
    load.done(entity, err == ERR_OK ? take_snapshot(entity, snapshot) : err);
}

void roster_access_load(struct entity *entity, void (*done)(struct entity *entity, enum err err))
{
    struct load *load = MEM_NEW(struct load);
    *load = (struct load){ entity_ref_create(entity), done };
    roster_load(entity->router->rosters, entity->account.id, on_loaded, load);
}

/* ---- saving */

struct save {
    struct entity_ref *ref;
    struct roster_item *item;
    struct vault_key key;
    int64_t version;
    void (*done)(void *context, enum err err);
    void *context;
};

static void finish(struct save *save, struct entity *entity, enum err err)
{
    void (*done)(void *context, enum err err) = save->done;
    void *context = save->context;
    if (entity && err == ERR_OK) {
        entity->key = save->key;
        roster_change(&entity->roster, save->item, save->version);
    } else {
        roster_item_destroy(save->item);
    }
    if (entity && err != ERR_OK) {
        entity->roster.is_loaded = false;
    }
    secret_wipe(save, sizeof(*save));
    free(save);
    done(context, err);
}

static void on_saved(void *context, enum err err)
{
    struct save *save = context;
    finish(save, entity_ref_take(save->ref), err);
}

static int64_t next_version(const struct entity *entity)
{
    int64_t now_us = loop_wall_us(entity->router->loop);
    return now_us > entity->roster.version ? now_us : entity->roster.version + 1;
}

void roster_access_save(struct entity *entity,
        struct roster_item *item,
        void (*done)(void *context, enum err err),
        void *context)
{
    struct router *router = entity->router;
    struct save *save = MEM_NEW(struct save);
    *save = (struct save){ .item = item, .done = done, .context = context };
    save->key = entity->key;
    save->version = next_version(entity);

    struct buf wrapped;
    struct buf content;
    struct buf sealed;
    uint8_t contact[VAULT_LOOKUP_BYTES];
    buf_init(&wrapped, 0);
    buf_init(&content, 0);
    buf_init(&sealed, 0);
    if (entity->key.owner == 0) {
        vault_new_key(router->vault, entity->account.id, &save->key, &wrapped);
    }
    vault_lookup(&save->key, TABLE, item->jid, contact);
    if (item->flags) {
        roster_item_encode(&content, item);
        vault_seal(&save->key, TABLE, contact, buf_view(&content), &sealed);
    }
    struct roster_write write = {
        .owner = entity->account.id,
        .shard = entity->shard,
        .epoch = shard_epoch(router->shards, entity->shard),
        .wrapped_key = buf_view(&wrapped),
        .contact = str_from(contact, sizeof(contact)),
        .item = buf_view(&sealed),
        .version = save->version,
    };
    save->ref = entity_ref_create(entity);
    roster_save(router->rosters, &write, on_saved, save);
    buf_fini(&wrapped);
    buf_fini(&content);
    buf_fini(&sealed);
}

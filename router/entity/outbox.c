/* Entries in flight to the log and what queues behind them. */
#include "router/entity/outbox.h"

#define OUTBOX_SLACK 320 /* NULs and padding of the copied texts */

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){ .head = NULL };
    outbox->end = &outbox->head;
}

void outbox_fini(struct outbox *outbox)
{
    struct outbox_item *item;
    while ((item = outbox_pop(outbox)) != NULL) {
        outbox_item_destroy(item);
    }
}

struct outbox_item *outbox_push(struct outbox *outbox, const struct stanza *stanza, int64_t id)
{
    struct arena arena;
    arena_init(&arena,
            sizeof(struct outbox_item) + stanza_bytes(stanza) + stanza->payload_ns.len
                    + stanza->payload_name.len + OUTBOX_SLACK);
    struct outbox_item *item = ARENA_NEW(&arena, struct outbox_item);
    stanza_dup(&arena, stanza, &item->stanza);
    item->id = id;
    item->arena = arena;
    *outbox->end = item;
    outbox->end = &item->next;
    outbox->count++;
    return item;
}

struct outbox_item *outbox_pop(struct outbox *outbox)
{
    struct outbox_item *item = outbox->head;
    if (!item) {
        return NULL;
    }
    outbox->head = item->next;
    if (!outbox->head) {
        outbox->end = &outbox->head;
    }
    outbox->count--;
    return item;
}

void outbox_item_destroy(struct outbox_item *item)
{
    if (item) {
        struct arena arena = item->arena;
        arena_fini(&arena);
    }
}

void outbox_remove(struct outbox *outbox, struct outbox_item *item)
{
    struct outbox_item **at = &outbox->head;
    while (*at != item) {
        at = &(*at)->next;
    }
    *at = item->next;
    if (!*at) {
        outbox->end = at;
    }
    outbox->count--;
    outbox_item_destroy(item);
}

void outbox_add_waiter(struct outbox_item *item, entity_route_done done, void *context)
{
    struct outbox_waiter **at = &item->waiters;
    while (*at) {
        at = &(*at)->next;
    }
    *at = ARENA_NEW(&item->arena, struct outbox_waiter);
    **at = (struct outbox_waiter){ .done = done, .context = context };
}

void outbox_tell_waiters(struct outbox_item *item, enum err err)
{
    struct outbox_waiter *waiter = item->waiters;
    item->waiters = NULL;
    for (; waiter; waiter = waiter->next) {
        waiter->done(waiter->context, err);
    }
}

struct outbox_item *outbox_find(const struct outbox *outbox, int64_t id)
{
    for (struct outbox_item *item = outbox->head; item; item = item->next) {
        if (item->id == id && id != 0) {
            return item;
        }
    }
    return NULL;
}

bool outbox_has_sender(const struct outbox *outbox, struct str from)
{
    for (const struct outbox_item *item = outbox->head; item; item = item->next) {
        if (str_equal(item->stanza.from, from)) {
            return true;
        }
    }
    return false;
}

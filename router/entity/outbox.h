/* What an entity has decided but not yet shown to anybody: entries that wait for their commit, and
 * volatile stanzas that must not overtake an entry of the same sender (P3). First in, first out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "proto/xmpp/stanza.h"
#include "router/entity/entity_table.h"

/* Somebody whose repeat of the same stanza came while the first one was in flight (P2). */
struct outbox_waiter {
    struct outbox_waiter *next;
    entity_route_done done;
    void *context;
};

struct outbox_item {
    struct outbox_item *next;
    struct arena arena; /* holds the item itself, too */
    struct stanza stanza;
    int64_t id; /* 0: volatile */
    struct origin origin;
    bool is_decided;
    struct outbox_waiter *waiters; /* entries: told what became of it */
};

struct outbox {
    struct outbox_item *head;
    struct outbox_item **end;
    size_t count;
};

void outbox_init(struct outbox *outbox);
void outbox_fini(struct outbox *outbox); /* must be empty of waiters */
struct outbox_item *outbox_push(struct outbox *outbox, const struct stanza *stanza, int64_t id);
struct outbox_item *outbox_pop(
        struct outbox *outbox); /* NULL: empty; free with outbox_item_destroy */
void outbox_remove(struct outbox *outbox, struct outbox_item *item); /* and destroys it */
void outbox_item_destroy(struct outbox_item *item);
/* Added in front of none: asked in order. */
void outbox_add_waiter(struct outbox_item *item, entity_route_done done, void *context);
void outbox_tell_waiters(struct outbox_item *item, enum err err);
struct outbox_item *outbox_find(const struct outbox *outbox, int64_t id); /* NULL: not in flight */
bool outbox_has_sender(const struct outbox *outbox, struct str from);

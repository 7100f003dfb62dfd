/* Items and their queue. */
#include "router/entity/mailbox.h"

/* Each copied text may be followed by a NUL and padding to 16 bytes. */
#define ITEM_TEXT_SLACK 32
#define ITEM_TEXTS      8

struct item *item_create(enum item_kind kind, const struct stanza *stanza, size_t extra)
{
    struct arena arena;
    size_t size = sizeof(struct item) + extra + ITEM_TEXT_SLACK * 3;
    if (stanza) {
        size += stanza_bytes(stanza) + stanza->payload_ns.len + stanza->payload_name.len
                + ITEM_TEXT_SLACK * ITEM_TEXTS;
    }
    arena_init(&arena, size);
    struct item *item = ARENA_NEW(&arena, struct item);
    item->kind = kind;
    if (stanza) {
        stanza_dup(&arena, stanza, &item->stanza);
    }
    item->arena = arena;
    return item;
}

void item_destroy(struct item *item)
{
    if (item) {
        struct arena arena = item->arena; /* the item lies in it */
        arena_fini(&arena);
    }
}

void mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){ .head = NULL };
    mailbox->end = &mailbox->head;
}

void mailbox_push(struct mailbox *mailbox, struct item *item)
{
    item->next = NULL;
    *mailbox->end = item;
    mailbox->end = &item->next;
    mailbox->count++;
}

struct item *mailbox_pop(struct mailbox *mailbox)
{
    struct item *item = mailbox->head;
    if (!item) {
        return NULL;
    }
    mailbox->head = item->next;
    if (!mailbox->head) {
        mailbox->end = &mailbox->head;
    }
    mailbox->count--;
    item->next = NULL;
    return item;
}

void mailbox_unpop(struct mailbox *mailbox, struct item *item)
{
    item->next = mailbox->head;
    if (!mailbox->head) {
        mailbox->end = &item->next;
    }
    mailbox->head = item;
    mailbox->count++;
}

void mailbox_push_first(struct mailbox *mailbox, struct mailbox *items)
{
    if (!items->head) {
        return;
    }

    *items->end = mailbox->head;
    if (!mailbox->head) {
        mailbox->end = items->end;
    }
    mailbox->head = items->head;
    mailbox->count += items->count;
    mailbox_init(items);
}

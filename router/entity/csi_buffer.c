/* The newest state of each sender. */
#include "router/entity/csi_buffer.h"

#include <stdlib.h>

#include "chassis/base/mem.h"
#include "proto/xmpp/ns.h"

#define HELD_SLACK 320 /* NULs and padding of the copied texts */

struct csi_buffer *csi_buffer_create(void)
{
    struct csi_buffer *buffer = MEM_NEW(struct csi_buffer);
    buffer->end = &buffer->head;
    return buffer;
}

void csi_held_destroy(struct csi_held *held)
{
    struct arena arena = held->arena;
    arena_fini(&arena);
}

void csi_buffer_destroy(struct csi_buffer *buffer)
{
    if (!buffer) {
        return;
    }
    struct csi_held *held;
    while ((held = csi_buffer_pop(buffer)) != NULL) {
        csi_held_destroy(held);
    }
    free(buffer);
}

bool csi_may_wait(const struct stanza *stanza)
{
    switch (stanza->kind) {
    case STANZA_PRESENCE:
        return stanza->type == STANZA_TYPE_NONE || stanza->type == STANZA_TYPE_UNAVAILABLE;
    case STANZA_MESSAGE:
        return (stanza->flags & STANZA_CHAT_STATE_ONLY) && stanza->type != STANZA_TYPE_ERROR
                && !stanza_is_durable(stanza);
    case STANZA_IQ: return false;
    }
    return false;
}

static void unlink_held(struct csi_buffer *buffer, struct csi_held **at)
{
    struct csi_held *held = *at;
    *at = held->next;
    if (!*at) {
        buffer->end = at;
    }
    buffer->count--;
    buffer->bytes -= held->bytes;
}

/* Copies of other people's states all come from the own account (XEP-0280): none is older news. */
static bool is_carbon(const struct stanza *stanza)
{
    return str_equal(stanza->payload_ns, STR(NS_CARBONS));
}

static void forget_older(struct csi_buffer *buffer, const struct stanza *stanza)
{
    if (is_carbon(stanza)) {
        return;
    }
    for (struct csi_held **at = &buffer->head; *at; at = &(*at)->next) {
        struct csi_held *held = *at;
        if (held->stanza.kind == stanza->kind && str_equal(held->stanza.from, stanza->from)
                && !is_carbon(&held->stanza)) {
            unlink_held(buffer, at);
            csi_held_destroy(held);
            return;
        }
    }
}

bool csi_buffer_hold(
        struct csi_buffer *buffer, const struct stanza *stanza, const struct csi_limits *limits)
{
    size_t bytes = stanza_bytes(stanza);
    forget_older(buffer, stanza);
    if (buffer->count >= limits->max_held || buffer->bytes + bytes > limits->max_bytes) {
        return false;
    }
    struct arena arena;
    arena_init(&arena,
            sizeof(struct csi_held) + bytes + stanza->payload_ns.len + stanza->payload_name.len
                    + HELD_SLACK);
    struct csi_held *held = ARENA_NEW(&arena, struct csi_held);
    stanza_dup(&arena, stanza, &held->stanza);
    held->bytes = bytes;
    held->arena = arena;
    *buffer->end = held;
    buffer->end = &held->next;
    buffer->count++;
    buffer->bytes += bytes;
    return true;
}

struct csi_held *csi_buffer_pop(struct csi_buffer *buffer)
{
    struct csi_held *held = buffer->head;
    if (held) {
        unlink_held(buffer, &buffer->head);
    }
    return held;
}

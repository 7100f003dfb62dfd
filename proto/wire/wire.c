/* protobuf-c behind an arena, and the stanza's message. */
#include "proto/wire/wire.h"

/* Longest bytes of a prepared full JID: three parts and two separators (RFC 7622 §3.1). */
#define MAX_JID_BYTES  (3 * 1023 + 2)
#define MAX_LANG_BYTES 35

static void *allocate_in_arena(void *context, size_t size)
{
    struct arena *arena = context;
    return arena_alloc(arena, size);
}

static void free_with_arena(void *context, void *ptr)
{
    (void)context;
    (void)ptr;
}

static ProtobufCAllocator arena_allocator(struct arena *arena)
{
    return (ProtobufCAllocator){
        .alloc = allocate_in_arena,
        .free = free_with_arena,
        .allocator_data = arena,
    };
}

/* Appends without a copy in between. A buffer at its ceiling is marked as overflowed. */
static void pack_message(struct buf *out, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    char *room = buf_reserve(out, size);
    if (room != NULL) {
        buf_commit(out, protobuf_c_message_pack(message, (uint8_t *)room));
    }
}

static ProtobufCMessage *unpack_message(
        struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct str packed)
{
    ProtobufCAllocator allocator = arena_allocator(arena);
    return protobuf_c_message_unpack(
            descriptor, &allocator, packed.len, (const uint8_t *)packed.ptr);
}

void wire_pack(struct buf *out, const Wire__Envelope *envelope)
{
    pack_message(out, &envelope->base);
}

enum err wire_unpack(struct arena *arena, struct str record, const Wire__Envelope **envelope_out)
{
    ProtobufCMessage *message = unpack_message(arena, &wire__envelope__descriptor, record);
    if (message == NULL) {
        return ERR_INVALID;
    }
    const Wire__Envelope *envelope = (const Wire__Envelope *)(const void *)message;
    if (envelope->verb_case == WIRE__ENVELOPE__VERB__NOT_SET) {
        return ERR_INVALID;
    }
    *envelope_out = envelope;
    return ERR_OK;
}

void wire_stanza_set(Wire__Stanza *message, const struct stanza *stanza)
{
    message->kind = (uint32_t)stanza->kind;
    message->type = (uint32_t)stanza->type;
    message->flags = stanza->flags;
    message->id = wire_bytes(stanza->id);
    message->lang = wire_bytes(stanza->lang);
    message->from = wire_bytes(stanza->from);
    message->to = wire_bytes(stanza->to);
    message->payload_ns = wire_bytes(stanza->payload_ns);
    message->payload_name = wire_bytes(stanza->payload_name);
    message->child_count = stanza->child_count;
    message->children = wire_bytes(stanza->children);
    message->priority = stanza->priority;
}

/* Header texts are written into somebody's stream: they have to be UTF-8 there (F09). */
static bool has_sound_texts(const Wire__Stanza *message)
{
    return message->lang.len <= MAX_LANG_BYTES && message->from.len <= MAX_JID_BYTES
            && message->to.len <= MAX_JID_BYTES && str_is_utf8(wire_str(message->id))
            && str_is_utf8(wire_str(message->lang)) && str_is_utf8(wire_str(message->from))
            && str_is_utf8(wire_str(message->to)) && str_is_utf8(wire_str(message->payload_ns))
            && str_is_utf8(wire_str(message->payload_name));
}

enum err wire_stanza_get(const Wire__Stanza *message, struct stanza *stanza_out)
{
    if (message == NULL || message->kind < STANZA_MESSAGE || message->kind > STANZA_IQ
            || message->type > STANZA_TYPE_INVALID || message->priority < -128
            || message->priority > 127 || !has_sound_texts(message)) {
        return ERR_INVALID;
    }
    *stanza_out = (struct stanza){
        .kind = (enum stanza_kind)message->kind,
        .type = (enum stanza_type)message->type,
        .flags = message->flags,
        .id = wire_str(message->id),
        .lang = wire_str(message->lang),
        .from = wire_str(message->from),
        .to = wire_str(message->to),
        .payload_ns = wire_str(message->payload_ns),
        .payload_name = wire_str(message->payload_name),
        .child_count = message->child_count,
        .children = wire_str(message->children),
        .priority = message->priority,
    };
    return ERR_OK;
}

void wire_stanza_pack(struct buf *out, const struct stanza *stanza)
{
    Wire__Stanza message = WIRE__STANZA__INIT;
    wire_stanza_set(&message, stanza);
    pack_message(out, &message.base);
}

enum err wire_stanza_unpack(struct arena *arena, struct str packed, struct stanza *stanza_out)
{
    ProtobufCMessage *message = unpack_message(arena, &wire__stanza__descriptor, packed);
    return wire_stanza_get((const Wire__Stanza *)(const void *)message, stanza_out);
}

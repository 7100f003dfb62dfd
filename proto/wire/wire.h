/* Envelopes (envelope.proto) to bytes and back, and struct stanza to its message. Unpacking
 * allocates from an arena only. */
#pragma once

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "proto/wire/envelope.pb-c.h"
#include "proto/xmpp/stanza.h"

/* Appends the packed envelope to `out`. */
void wire_pack(struct buf *out, const Wire__Envelope *envelope);
/* ERR_INVALID: not an envelope, or a verb we do not know (a newer neighbour: ignore and count).
 * Views live as long as `arena`. */
MUST_USE enum err wire_unpack(
        struct arena *arena, struct str record, const Wire__Envelope **envelope_out);

/* Both directions borrow: texts point into the other side. `message` must be initialised
 * (WIRE__STANZA__INIT). */
void wire_stanza_set(Wire__Stanza *message, const struct stanza *stanza);
/* Checks what can be checked for nothing (enums in range, lengths); ERR_INVALID. NOT the XML:
 * canonical_is_valid does that at the router's ingress. */
MUST_USE enum err wire_stanza_get(const Wire__Stanza *message, struct stanza *stanza_out);
void wire_stanza_pack(struct buf *out, const struct stanza *stanza);
MUST_USE enum err wire_stanza_unpack(
        struct arena *arena, struct str packed, struct stanza *stanza_out);

#define WIRE_ALL_SHARDS  UINT32_MAX /* NotOwner.shard */
#define WIRE_MAX_WRITTEN 4096       /* Announce.log_ids */

/* clang-format off */
static inline ProtobufCBinaryData wire_bytes(struct str s)
{
    return (ProtobufCBinaryData){ s.len, (uint8_t *)(uintptr_t)s.ptr };
}
static inline struct str wire_str(ProtobufCBinaryData data)
{
    return (struct str){ (const char *)data.data, data.len };
}
static inline struct id128 wire_id(const Wire__Id *id)
{
    return id ? (struct id128){ id->hi, id->lo } : (struct id128){ 0, 0 };
}
#define WIRE_ID_INIT(v) ((Wire__Id){ PROTOBUF_C_MESSAGE_INIT(&wire__id__descriptor), (v).hi, (v).lo })
/* clang-format on */

/* Frames of the bus: protobuf-c between its generated structs and ours. */
#include "chassis/link_frame.h"

#include "chassis/base/mem.h"
#include "chassis/link_frame.pb-c.h"

const char *link_error_name(enum link_error code)
{
    switch (code) {
    case LINK_ERROR_VERSION: return "version";
    case LINK_ERROR_DENIED: return "denied";
    case LINK_ERROR_PROTOCOL: return "protocol";
    case LINK_ERROR_STALE: return "stale";
    case LINK_ERROR_UNSPECIFIED:
    default: return "unspecified";
    }
}

/* ---- to the wire */

/* protobuf-c has no const in its structs; packing only reads. */
static ProtobufCBinaryData bytes_of(struct str s)
{
    union {
        const char *from;
        uint8_t *to;
    } cast = { .from = s.ptr };
    return (ProtobufCBinaryData){ .len = s.len, .data = cast.to };
}

static void pack(struct buf *out, const LinkWire__Frame *frame)
{
    size_t size = link_wire__frame__get_packed_size(frame);
    ASSERT(size <= UINT32_MAX);
    buf_append_u32be(out, (uint32_t)size);
    char *room = buf_reserve(out, size);
    if (room) {
        buf_commit(out, link_wire__frame__pack(frame, (uint8_t *)room));
    }
}

static void encode_hello(struct buf *out, const struct link_hello *hello)
{
    LinkWire__Hello body;
    link_wire__hello__init(&body);
    LinkWire__Frame frame;
    link_wire__frame__init(&frame);
    char *node = str_to_cstr(hello->node);
    char *address = str_to_cstr(hello->address);

    body.version_min = hello->version_min;
    body.version_max = hello->version_max;
    body.node = node;
    body.role = hello->role;
    body.boot_epoch = hello->boot_epoch;
    body.nonce = bytes_of(hello->nonce);
    body.address = address;
    body.max_frame_bytes = hello->max_frame_bytes;
    frame.body_case = LINK_WIRE__FRAME__BODY_HELLO;
    frame.hello = &body;
    pack(out, &frame);

    free(node);
    free(address);
}

static void encode_data(struct buf *out, const struct link_frame *from)
{
    LinkWire__Data body;
    link_wire__data__init(&body);
    LinkWire__Frame frame;
    link_wire__frame__init(&frame);
    ProtobufCBinaryData *records = mem_alloc((from->data.count + 1) * sizeof(ProtobufCBinaryData));

    for (size_t i = 0; i < from->data.count; i++) {
        records[i] = bytes_of(from->data.records[i]);
    }
    body.first_seq = from->data.first_seq;
    body.settled_seq = from->data.settled_seq;
    body.records = records;
    body.n_records = from->data.count;
    frame.body_case = LINK_WIRE__FRAME__BODY_DATA;
    frame.data = &body;
    pack(out, &frame);

    free(records);
}

static void encode_error(struct buf *out, const struct link_frame *from)
{
    LinkWire__Error body;
    link_wire__error__init(&body);
    LinkWire__Frame frame;
    link_wire__frame__init(&frame);
    char *text = str_to_cstr(from->error.text);

    body.code = (LinkWire__Error__Code)from->error.code;
    body.text = text;
    frame.body_case = LINK_WIRE__FRAME__BODY_ERROR;
    frame.error = &body;
    pack(out, &frame);

    free(text);
}

static void encode_proof(struct buf *out, const struct link_frame *from)
{
    LinkWire__Auth auth;
    link_wire__auth__init(&auth);
    LinkWire__Welcome welcome;
    link_wire__welcome__init(&welcome);
    LinkWire__Frame frame;
    link_wire__frame__init(&frame);

    if (from->type == LINK_FRAME_AUTH) {
        auth.mac = bytes_of(from->auth.mac);
        frame.body_case = LINK_WIRE__FRAME__BODY_AUTH;
        frame.auth = &auth;
    } else {
        welcome.mac = bytes_of(from->welcome.mac);
        welcome.last_seq = from->welcome.last_seq;
        welcome.credit_bytes = from->welcome.credit_bytes;
        frame.body_case = LINK_WIRE__FRAME__BODY_WELCOME;
        frame.welcome = &welcome;
    }
    pack(out, &frame);
}

static void encode_signal(struct buf *out, const struct link_frame *from)
{
    LinkWire__Ack ack;
    link_wire__ack__init(&ack);
    LinkWire__Ping ping;
    link_wire__ping__init(&ping);
    LinkWire__Pong pong;
    link_wire__pong__init(&pong);
    LinkWire__Frame frame;
    link_wire__frame__init(&frame);

    if (from->type == LINK_FRAME_ACK) {
        ack.seq = from->ack.seq;
        ack.credit_bytes = from->ack.credit_bytes;
        frame.body_case = LINK_WIRE__FRAME__BODY_ACK;
        frame.ack = &ack;
    } else if (from->type == LINK_FRAME_PING) {
        frame.body_case = LINK_WIRE__FRAME__BODY_PING;
        frame.ping = &ping;
    } else {
        frame.body_case = LINK_WIRE__FRAME__BODY_PONG;
        frame.pong = &pong;
    }
    pack(out, &frame);
}

void link_frame_encode(struct buf *out, const struct link_frame *frame)
{
    switch (frame->type) {
    case LINK_FRAME_HELLO: encode_hello(out, &frame->hello); break;
    case LINK_FRAME_DATA: encode_data(out, frame); break;
    case LINK_FRAME_ERROR: encode_error(out, frame); break;
    case LINK_FRAME_AUTH:
    case LINK_FRAME_WELCOME: encode_proof(out, frame); break;
    case LINK_FRAME_ACK:
    case LINK_FRAME_PING:
    case LINK_FRAME_PONG: encode_signal(out, frame); break;
    case LINK_FRAME_UNKNOWN:
    default: ASSERT(frame->type != LINK_FRAME_UNKNOWN); break; /* never sent */
    }
}

/* ---- from the wire */

enum err link_frame_measure(struct str bytes, size_t max_body_bytes, size_t *length_out)
{
    if (bytes.len < LINK_FRAME_HEADER_BYTES) {
        return ERR_AGAIN;
    }
    size_t length = 0;
    for (size_t i = 0; i < LINK_FRAME_HEADER_BYTES; i++) {
        length = length << 8 | (unsigned char)bytes.ptr[i];
    }
    if (length == 0) {
        return ERR_PROTOCOL;
    }
    if (length > max_body_bytes) {
        return ERR_LIMIT;
    }
    *length_out = LINK_FRAME_HEADER_BYTES + length;
    return ERR_OK;
}

static void *alloc_in_arena(void *context, size_t size)
{
    struct arena *arena = context;
    return arena_alloc(arena, size);
}

static void keep_in_arena(void *context, void *pointer)
{
    (void)context;
    (void)pointer;
}

static struct str view_of(ProtobufCBinaryData bytes)
{
    return str_from(bytes.data, bytes.len);
}

static void decode_hello(const LinkWire__Hello *from, struct link_hello *hello)
{
    hello->version_min = from->version_min;
    hello->version_max = from->version_max;
    hello->node = str_from_cstr(from->node);
    hello->role = from->role;
    hello->boot_epoch = from->boot_epoch;
    hello->nonce = view_of(from->nonce);
    hello->address = str_from_cstr(from->address);
    hello->max_frame_bytes = from->max_frame_bytes;
}

static void decode_data(struct arena *arena, const LinkWire__Data *from, struct link_frame *frame)
{
    struct str *records = arena_alloc(arena, (from->n_records + 1) * sizeof(*records));
    for (size_t i = 0; i < from->n_records; i++) {
        records[i] = view_of(from->records[i]);
    }
    frame->data.first_seq = from->first_seq;
    frame->data.settled_seq = from->settled_seq;
    frame->data.records = records;
    frame->data.count = from->n_records;
}

static void decode_error(const LinkWire__Error *from, struct link_frame *frame)
{
    frame->error.code = from->code > LINK_WIRE__ERROR__CODE__STALE ? LINK_ERROR_UNSPECIFIED
                                                                   : (enum link_error)from->code;
    frame->error.text = str_from_cstr(from->text);
}

static void decode_body(struct arena *arena, const LinkWire__Frame *from, struct link_frame *frame)
{
    switch ((int)from->body_case) {
    case LINK_WIRE__FRAME__BODY_HELLO:
        frame->type = LINK_FRAME_HELLO;
        decode_hello(from->hello, &frame->hello);
        break;
    case LINK_WIRE__FRAME__BODY_AUTH:
        frame->type = LINK_FRAME_AUTH;
        frame->auth.mac = view_of(from->auth->mac);
        break;
    case LINK_WIRE__FRAME__BODY_WELCOME:
        frame->type = LINK_FRAME_WELCOME;
        frame->welcome.mac = view_of(from->welcome->mac);
        frame->welcome.last_seq = from->welcome->last_seq;
        frame->welcome.credit_bytes = from->welcome->credit_bytes;
        break;
    case LINK_WIRE__FRAME__BODY_DATA:
        frame->type = LINK_FRAME_DATA;
        decode_data(arena, from->data, frame);
        break;
    case LINK_WIRE__FRAME__BODY_ACK:
        frame->type = LINK_FRAME_ACK;
        frame->ack.seq = from->ack->seq;
        frame->ack.credit_bytes = from->ack->credit_bytes;
        break;
    case LINK_WIRE__FRAME__BODY_PING: frame->type = LINK_FRAME_PING; break;
    case LINK_WIRE__FRAME__BODY_PONG: frame->type = LINK_FRAME_PONG; break;
    case LINK_WIRE__FRAME__BODY_ERROR:
        frame->type = LINK_FRAME_ERROR;
        decode_error(from->error, frame);
        break;
    default: frame->type = LINK_FRAME_UNKNOWN; break;
    }
}

enum err link_frame_decode(struct arena *arena, struct str body, struct link_frame *frame_out)
{
    ProtobufCAllocator allocator = {
        .alloc = alloc_in_arena, .free = keep_in_arena, .allocator_data = arena
    };
    const LinkWire__Frame *frame =
            link_wire__frame__unpack(&allocator, body.len, (const uint8_t *)body.ptr);
    if (!frame) {
        return ERR_PROTOCOL;
    }
    struct link_frame decoded = { .type = LINK_FRAME_UNKNOWN };
    decode_body(arena, frame, &decoded);
    *frame_out = decoded;
    return ERR_OK;
}

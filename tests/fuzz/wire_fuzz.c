/* Records from a neighbour: unpacking never trusts, packing gives back what was understood, and a
 * stanza that passed the checks of a router is XML for a client. */
#include "proto/wire/wire.h"

#include "proto/xmpp/canonical.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_header(void *context, const struct xml_stream_header *header)
{
    (void)context;
    (void)header;
}

static void on_element(void *context, const struct xml_element *element)
{
    (void)element;
    size_t *count = context;
    *count += 1;
}

static void on_close(void *context)
{
    (void)context;
}

static void check_written(const struct stanza *stanza)
{
    static const struct xml_limits LIMITS = { SIZE_MAX / 2, SIZE_MAX / 2, UINT32_MAX, UINT32_MAX };
    static const struct xml_reader_handlers HANDLERS = { on_header, on_element, on_close };
    size_t count = 0;
    struct buf stream;
    buf_init(&stream, 0);
    buf_append_literal(
            &stream, "<stream:stream xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAM "'>");
    stanza_write(&stream, stanza);
    struct xml_reader *reader = xml_reader_create(&LIMITS, &HANDLERS, &count);
    size_t consumed = 0;
    ASSERT(xml_reader_feed(reader, buf_view(&stream), &consumed, NULL) == STREAM_ERROR_NONE);
    ASSERT(count == 1);
    xml_reader_destroy(reader);
    buf_fini(&stream);
}

static void check_stanza(struct arena *arena, const struct stanza *stanza)
{
    struct buf packed;
    struct stanza again;
    buf_init(&packed, 0);
    wire_stanza_pack(&packed, stanza);
    ASSERT(wire_stanza_unpack(arena, buf_view(&packed), &again) == ERR_OK);
    ASSERT(stanza_bytes(stanza) == stanza_bytes(&again));
    if (canonical_is_valid(stanza->children, 100, 25000)) {
        check_written(stanza);
    }
    buf_fini(&packed);
}

static const Wire__Stanza *find_stanza(const Wire__Envelope *envelope)
{
    switch ((int)envelope->verb_case) {
    case WIRE__ENVELOPE__VERB_INPUT: return envelope->input->stanza;
    case WIRE__ENVELOPE__VERB_DELIVER: return envelope->deliver->stanza;
    case WIRE__ENVELOPE__VERB_ROUTE: return envelope->route->stanza;
    default: return NULL;
    }
}

static void check_envelope(struct arena *arena, const Wire__Envelope *envelope)
{
    struct buf packed;
    struct stanza stanza;
    const Wire__Envelope *again = NULL;
    buf_init(&packed, 0);
    wire_pack(&packed, envelope);
    /* protobuf-c keeps unknown fields, even with the illegal number 0, which it then refuses */
    if (wire_unpack(arena, buf_view(&packed), &again) == ERR_OK) {
        ASSERT(again->verb_case == envelope->verb_case);
    }
    const Wire__Stanza *message = find_stanza(envelope);
    if (message != NULL && wire_stanza_get(message, &stanza) == ERR_OK) {
        check_stanza(arena, &stanza);
    }
    buf_fini(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct stanza stanza;
    const Wire__Envelope *envelope = NULL;
    arena_init(&arena, 0);
    if (wire_unpack(&arena, str_from(data, size), &envelope) == ERR_OK) {
        check_envelope(&arena, envelope);
    }
    if (wire_stanza_unpack(&arena, str_from(data, size), &stanza) == ERR_OK) {
        check_stanza(&arena, &stanza);
    }
    arena_fini(&arena);
    return 0;
}

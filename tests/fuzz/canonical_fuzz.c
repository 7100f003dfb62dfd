/* Canonical XML: what the validator accepts, the tree parser, the stanza-id filter and expat (any
 * client's parser) accept too. */
#include "proto/xmpp/canonical.h"

#include "chassis/base/err.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/stanza_id.h"
#include "proto/xmpp/xml_reader.h"

#define MAX_DEPTH    50
#define MAX_ELEMENTS 1000

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

/* Somebody else's parser takes it inside a stanza. */
static void check_with_expat(struct str xml)
{
    static const struct xml_limits LIMITS = { SIZE_MAX / 2, SIZE_MAX / 2, UINT32_MAX, UINT32_MAX };
    static const struct xml_reader_handlers HANDLERS = { on_header, on_element, on_close };
    size_t count = 0;
    struct buf stream;
    buf_init(&stream, 0);
    buf_append_literal(
            &stream, "<stream:stream xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAM "'><message>");
    buf_append_str(&stream, xml);
    buf_append_literal(&stream, "</message>");
    struct xml_reader *reader = xml_reader_create(&LIMITS, &HANDLERS, &count);
    size_t consumed = 0;
    ASSERT(xml_reader_feed(reader, buf_view(&stream), &consumed, NULL) == STREAM_ERROR_NONE);
    ASSERT(count == 1);
    xml_reader_destroy(reader);
    buf_fini(&stream);
}

static void write_all(struct buf *out, const struct element *first)
{
    for (const struct element *element = first; element != NULL; element = element->next) {
        element_write(out, element, STR(NS_CLIENT));
    }
}

/* Writing a tree gives canonical XML, and the same again when that is parsed. */
static void check_tree(struct arena *arena, const struct element *first)
{
    struct buf once;
    struct buf twice;
    struct element *again = NULL;
    buf_init(&once, 0);
    buf_init(&twice, 0);
    write_all(&once, first);
    ASSERT(canonical_is_valid(buf_view(&once), MAX_DEPTH, MAX_ELEMENTS));
    ASSERT(element_parse(arena, buf_view(&once), STR(NS_CLIENT), &again) == ERR_OK);
    write_all(&twice, again);
    ASSERT(str_equal(buf_view(&once), buf_view(&twice)));
    buf_fini(&once);
    buf_fini(&twice);
}

static void check_strip(struct str xml)
{
    struct buf once;
    struct buf twice;
    buf_init(&once, 0);
    buf_init(&twice, 0);
    if (stanza_id_strip(&once, xml, STR("a@b"))) {
        ASSERT(once.len < xml.len);
        ASSERT(canonical_is_valid(buf_view(&once), MAX_DEPTH, MAX_ELEMENTS));
        ASSERT(!stanza_id_strip(&twice, buf_view(&once), STR("a@b")));
    }
    buf_fini(&once);
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str xml = str_from(data, size);
    struct arena arena;
    struct element *first = NULL;
    arena_init(&arena, 0);
    enum err err = element_parse(&arena, xml, STR(NS_CLIENT), &first);
    if (canonical_is_valid(xml, MAX_DEPTH, MAX_ELEMENTS)) {
        ASSERT(err == ERR_OK);
        check_tree(&arena, first);
        check_strip(xml);
        check_with_expat(xml);
    }
    arena_fini(&arena);
    return 0;
}

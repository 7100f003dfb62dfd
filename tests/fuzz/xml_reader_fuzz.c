/* xml_reader: however the bytes are cut, paused or interrupted by releases, the same events come;
 * what comes is canonical, and a tree made of it writes the same bytes. First byte: how to cut. */
#include "proto/xmpp/xml_reader.h"

#include <stdlib.h>

#include "proto/xmpp/canonical.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/ns.h"

#define GATHER_BYTES 1024 /* more than the reader ever keeps back */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct xml_limits LIMITS = { 3000, 2000, 16, 64 };

struct run {
    struct buf log;
    struct xml_reader *reader;
    struct str content_ns;
    char content_ns_text[64];
    bool is_pausing;
};

static void on_header(void *context, const struct xml_stream_header *header)
{
    struct run *run = context;
    size_t len = header->ns.len < sizeof run->content_ns_text ? header->ns.len : 0;
    if (len > 0) {
        memcpy(run->content_ns_text, header->ns.ptr, len);
    }
    run->content_ns = len > 0 ? str_from(run->content_ns_text, len) : STR(NS_CLIENT);
    buf_printf(&run->log,
            "header " STR_FMT "|" STR_FMT "|" STR_FMT "\n",
            STR_ARG(header->ns),
            STR_ARG(header->to),
            STR_ARG(header->lang));
    ASSERT(header->lang.len <= 35 && str_is_utf8(header->lang));
    if (header->ns.len >= sizeof run->content_ns_text) {
        run->content_ns = STR_NULL; /* too long for this test */
    }
}

/* Text between child elements loses its place in a tree. */
static bool has_mixed_content(const struct element *first)
{
    for (const struct element *element = first; element != NULL; element = element->next) {
        if ((element->text.len > 0 && element->first_child != NULL)
                || has_mixed_content(element->first_child)) {
            return true;
        }
    }
    return false;
}

static void check_children(const struct run *run, const struct xml_element *element)
{
    ASSERT(canonical_is_valid(element->children, LIMITS.max_depth - 1, LIMITS.max_elements - 1));
    struct arena arena;
    struct buf written;
    struct element *first = NULL;
    arena_init(&arena, 0);
    buf_init(&written, 0);
    ASSERT(element_parse(&arena, element->children, run->content_ns, &first) == ERR_OK);
    size_t count = 0;
    for (const struct element *child = first; child != NULL; child = child->next) {
        element_write(&written, child, run->content_ns);
        count++;
    }
    ASSERT(count == element->child_count);
    if (count > 0) {
        ASSERT(str_equal(first->ns, element->payload_ns));
        ASSERT(str_equal(first->name, element->payload_name));
    }
    ASSERT(has_mixed_content(first) || str_equal(buf_view(&written), element->children));
    buf_fini(&written);
    arena_fini(&arena);
}

static void on_element(void *context, const struct xml_element *element)
{
    struct run *run = context;
    buf_printf(&run->log,
            "element " STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT "|%x|%u|%d|%d|%zu",
            STR_ARG(element->ns),
            STR_ARG(element->name),
            STR_ARG(element->text),
            STR_ARG(element->children),
            element->flags,
            element->child_count,
            element->priority,
            element->has_text,
            element->raw_bytes);
    for (size_t i = 0; i < element->attribute_count; i++) {
        buf_printf(&run->log,
                "|" STR_FMT " " STR_FMT "=" STR_FMT,
                STR_ARG(element->attributes[i].ns),
                STR_ARG(element->attributes[i].name),
                STR_ARG(element->attributes[i].value));
    }
    buf_append_char(&run->log, '\n');
    ASSERT(element->raw_bytes <= LIMITS.max_stanza_bytes);
    if (run->content_ns.ptr != NULL) {
        check_children(run, element);
    }
    if (run->is_pausing) {
        xml_reader_pause(run->reader);
    }
}

static void on_close(void *context)
{
    struct run *run = context;
    buf_append_literal(&run->log, "close\n");
}

static void run_init(struct run *run, bool is_pausing)
{
    static const struct xml_reader_handlers HANDLERS = { on_header, on_element, on_close };
    *run = (struct run){ .is_pausing = is_pausing };
    buf_init(&run->log, 0);
    run->reader = xml_reader_create(&LIMITS, &HANDLERS, run);
}

static void run_fini(struct run *run)
{
    xml_reader_destroy(run->reader);
    buf_fini(&run->log);
}

static enum stream_condition feed_piece(struct run *run, const uint8_t *data, size_t size)
{
    enum stream_condition condition = STREAM_ERROR_NONE;
    while (size > 0 && condition == STREAM_ERROR_NONE) {
        char *copy = malloc(size); /* exact, for ASan */
        memcpy(copy, data, size);
        size_t consumed = 0;
        condition = xml_reader_feed(run->reader, str_from(copy, size), &consumed, NULL);
        free(copy);
        ASSERT(consumed <= size && (consumed > 0 || condition != STREAM_ERROR_NONE));
        data += consumed;
        size -= consumed;
    }
    return condition;
}

static enum stream_condition feed_cut(
        struct run *run, uint8_t how, const uint8_t *data, size_t size)
{
    enum stream_condition condition = STREAM_ERROR_NONE;
    uint32_t state = how;
    while (size > 0 && condition == STREAM_ERROR_NONE) {
        state = state * 1103515245U + 12345U;
        size_t step = (how & 1) != 0 ? 1 : 1 + (state >> 16) % ((how & 2) != 0 ? 8 : 600);
        step = step < size ? step : size;
        condition = feed_piece(run, data, step);
        data += step;
        size -= step;
        if ((how & 4) != 0) {
            xml_reader_release(run->reader);
        }
    }
    return condition;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct run whole;
    struct run cut;
    run_init(&whole, false);
    run_init(&cut, (data[0] & 8) != 0);
    enum stream_condition expected = feed_piece(&whole, data + 1, size - 1);
    enum stream_condition condition = feed_cut(&cut, data[0], data + 1, size - 1);
    if (expected != STREAM_ERROR_NONE && condition == STREAM_ERROR_NONE) {
        /* the bytes that show the error were kept back with a long token */
        uint8_t spaces[GATHER_BYTES];
        memset(spaces, ' ', sizeof spaces);
        condition = feed_piece(&cut, spaces, sizeof spaces);
    }
    ASSERT((expected == STREAM_ERROR_NONE) == (condition == STREAM_ERROR_NONE));
    ASSERT(str_equal(buf_view(&whole.log), buf_view(&cut.log)));
    run_fini(&whole);
    run_fini(&cut);
    return 0;
}

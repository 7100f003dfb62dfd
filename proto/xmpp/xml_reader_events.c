/* What expat reports becomes a stream header, elements and a close. Handlers call no function of
 * expat that parses or frees: only XML_StopParser and questions about the position. */
#include "chassis/base/mem.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_chars.h"
#include "proto/xmpp/xml_reader_internal.h"
#include "proto/xmpp/xml_writer.h"

#define MAX_LANG_BYTES 35 /* RFC 5646 §4.4.1 */
/* Nobody writes more than version, encoding and standalone. */
#define MAX_DECLARATION_BYTES 256

#define HEADER_CLIENT_FIRST "<stream:stream xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAM "'>"
#define HEADER_STREAM_FIRST "<stream:stream xmlns:stream='" NS_STREAM "' xmlns='" NS_CLIENT "'>"

struct expanded_name {
    struct str ns;
    struct str name;
};

static struct expanded_name split_name(const XML_Char *text)
{
    const char *separator = strchr(text, NS_SEPARATOR);
    if (separator == NULL) {
        return (struct expanded_name){ STR(""), str_from_cstr(text) };
    }
    return (struct expanded_name){ str_from(text, (size_t)(separator - text)),
        str_from_cstr(separator + 1) };
}

static bool is_white(struct str text)
{
    return str_trim(text).len == 0;
}

struct str reader_content_ns(const struct reader_work *work)
{
    return work->content_ns.len > 0 ? buf_view(&work->content_ns) : STR(NS_CLIENT);
}

/* ---- stopping */

static void stop(struct reader_work *work)
{
    if (!work->is_stopping) {
        work->is_stopping = true;
        (void)XML_StopParser(work->parser, XML_FALSE);
    }
}

static void fail(struct xml_reader *reader, enum stream_condition condition, const char *detail)
{
    reader_fail(reader, condition, detail);
    stop(reader->work);
}

static uint64_t event_start(const struct reader_work *work)
{
    return (uint64_t)XML_GetCurrentByteIndex(work->parser);
}

static uint64_t event_end(const struct reader_work *work)
{
    return event_start(work) + (uint64_t)XML_GetCurrentByteCount(work->parser);
}

/* Behind a call of the user's handler: does he want to go on? */
static void check_wishes(struct xml_reader *reader)
{
    if (reader->wants_pause || reader->wants_restart || reader->state == READER_CLOSED) {
        reader->work->stop_index = event_end(reader->work);
        stop(reader->work);
    }
}

static bool is_tag_too_long(struct xml_reader *reader)
{
    int len = XML_GetCurrentByteCount(reader->work->parser);
    if (len >= 0 && (size_t)len <= reader->limits.max_token_bytes) {
        return false;
    }
    fail(reader, STREAM_ERROR_POLICY_VIOLATION, "token-too-long");
    return true;
}

/* ---- the stream header */

static struct str cut_lang(struct str lang)
{
    if (lang.len <= MAX_LANG_BYTES) {
        return lang;
    }
    lang.len = MAX_LANG_BYTES;
    while (lang.len > 0 && ((uint8_t)lang.ptr[lang.len] & 0xC0) == 0x80) {
        lang.len--;
    }
    return lang;
}

static void set_header_attribute(
        struct xml_stream_header *header, const struct expanded_name *name, struct str value)
{
    if (str_equal(name->ns, STR(NS_XML)) && str_equal(name->name, STR("lang"))) {
        header->lang = cut_lang(value);
        return;
    }
    if (name->ns.len > 0) {
        return;
    }
    if (str_equal(name->name, STR("to"))) {
        header->to = value;
        header->has_to = true;
    } else if (str_equal(name->name, STR("from"))) {
        header->from = value;
    } else if (str_equal(name->name, STR("id"))) {
        header->id = value;
    } else if (str_equal(name->name, STR("version"))) {
        header->version = value;
        header->has_version = true;
    }
}

/* The root's name as the client wrote it: its closing tag will use the same prefix. */
static struct str raw_root_name(const struct reader_work *work)
{
    int offset = 0;
    int size = 0;
    const char *context = XML_GetInputContext(work->parser, &offset, &size);
    ASSERT(context != NULL && offset < size);
    const char *name = context + offset + 1;
    const char *end = context + size;
    const char *at = name;
    while (at < end && strchr(" \t\r\n/>", *at) == NULL) {
        at++;
    }
    return str_from(name, (size_t)(at - name));
}

/* What a new parser in the middle of this stream has to read first. */
static void remember_header(struct xml_reader *reader)
{
    static const struct str STANDARD[] = {
        { HEADER_CLIENT_FIRST, sizeof HEADER_CLIENT_FIRST - 1 },
        { HEADER_STREAM_FIRST, sizeof HEADER_STREAM_FIRST - 1 },
    };
    struct buf header;
    buf_init(&header, 0);
    buf_append_char(&header, '<');
    buf_append_str(&header, raw_root_name(reader->work));
    buf_append_str(&header, buf_view(&reader->work->declarations));
    buf_append_char(&header, '>');
    struct str text = buf_view(&header);
    for (size_t i = 0; i < sizeof STANDARD / sizeof STANDARD[0]; i++) {
        if (str_equal(text, STANDARD[i])) {
            reader->replay = STANDARD[i];
        }
    }
    if (reader->replay.len == 0) {
        reader->replay = str_from(str_to_cstr(text), text.len);
        reader->is_replay_owned = true;
    }
    buf_fini(&header);
}

static void start_stream(
        struct xml_reader *reader, const struct expanded_name *name, const XML_Char **attributes)
{
    if (reader->work->is_replaying || is_tag_too_long(reader)) {
        return;
    }
    if (!str_equal(name->name, STR("stream"))) {
        fail(reader, STREAM_ERROR_BAD_FORMAT, "root-not-stream");
        return;
    }
    if (!str_equal(name->ns, STR(NS_STREAM))) {
        fail(reader, STREAM_ERROR_INVALID_NAMESPACE, "root-namespace");
        return;
    }
    remember_header(reader);
    struct xml_stream_header header = { .ns = buf_view(&reader->work->content_ns) };
    for (size_t i = 0; attributes[i] != NULL; i += 2) {
        struct expanded_name attribute = split_name(attributes[i]);
        set_header_attribute(&header, &attribute, str_from_cstr(attributes[i + 1]));
    }
    reader->state = READER_IN_STREAM;
    reader->is_in_handler = true;
    reader->handlers.on_header(reader->context, &header);
    reader->is_in_handler = false;
    check_wishes(reader);
}

/* Reported in front of the element that declares. Only the root's are kept: below it, expat
 * resolves all names. The content namespace is the default one, or (RFC 6120 §4.8.3) one with a
 * prefix. */
static void on_namespace(void *user_data, const XML_Char *prefix, const XML_Char *uri)
{
    struct xml_reader *reader = (struct xml_reader *)user_data;
    struct reader_work *work = reader->work;
    struct str ns = str_from_cstr(uri);
    if (work->is_stopping) {
        return;
    }
    if (!xml_char_is_namespace(ns)) {
        fail(reader, STREAM_ERROR_NOT_WELL_FORMED, "namespace-name");
        return;
    }
    if (work->depth > 0) {
        return;
    }
    bool is_default = prefix == NULL && ns.len > 0 && !str_equal(ns, STR(NS_STREAM));
    bool is_content = str_equal(ns, STR(NS_CLIENT)) || str_equal(ns, STR(NS_SERVER));
    if (is_default || (is_content && work->content_ns.len == 0)) {
        buf_clear(&work->content_ns);
        buf_append_str(&work->content_ns, ns);
    }
    buf_append_literal(&work->declarations, " xmlns");
    if (prefix != NULL) {
        buf_append_char(&work->declarations, ':');
        buf_append_str(&work->declarations, str_from_cstr(prefix));
    }
    buf_append_literal(&work->declarations, "='");
    xml_escape_attr(&work->declarations, ns);
    buf_append_char(&work->declarations, '\'');
}

/* ---- an element of the stream */

static char *copy_text(char **at, struct str text)
{
    char *start = *at;
    if (text.len > 0) {
        memcpy(start, text.ptr, text.len);
    }
    *at += text.len;
    return start;
}

static size_t count_attributes(const XML_Char **attributes)
{
    size_t count = 0;
    while (attributes[2 * count] != NULL) {
        count++;
    }
    return count;
}

/* Copies what expat forgets when the handler returns into one block. */
static void keep_head(
        struct reader_work *work, const struct expanded_name *name, const XML_Char **attributes)
{
    size_t count = count_attributes(attributes);
    size_t bytes = name->ns.len + name->name.len;
    for (size_t i = 0; i < 2 * count; i++) {
        bytes += strlen(attributes[i]);
    }
    size_t table_bytes = count * sizeof(struct xml_attribute);
    char *block = buf_reserve(&work->head, table_bytes + bytes);
    struct xml_attribute *table = (struct xml_attribute *)(void *)block;
    char *at = block + table_bytes;
    for (size_t i = 0; i < count; i++) {
        struct expanded_name attribute = split_name(attributes[2 * i]);
        struct str value = str_from_cstr(attributes[2 * i + 1]);
        table[i].ns = str_from(copy_text(&at, attribute.ns), attribute.ns.len);
        table[i].name = str_from(copy_text(&at, attribute.name), attribute.name.len);
        table[i].value = str_from(copy_text(&at, value), value.len);
    }
    work->element.ns = str_from(copy_text(&at, name->ns), name->ns.len);
    work->element.name = str_from(copy_text(&at, name->name), name->name.len);
    work->element.attributes = table;
    work->element.attribute_count = count;
}

static void start_element(
        struct xml_reader *reader, const struct expanded_name *name, const XML_Char **attributes)
{
    struct reader_work *work = reader->work;
    if (str_equal(name->ns, STR(NS_STREAM)) && str_equal(name->name, STR("stream"))) {
        fail(reader, STREAM_ERROR_BAD_FORMAT, "second-header");
        return;
    }
    work->element = (struct xml_element){ 0 };
    work->element_start = event_start(work);
    work->element_count = 0;
    work->flags = (struct stanza_flags){ 0 };
    work->is_tag_open = false;
    work->has_priority = false;
    work->priority_len = 0;
    keep_head(work, name, attributes);
}

static void finish_element(struct xml_reader *reader)
{
    struct reader_work *work = reader->work;
    struct xml_element *element = &work->element;
    element->text = buf_view(&work->text);
    element->children = buf_view(&work->children);
    element->flags = stanza_flags_get(&work->flags);
    element->payload_ns = buf_view(&work->payload_ns);
    element->payload_name = buf_view(&work->payload_name);
    element->has_text = element->child_count > 0 && !is_white(element->text);
    element->raw_bytes = (size_t)(event_end(work) - work->element_start);
    if (element->raw_bytes > reader->limits.max_stanza_bytes) {
        fail(reader, STREAM_ERROR_POLICY_VIOLATION, "stanza-too-long");
        return;
    }
    reader->is_in_handler = true;
    reader->handlers.on_element(reader->context, element);
    reader->is_in_handler = false;
    buf_clear(&work->text);
    buf_clear(&work->children);
    buf_clear(&work->payload_ns);
    buf_clear(&work->payload_name);
    buf_clear(&work->head);
    buf_clear(&work->namespaces);
    check_wishes(reader);
}

/* ---- its children */

static struct str parent_ns(const struct reader_work *work, unsigned index)
{
    if (index == 0) {
        return reader_content_ns(work);
    }
    const struct reader_level *level = &work->levels[index - 1];
    if (level->ns_len == 0) {
        return STR("");
    }
    return str_from(buf_view(&work->namespaces).ptr + level->ns_start, level->ns_len);
}

static void push_level(struct reader_work *work, unsigned index, struct str ns)
{
    if (index >= work->level_capacity) {
        work->level_capacity = work->level_capacity > 0 ? 2 * work->level_capacity : 4;
        work->levels =
                mem_realloc(work->levels, work->level_capacity * sizeof(struct reader_level));
    }
    struct reader_level *level = &work->levels[index];
    level->namespaces_len = work->namespaces.len;
    level->ns_start = work->namespaces.len;
    level->ns_len = ns.len;
    if (index > 0 && str_equal(parent_ns(work, index), ns)) {
        level->ns_start = work->levels[index - 1].ns_start;
    } else {
        buf_append_str(&work->namespaces, ns);
    }
}

static void close_tag(struct reader_work *work)
{
    if (work->is_tag_open) {
        buf_append_char(&work->children, '>');
        work->is_tag_open = false;
    }
}

/* Looks at a child of the stanza itself. */
static void note_child(struct reader_work *work, const struct expanded_name *name)
{
    struct str content_ns = reader_content_ns(work);
    if (work->element.child_count++ == 0) {
        buf_append_str(&work->payload_ns, name->ns);
        buf_append_str(&work->payload_name, name->name);
    }
    stanza_flags_add(&work->flags, content_ns, name->ns, name->name);
    work->is_in_priority = !work->has_priority && str_equal(name->name, STR("priority"))
            && str_equal(name->ns, content_ns);
    work->has_priority = work->has_priority || work->is_in_priority;
}

static void start_child(
        struct xml_reader *reader, const struct expanded_name *name, const XML_Char **attributes)
{
    struct reader_work *work = reader->work;
    unsigned index = work->depth - 2;
    if (index == 0) {
        note_child(work, name);
    }
    struct element_attribute table[CANONICAL_MAX_ATTRIBUTES];
    struct element element = { .ns = name->ns, .name = name->name, .attributes = table };
    for (size_t i = 0; attributes[i] != NULL && i < 2 * CANONICAL_MAX_ATTRIBUTES; i += 2) {
        struct expanded_name attribute = split_name(attributes[i]);
        struct element_attribute *entry = &table[element.attribute_count++];
        entry->ns = attribute.ns;
        entry->name = attribute.name;
        entry->value = str_from_cstr(attributes[i + 1]);
    }
    close_tag(work);
    if (attributes[2 * element.attribute_count] != NULL
            || !canonical_write_start(&work->children, &element, parent_ns(work, index))) {
        fail(reader, STREAM_ERROR_POLICY_VIOLATION, "too-many-attributes");
        return;
    }
    work->is_tag_open = true;
    push_level(work, index, name->ns);
}

static void end_child(struct reader_work *work, const XML_Char *raw_name)
{
    if (work->is_tag_open) {
        buf_append_literal(&work->children, "/>");
        work->is_tag_open = false;
    } else {
        buf_append_literal(&work->children, "</");
        buf_append_str(&work->children, split_name(raw_name).name);
        buf_append_char(&work->children, '>');
    }
    work->namespaces.len = work->levels[work->depth - 2].namespaces_len;
}

/* xs:byte; what is none counts as 0, what is too large as the nearest (RFC 6121 §4.7.2.3). */
static int32_t parse_priority(struct str text)
{
    text = str_trim(text);
    int32_t sign = text.len > 0 && text.ptr[0] == '-' ? -1 : 1;
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        text = str_from(text.ptr + 1, text.len - 1);
    }
    uint64_t value = 0;
    if (text.len >= PRIORITY_TEXT_BYTES || !str_to_u64(text, &value)) {
        return 0;
    }
    int32_t bound = sign < 0 ? 128 : 127;
    return sign * (value > (uint64_t)bound ? bound : (int32_t)value);
}

static void add_priority_text(struct reader_work *work, struct str text)
{
    for (size_t i = 0; i < text.len && work->priority_len < PRIORITY_TEXT_BYTES; i++) {
        work->priority[work->priority_len++] = text.ptr[i];
    }
}

/* ---- expat's handlers */

static void check_nesting(struct xml_reader *reader)
{
    struct reader_work *work = reader->work;
    if (++work->element_count > reader->limits.max_elements) {
        fail(reader, STREAM_ERROR_POLICY_VIOLATION, "too-many-elements");
    } else if (work->depth > reader->limits.max_depth) {
        fail(reader, STREAM_ERROR_POLICY_VIOLATION, "too-deep");
    }
}

static void on_start(void *user_data, const XML_Char *raw_name, const XML_Char **attributes)
{
    struct xml_reader *reader = (struct xml_reader *)user_data;
    struct reader_work *work = reader->work;
    if (work->is_stopping) {
        return;
    }
    struct expanded_name name = split_name(raw_name);
    if (work->depth == 0) {
        start_stream(reader, &name, attributes);
    } else if (!is_tag_too_long(reader)) {
        if (work->depth == 1) {
            start_element(reader, &name, attributes);
        } else {
            start_child(reader, &name, attributes);
        }
        check_nesting(reader);
    }
    work->depth++;
}

static void on_end(void *user_data, const XML_Char *raw_name)
{
    struct xml_reader *reader = (struct xml_reader *)user_data;
    struct reader_work *work = reader->work;
    if (work->is_stopping || is_tag_too_long(reader)) {
        return;
    }
    work->depth--;
    if (work->depth == 0) {
        reader->state = READER_CLOSED;
        reader->is_in_handler = true;
        reader->handlers.on_close(reader->context);
        reader->is_in_handler = false;
        check_wishes(reader);
    } else if (work->depth == 1) {
        finish_element(reader);
    } else {
        if (work->depth == 2 && work->is_in_priority) {
            work->is_in_priority = false;
            work->element.priority = parse_priority(str_from(work->priority, work->priority_len));
        }
        end_child(work, raw_name);
    }
}

static void on_text(void *user_data, const XML_Char *data, int len)
{
    struct xml_reader *reader = (struct xml_reader *)user_data;
    struct reader_work *work = reader->work;
    struct str text = str_from(data, (size_t)len);
    if (work->is_stopping) {
        return;
    }
    if (work->depth == 1) {
        if (!is_white(text)) {
            fail(reader, STREAM_ERROR_BAD_FORMAT, "text-between-stanzas");
        }
    } else if (work->depth == 2) {
        buf_append_str(&work->text, text);
    } else {
        if (work->is_in_priority && work->depth == 3) {
            add_priority_text(work, text);
        }
        close_tag(work);
        xml_text(&work->children, text);
    }
}

static void fail_restricted(struct xml_reader *reader, const char *detail)
{
    if (!reader->work->is_stopping) {
        fail(reader, STREAM_ERROR_RESTRICTED_XML, detail);
    }
}

static void on_comment(void *user_data, const XML_Char *data)
{
    (void)data;
    fail_restricted((struct xml_reader *)user_data, "comment");
}

static void on_instruction(void *user_data, const XML_Char *target, const XML_Char *data)
{
    (void)target;
    (void)data;
    fail_restricted((struct xml_reader *)user_data, "processing-instruction");
}

static void on_doctype(void *user_data,
        const XML_Char *name,
        const XML_Char *system_id,
        const XML_Char *public_id,
        int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    fail_restricted((struct xml_reader *)user_data, "doctype");
}

static void on_declaration(
        void *user_data, const XML_Char *version, const XML_Char *encoding, int standalone)
{
    (void)standalone;
    struct xml_reader *reader = (struct xml_reader *)user_data;
    if (reader->work->is_stopping) {
        return;
    }
    if (version == NULL || !str_equal(str_from_cstr(version), STR("1.0"))) {
        fail(reader, STREAM_ERROR_NOT_WELL_FORMED, "xml-version");
    } else if (encoding != NULL && !str_equal_nocase(str_from_cstr(encoding), STR("utf-8"))) {
        fail(reader, STREAM_ERROR_UNSUPPORTED_ENCODING, "xml-encoding");
    } else if (XML_GetCurrentByteCount(reader->work->parser) > MAX_DECLARATION_BYTES) {
        fail(reader, STREAM_ERROR_POLICY_VIOLATION, "xml-declaration-too-long");
    }
}

void reader_events_attach(struct xml_reader *reader)
{
    XML_Parser parser = reader->work->parser;
    XML_SetUserData(parser, reader);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartNamespaceDeclHandler(parser, on_namespace);
    XML_SetCommentHandler(parser, on_comment);
    XML_SetProcessingInstructionHandler(parser, on_instruction);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    XML_SetXmlDeclHandler(parser, on_declaration);
}

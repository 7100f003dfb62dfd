/* Canonical XML to a tree, without recursion: the open elements are a list in the arena. */
#include "proto/xmpp/element.h"

#include <stdint.h>

#include "proto/xmpp/canonical_scan.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

struct open_element {
    struct element *element; /* NULL: the level above the top elements */
    struct element *last_child;
    struct str ns;
    char *joined; /* the element's text, once it has come in pieces */
    size_t joined_capacity;
    struct open_element *parent;
};

struct tree_parser {
    struct arena *arena;
    struct canonical_scan scan;
    struct open_element *open;
    struct element *first;
};

static struct str unescape(struct arena *arena, struct str text)
{
    if (text.len == 0 || memchr(text.ptr, '&', text.len) == NULL) {
        return text;
    }
    char *plain = (char *)arena_alloc(arena, text.len);
    return str_from(plain, canonical_unescape(text, plain));
}

static bool has_prefix(struct str name, struct str prefix)
{
    return name.len > prefix.len && str_starts_with(name, prefix);
}

static struct str ns_of_attribute(struct tree_parser *parser, struct str name, size_t colon)
{
    struct str prefix = str_from(name.ptr, colon);
    if (str_equal(prefix, STR("xml"))) {
        return STR(NS_XML);
    }
    for (size_t i = 0; i < parser->scan.attribute_count; i++) {
        struct str other = parser->scan.attributes[i].name;
        if (has_prefix(other, STR("xmlns:"))
                && str_equal(str_from(other.ptr + 6, other.len - 6), prefix)) {
            return unescape(parser->arena, parser->scan.attributes[i].value);
        }
    }
    return STR("");
}

static void set_attributes(struct tree_parser *parser, struct element *element)
{
    size_t count = parser->scan.attribute_count;
    if (count == 0) {
        return;
    }
    struct element_attribute *attributes =
            arena_calloc(parser->arena, count * sizeof(struct element_attribute));
    for (size_t i = 0; i < count; i++) {
        struct str name = parser->scan.attributes[i].name;
        if (str_equal(name, STR("xmlns"))) {
            element->ns = unescape(parser->arena, parser->scan.attributes[i].value);
            continue;
        }
        if (has_prefix(name, STR("xmlns:"))) {
            continue;
        }
        struct element_attribute *attribute = &attributes[element->attribute_count++];
        size_t colon = str_find_char(name, ':');
        attribute->name = name;
        if (colon < name.len) {
            attribute->ns = ns_of_attribute(parser, name, colon);
            attribute->name = str_from(name.ptr + colon + 1, name.len - colon - 1);
        }
        attribute->value = unescape(parser->arena, parser->scan.attributes[i].value);
    }
    element->attributes = attributes;
}

static void push(struct tree_parser *parser, struct element *element)
{
    struct open_element *open = ARENA_NEW(parser->arena, struct open_element);
    open->element = element;
    open->ns = element->ns;
    open->parent = parser->open;
    parser->open = open;
}

static void add_element(struct tree_parser *parser)
{
    struct open_element *parent = parser->open;
    struct element *element = ARENA_NEW(parser->arena, struct element);
    element->name = parser->scan.name;
    element->ns = parent->ns;
    set_attributes(parser, element);
    if (parent->last_child != NULL) {
        parent->last_child->next = element;
    } else if (parent->element != NULL) {
        parent->element->first_child = element;
    } else {
        parser->first = element;
    }
    parent->last_child = element;
    if (!parser->scan.is_empty) {
        push(parser, element);
    }
}

/* Capacity doubles: text in very many pieces must not cost its square. */
static void add_text(struct tree_parser *parser)
{
    struct open_element *open = parser->open;
    struct str *text = &open->element->text;
    struct str piece = unescape(parser->arena, parser->scan.text);
    if (text->len == 0) {
        *text = piece;
        return;
    }
    size_t len = text->len + piece.len;
    if (len > open->joined_capacity) {
        open->joined_capacity = 2 * len;
        open->joined = arena_alloc(parser->arena, open->joined_capacity);
        memcpy(open->joined, text->ptr, text->len);
    }
    memcpy(open->joined + text->len, piece.ptr, piece.len);
    *text = str_from(open->joined, len);
}

static bool close_element(struct tree_parser *parser)
{
    const struct element *element = parser->open->element;
    if (element == NULL || !str_equal(element->name, parser->scan.name)) {
        return false;
    }
    parser->open = parser->open->parent;
    return true;
}

/* False: the text is over, or wrong. */
static bool parse_token(struct tree_parser *parser, enum err *err_out)
{
    *err_out = ERR_INVALID;
    switch (canonical_scan_next(&parser->scan)) {
    case CANONICAL_END: *err_out = parser->open->element == NULL ? ERR_OK : ERR_INVALID; break;
    case CANONICAL_BAD: break;
    case CANONICAL_OPEN: add_element(parser); return true;
    case CANONICAL_CLOSE: return close_element(parser);
    case CANONICAL_TEXT:
        if (parser->open->element == NULL) {
            break;
        }
        add_text(parser);
        return true;
    }
    return false;
}

enum err element_parse(
        struct arena *arena, struct str xml, struct str parent_ns, struct element **first_out)
{
    struct open_element top = { .ns = parent_ns };
    struct tree_parser parser = { .arena = arena, .open = &top };
    canonical_scan_init(&parser.scan, xml);
    enum err err = ERR_INVALID;
    while (parse_token(&parser, &err)) {
    }
    if (err == ERR_OK) {
        *first_out = parser.first;
    }
    return err;
}

/* Recursion is as deep as the tree, which met the stream's depth limit. */
void element_write(struct buf *out, const struct element *element, struct str parent_ns)
{
    canonical_write_start(out, element, parent_ns);
    if (element->text.len == 0 && element->first_child == NULL) {
        xml_end_empty(out);
        return;
    }
    xml_end_open(out);
    xml_text(out, element->text);
    XML_FOREACH_CHILD(child, element) {
        element_write(out, child, element->ns);
    }
    buf_append_literal(out, "</");
    buf_append_str(out, element->name);
    buf_append_char(out, '>');
}

struct str element_attribute(const struct element *element, struct str name)
{
    for (size_t i = 0; i < element->attribute_count; i++) {
        const struct element_attribute *attribute = &element->attributes[i];
        if (attribute->ns.len == 0 && str_equal(attribute->name, name)) {
            return attribute->value;
        }
    }
    return STR("");
}

bool element_has_attribute(const struct element *element, struct str name)
{
    for (size_t i = 0; i < element->attribute_count; i++) {
        if (element->attributes[i].ns.len == 0 && str_equal(element->attributes[i].name, name)) {
            return true;
        }
    }
    return false;
}

bool element_is(const struct element *element, const char *ns, const char *name)
{
    return str_equal(element->name, str_from_cstr(name))
            && str_equal(element->ns, str_from_cstr(ns));
}

const struct element *element_find(const struct element *first, const char *ns, const char *name)
{
    const struct element *element = first;
    while (element != NULL && !element_is(element, ns, name)) {
        element = element->next;
    }
    return element;
}

const struct element *element_child(const struct element *parent, const char *ns, const char *name)
{
    return element_find(parent->first_child, ns, name);
}

struct str element_child_text(const struct element *parent, const char *ns, const char *name)
{
    const struct element *child = element_child(parent, ns, name);
    return child != NULL ? child->text : STR("");
}

/* Everything that makes canonical XML canonical is refused or written here. */
#include "proto/xmpp/canonical_scan.h"

#include <stdint.h>

#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_chars.h"
#include "proto/xmpp/xml_writer.h"

#define NS_XMLNS "http://www.w3.org/2000/xmlns/"

void canonical_scan_init(struct canonical_scan *scan, struct str xml)
{
    scan->at = xml.ptr;
    scan->end = xml.len > 0 ? xml.ptr + xml.len : xml.ptr;
    scan->token_start = scan->at;
    scan->attribute_count = 0;
}

/* The references the writer makes, and &quot;. */
static const struct reference {
    struct str text;
    char character;
} REFERENCES[] = {
    { { "&amp;", 5 }, '&' },
    { { "&lt;", 4 }, '<' },
    { { "&gt;", 4 }, '>' },
    { { "&apos;", 6 }, '\'' },
    { { "&quot;", 6 }, '"' },
    { { "&#9;", 4 }, '\t' },
    { { "&#10;", 5 }, '\n' },
    { { "&#13;", 5 }, '\r' },
};

static const struct reference *find_reference(const char *at, const char *end)
{
    for (size_t i = 0; i < sizeof REFERENCES / sizeof REFERENCES[0]; i++) {
        if (str_starts_with(str_from(at, (size_t)(end - at)), REFERENCES[i].text)) {
            return &REFERENCES[i];
        }
    }
    return NULL;
}

/* One character of text or of an attribute value, or a reference; 0: not legal there. */
static size_t character_length(const char *at, const char *end, bool is_attribute)
{
    uint8_t byte = (uint8_t)*at;
    if (byte >= 0x80) {
        uint32_t code = 0;
        return xml_char_decode(at, end, &code);
    }
    switch (byte) {
    case '&': {
        const struct reference *reference = find_reference(at, end);
        return reference != NULL ? reference->text.len : 0;
    }
    case '<':
    case '>': return 0;
    case '\'': return is_attribute ? 0 : 1;
    case '\t':
    case '\n': return is_attribute ? 0 : 1;
    default: return byte >= 0x20 ? 1 : 0;
    }
}

/* ASCII that stands for itself in text and in attribute values, and ends neither: most of what
 * there is. */
/* clang-format off */
static const bool IS_PLAIN[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, /* & ' */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, /* < > */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
};
/* clang-format on */

static const char *skip_plain(const char *at, const char *end)
{
    while (at < end && IS_PLAIN[(uint8_t)*at]) {
        at++;
    }
    return at;
}

/* `stop` is < or '. */
static bool scan_characters(struct canonical_scan *scan, char stop, struct str *value_out)
{
    const char *start = scan->at;
    scan->at = skip_plain(start, scan->end);
    while (scan->at < scan->end && *scan->at != stop) {
        size_t len = character_length(scan->at, scan->end, stop == '\'');
        if (len == 0) {
            return false;
        }
        scan->at = skip_plain(scan->at + len, scan->end);
    }
    *value_out = str_from(start, (size_t)(scan->at - start));
    return true;
}

static bool take(struct canonical_scan *scan, char c)
{
    if (scan->at >= scan->end || *scan->at != c) {
        return false;
    }
    scan->at++;
    return true;
}

static bool take_name(struct canonical_scan *scan, struct str *name_out)
{
    size_t len = xml_char_name_length(scan->at, scan->end);
    *name_out = str_from(scan->at, len);
    scan->at += len;
    return len > 0;
}

/* name or prefix:name */
static bool take_attribute_name(struct canonical_scan *scan, struct str *name_out)
{
    const char *start = scan->at;
    struct str part;
    if (!take_name(scan, &part) || (take(scan, ':') && !take_name(scan, &part))) {
        return false;
    }
    *name_out = str_from(start, (size_t)(scan->at - start));
    return true;
}

static bool scan_attribute(struct canonical_scan *scan)
{
    if (scan->attribute_count == CANONICAL_MAX_ATTRIBUTES) {
        return false;
    }
    struct canonical_attribute *attribute = &scan->attributes[scan->attribute_count++];
    return take_attribute_name(scan, &attribute->name) && take(scan, '=') && take(scan, '\'')
            && scan_characters(scan, '\'', &attribute->value) && take(scan, '\'');
}

static bool is_reserved_ns(struct str ns)
{
    return str_equal(ns, STR(NS_XML)) || str_equal(ns, STR(NS_XMLNS));
}

/* Legal bytes and only the references among them that stand for such: so each name has one
 * spelling, and names are compared as they are written. */
static bool is_namespace_sound(struct str ns)
{
    for (size_t i = 0; i < ns.len; i++) {
        struct str rest = str_from(ns.ptr + i, ns.len - i);
        if (rest.ptr[0] == '&' && !str_starts_with(rest, STR("&amp;"))
                && !str_starts_with(rest, STR("&apos;"))) {
            return false;
        }
    }
    return xml_char_is_namespace(ns) && !is_reserved_ns(ns);
}

static struct str local_name(struct str name)
{
    size_t colon = str_find_char(name, ':');
    return colon == name.len ? name : str_from(name.ptr + colon + 1, name.len - colon - 1);
}

static struct str prefix_of(struct str name)
{
    size_t colon = str_find_char(name, ':');
    return colon == name.len ? STR("") : str_from(name.ptr, colon);
}

/* The declaration of `prefix` in the same tag; an attribute never inherits one here. */
static bool find_prefix(const struct canonical_scan *scan, struct str prefix, struct str *ns_out)
{
    for (size_t i = 0; i < scan->attribute_count; i++) {
        const struct canonical_attribute *attribute = &scan->attributes[i];
        if (str_equal(prefix_of(attribute->name), STR("xmlns"))
                && str_equal(local_name(attribute->name), prefix)) {
            *ns_out = attribute->value;
            return true;
        }
    }
    return false;
}

/* One attribute by itself: its prefix is declared, a declaration declares something legal. */
static bool is_attribute_sound(
        const struct canonical_scan *scan, const struct canonical_attribute *attribute)
{
    struct str prefix = prefix_of(attribute->name);
    if (str_equal(attribute->name, STR("xmlns"))) {
        return is_namespace_sound(attribute->value);
    }
    if (str_equal(prefix, STR("xmlns"))) {
        struct str declared = local_name(attribute->name);
        bool is_reserved_prefix = declared.len >= 3 && memcmp(declared.ptr, "xml", 3) == 0;
        return !is_reserved_prefix && attribute->value.len > 0
                && is_namespace_sound(attribute->value);
    }
    struct str ns;
    return prefix.len == 0 || str_equal(prefix, STR("xml")) || find_prefix(scan, prefix, &ns);
}

/* The same attribute twice, also by way of two prefixes for one namespace. */
static bool is_same_attribute(const struct canonical_scan *scan,
        const struct canonical_attribute *a,
        const struct canonical_attribute *b)
{
    if (str_equal(a->name, b->name)) {
        return true;
    }
    struct str prefix_a = prefix_of(a->name);
    struct str prefix_b = prefix_of(b->name);
    if (prefix_a.len == 0 || prefix_b.len == 0
            || !str_equal(local_name(a->name), local_name(b->name))) {
        return false;
    }
    struct str ns_a;
    struct str ns_b;
    return find_prefix(scan, prefix_a, &ns_a) && find_prefix(scan, prefix_b, &ns_b)
            && str_equal(ns_a, ns_b);
}

static bool are_attributes_sound(const struct canonical_scan *scan)
{
    for (size_t i = 0; i < scan->attribute_count; i++) {
        if (!is_attribute_sound(scan, &scan->attributes[i])) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (is_same_attribute(scan, &scan->attributes[i], &scan->attributes[j])) {
                return false;
            }
        }
    }
    return true;
}

static enum canonical_token scan_open(struct canonical_scan *scan)
{
    scan->attribute_count = 0;
    if (!take_name(scan, &scan->name)) {
        return CANONICAL_BAD;
    }
    while (take(scan, ' ')) {
        if (!scan_attribute(scan)) {
            return CANONICAL_BAD;
        }
    }
    scan->is_empty = take(scan, '/');
    if (!take(scan, '>') || !are_attributes_sound(scan)) {
        return CANONICAL_BAD;
    }
    return CANONICAL_OPEN;
}

enum canonical_token canonical_scan_next(struct canonical_scan *scan)
{
    scan->token_start = scan->at;
    if (scan->at >= scan->end) {
        return CANONICAL_END;
    }
    if (*scan->at != '<') {
        return scan_characters(scan, '<', &scan->text) ? CANONICAL_TEXT : CANONICAL_BAD;
    }
    scan->at++;
    if (!take(scan, '/')) {
        return scan_open(scan);
    }
    return take_name(scan, &scan->name) && take(scan, '>') ? CANONICAL_CLOSE : CANONICAL_BAD;
}

bool canonical_scan_attribute(
        const struct canonical_scan *scan, struct str name, struct str *value_out)
{
    for (size_t i = 0; i < scan->attribute_count; i++) {
        if (str_equal(scan->attributes[i].name, name)) {
            *value_out = scan->attributes[i].value;
            return true;
        }
    }
    return false;
}

size_t canonical_unescape(struct str text, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len;) {
        const struct reference *reference =
                text.ptr[i] == '&' ? find_reference(text.ptr + i, text.ptr + text.len) : NULL;
        out[len++] = reference != NULL ? reference->character : text.ptr[i];
        i += reference != NULL ? reference->text.len : 1;
    }
    return len;
}

bool canonical_value_equal(struct str escaped, struct str plain)
{
    size_t j = 0;
    for (size_t i = 0; i < escaped.len; j++) {
        const struct reference *reference = escaped.ptr[i] == '&'
                ? find_reference(escaped.ptr + i, escaped.ptr + escaped.len)
                : NULL;
        char c = reference != NULL ? reference->character : escaped.ptr[i];
        if (j >= plain.len || plain.ptr[j] != c) {
            return false;
        }
        i += reference != NULL ? reference->text.len : 1;
    }
    return j == plain.len;
}

static void write_attribute(
        struct buf *out, const char *prefix, unsigned number, const struct element_attribute *attr)
{
    buf_append_char(out, ' ');
    if (number > 0) {
        buf_printf(out, "ns%u:", number);
    } else {
        buf_append_str(out, str_from_cstr(prefix));
    }
    buf_append_str(out, attr->name);
    buf_append_literal(out, "='");
    xml_escape_attr(out, attr->value);
    buf_append_char(out, '\'');
}

/* The prefix of attribute `at`, declared now if no attribute before it has the same namespace. */
static unsigned declare_prefix(struct buf *out,
        const struct element *element,
        size_t at,
        uint8_t *numbers,
        unsigned *count)
{
    struct str ns = element->attributes[at].ns;
    for (size_t i = 0; i < at; i++) {
        if (numbers[i] > 0 && str_equal(element->attributes[i].ns, ns)) {
            return numbers[i];
        }
    }
    *count += 1;
    buf_printf(out, " xmlns:ns%u='", *count);
    xml_escape_attr(out, ns);
    buf_append_char(out, '\'');
    return *count;
}

bool canonical_write_start(struct buf *out, const struct element *element, struct str parent_ns)
{
    if (element->attribute_count > CANONICAL_MAX_ATTRIBUTES) {
        return false;
    }
    buf_append_char(out, '<');
    buf_append_str(out, element->name);
    bool has_xmlns = !str_equal(element->ns, parent_ns);
    if (has_xmlns) {
        buf_append_literal(out, " xmlns='");
        xml_escape_attr(out, element->ns);
        buf_append_char(out, '\'');
    }
    uint8_t numbers[CANONICAL_MAX_ATTRIBUTES];
    unsigned prefix_count = 0;
    for (size_t i = 0; i < element->attribute_count; i++) {
        const struct element_attribute *attribute = &element->attributes[i];
        bool is_xml = str_equal(attribute->ns, STR(NS_XML));
        numbers[i] = 0;
        if (attribute->ns.len > 0 && !is_xml) {
            numbers[i] = (uint8_t)declare_prefix(out, element, i, numbers, &prefix_count);
        }
        write_attribute(out, is_xml ? "xml:" : "", numbers[i], attribute);
    }
    return element->attribute_count + prefix_count + (has_xmlns ? 1 : 0)
            <= CANONICAL_MAX_ATTRIBUTES;
}

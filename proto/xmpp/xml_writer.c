/* Canonical XML, written straight into a buffer: runs of harmless bytes are copied whole. */
#include "proto/xmpp/xml_writer.h"

#include <stdint.h>

/* What each byte asks for. Attribute values also escape what a parser would normalise to a space
 * (XML 1.0 §3.3.3), text only the carriage return (§2.11). */
enum byte_class {
    PLAIN = 0,
    AMP,
    LT,
    GT,
    APOS, /* in attributes */
    TAB,  /* in attributes */
    LF,   /* in attributes */
    CR,
    DROP, /* not a character of XML 1.0 (§2.2) */
};

/* clang-format off */
#define D DROP
static const uint8_t CLASS[256] = {
    D, D, D, D, D, D, D, D, D, TAB, LF, D, D, CR, D, D,
    D, D, D, D, D, D, D, D, D, D, D, D, D, D, D, D,
    ['&'] = AMP, ['<'] = LT, ['>'] = GT, ['\''] = APOS,
};
#undef D

static const struct str REPLACEMENT[] = {
    [AMP] = { "&amp;", 5 }, [LT] = { "&lt;", 4 }, [GT] = { "&gt;", 4 }, [APOS] = { "&apos;", 6 },
    [TAB] = { "&#9;", 4 }, [LF] = { "&#10;", 5 }, [CR] = { "&#13;", 5 }, [DROP] = { "", 0 },
};
/* clang-format on */

#define BIT(class)    (1U << (class))
#define STAYS_IN_TEXT (BIT(PLAIN) | BIT(APOS) | BIT(TAB) | BIT(LF))
#define STAYS_IN_BOTH (BIT(PLAIN) | BIT(TAB) | BIT(LF))
#define STAYS_IN_ATTR (BIT(PLAIN))

static void escape(struct buf *out, struct str text, unsigned stays)
{
    const char *at = text.ptr;
    const char *end = text.len > 0 ? text.ptr + text.len : at;
    while (at < end) {
        const char *run = at;
        while (at < end && (BIT(CLASS[(uint8_t)*at]) & stays) != 0) {
            at++;
        }
        if (at > run) {
            buf_append(out, run, (size_t)(at - run));
        }
        if (at < end) {
            buf_append_str(out, REPLACEMENT[CLASS[(uint8_t)*at]]);
            at++;
        }
    }
}

void xml_escape(struct buf *out, struct str text)
{
    escape(out, text, STAYS_IN_BOTH);
}

void xml_escape_attr(struct buf *out, struct str value)
{
    escape(out, value, STAYS_IN_ATTR);
}

void xml_open(struct buf *out, const char *name, const char *ns)
{
    buf_append_char(out, '<');
    buf_append_str(out, str_from_cstr(name));
    if (ns != NULL) {
        xml_attr(out, "xmlns", str_from_cstr(ns));
    }
}

void xml_attr(struct buf *out, const char *name, struct str value)
{
    buf_append_char(out, ' ');
    buf_append_str(out, str_from_cstr(name));
    buf_append_literal(out, "='");
    escape(out, value, STAYS_IN_ATTR);
    buf_append_char(out, '\'');
}

void xml_attr_opt(struct buf *out, const char *name, struct str value)
{
    if (value.len > 0) {
        xml_attr(out, name, value);
    }
}

void xml_end_open(struct buf *out)
{
    buf_append_char(out, '>');
}

void xml_end_empty(struct buf *out)
{
    buf_append_literal(out, "/>");
}

void xml_close(struct buf *out, const char *name)
{
    buf_append_literal(out, "</");
    buf_append_str(out, str_from_cstr(name));
    buf_append_char(out, '>');
}

void xml_text(struct buf *out, struct str text)
{
    escape(out, text, STAYS_IN_TEXT);
}

void xml_text_element(struct buf *out, const char *name, const char *ns, struct str text)
{
    xml_open(out, name, ns);
    if (text.len == 0) {
        xml_end_empty(out);
        return;
    }
    xml_end_open(out);
    xml_text(out, text);
    xml_close(out, name);
}

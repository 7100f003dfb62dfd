/* Splitting a stream into elements; see scanner.h. */
#include "tests/load/scanner.h"

void scanner_init(struct scanner *scanner)
{
    *scanner = (struct scanner){ 0 };
    buf_init(&scanner->kept, SCANNER_MAX_BYTES);
}

void scanner_fini(struct scanner *scanner)
{
    buf_fini(&scanner->kept);
}

void scanner_restart(struct scanner *scanner)
{
    scanner_fini(scanner);
    scanner_init(scanner);
}

void scanner_push(struct scanner *scanner, struct str data)
{
    if (scanner->kept.len == 0) {
        scanner->view = data;
        return;
    }
    buf_append_str(&scanner->kept, data);
    scanner->view = buf_view(&scanner->kept);
}

/* Keeps what is not complete, with positions relative to its beginning. */
static enum scan wait_for_more(struct scanner *scanner)
{
    struct str rest = { scanner->view.ptr + scanner->base, scanner->view.len - scanner->base };
    if (scanner->kept.overflowed) {
        return SCAN_BROKEN;
    }
    if (scanner->kept.len > 0) {
        buf_consume(&scanner->kept, scanner->base);
        buf_shrink(&scanner->kept);
    } else if (rest.len > 0) {
        buf_append_str(&scanner->kept, rest);
    }
    scanner->at -= scanner->base;
    scanner->tag = scanner->is_in_tag ? scanner->tag - scanner->base : 0;
    scanner->base = 0;
    scanner->view = STR_NULL;
    return SCAN_MORE;
}

static bool find_tag(struct scanner *scanner)
{
    struct str view = scanner->view;
    const char *found = memchr(view.ptr + scanner->at, '<', view.len - scanner->at);
    bool is_outside = scanner->depth <= 1;
    size_t at = found ? (size_t)(found - view.ptr) : view.len;
    if (is_outside) {
        scanner->base = at; /* white space between stanzas is nobody's */
    }
    scanner->at = at;
    if (!found) {
        return false;
    }
    scanner->tag = at;
    scanner->at = at + 1;
    scanner->is_in_tag = true;
    scanner->quote = '\0';
    return true;
}

/* Moves behind the '>' that ends the tag. */
static bool find_tag_end(struct scanner *scanner)
{
    struct str view = scanner->view;
    for (size_t at = scanner->at; at < view.len; at++) {
        char c = view.ptr[at];
        if (scanner->quote != '\0') {
            const char *end = memchr(view.ptr + at, scanner->quote, view.len - at);
            if (!end) {
                break;
            }
            at = (size_t)(end - view.ptr);
            scanner->quote = '\0';
        } else if (c == '"' || c == '\'') {
            scanner->quote = c;
        } else if (c == '>') {
            scanner->at = at + 1;
            return true;
        }
    }
    scanner->at = view.len;
    return false;
}

/* "<![CDATA[...]]>": 1 whole, 0 not yet. */
static bool skip_cdata(struct scanner *scanner)
{
    struct str view = scanner->view;
    const char *end = memmem(view.ptr + scanner->tag, view.len - scanner->tag, "]]>", 3);
    scanner->at = end ? (size_t)(end - view.ptr) + 3 : scanner->tag + 1;
    return end != NULL;
}

static enum scan item(struct scanner *scanner, enum scan what, struct str *item_out)
{
    *item_out = str_from(scanner->view.ptr + scanner->base, scanner->at - scanner->base);
    scanner->base = scanner->at;
    return what;
}

/* A whole tag stands at [tag, at). SCAN_MORE: nothing to hand out yet. */
static enum scan take_tag(struct scanner *scanner, struct str *item_out)
{
    const char *tag = scanner->view.ptr + scanner->tag;
    bool is_empty = scanner->view.ptr[scanner->at - 2] == '/';
    if (tag[1] == '?') {
        return SCAN_MORE;
    }
    if (tag[1] == '/') {
        if (scanner->depth == 0) {
            return SCAN_BROKEN;
        }
        scanner->depth--;
        return scanner->depth > 1
                ? SCAN_MORE
                : item(scanner, scanner->depth == 1 ? SCAN_ELEMENT : SCAN_END, item_out);
    }
    if (is_empty) {
        return scanner->depth == 0    ? SCAN_BROKEN
                : scanner->depth == 1 ? item(scanner, SCAN_ELEMENT, item_out)
                                      : SCAN_MORE;
    }
    scanner->depth++;
    return scanner->depth == 1 ? item(scanner, SCAN_HEADER, item_out) : SCAN_MORE;
}

enum scan scanner_next(struct scanner *scanner, struct str *item_out)
{
    for (;;) {
        if (scanner->at >= scanner->view.len || (!scanner->is_in_tag && !find_tag(scanner))) {
            if (!scanner->is_in_tag && scanner->depth <= 1) {
                scanner->base = scanner->view.len;
            }
            return wait_for_more(scanner);
        }
        bool is_marked = scanner->tag + 1 < scanner->view.len;
        bool is_cdata = is_marked && scanner->view.ptr[scanner->tag + 1] == '!';
        if (!is_marked || !(is_cdata ? skip_cdata(scanner) : find_tag_end(scanner))) {
            return wait_for_more(scanner);
        }
        scanner->is_in_tag = false;
        if (is_cdata) {
            continue;
        }
        enum scan result = take_tag(scanner, item_out);
        if (result != SCAN_MORE) {
            return result;
        }
    }
}

static bool is_name_end(char c)
{
    return c == ' ' || c == '>' || c == '/' || c == '\n' || c == '\t' || c == '\r';
}

bool scan_is_named(struct str element, struct str name)
{
    return element.len > name.len + 1 && memcmp(element.ptr + 1, name.ptr, name.len) == 0
            && is_name_end(element.ptr[name.len + 1]);
}

struct str scan_attribute(struct str element, struct str name)
{
    size_t at = 1;
    while (at < element.len && !is_name_end(element.ptr[at])) {
        at++;
    }
    while (at < element.len) {
        while (at < element.len && is_name_end(element.ptr[at])) {
            if (element.ptr[at] == '>') {
                return STR_NULL;
            }
            at++;
        }
        size_t begin = at;
        const char *equals = memchr(element.ptr + at, '=', element.len - at);
        if (!equals || (size_t)(equals - element.ptr) + 2 > element.len) {
            return STR_NULL;
        }
        size_t value = (size_t)(equals - element.ptr) + 2;
        const char *end = memchr(element.ptr + value, equals[1], element.len - value);
        if (!end) {
            return STR_NULL;
        }
        if (str_equal(str_from(element.ptr + begin, value - 2 - begin), name)) {
            return str_from(element.ptr + value, (size_t)(end - element.ptr) - value);
        }
        at = (size_t)(end - element.ptr) + 1;
    }
    return STR_NULL;
}

bool scan_contains(struct str element, struct str needle)
{
    return memmem(element.ptr, element.len, needle.ptr, needle.len) != NULL;
}

struct str scan_text(struct str element)
{
    const char *begin = memchr(element.ptr, '>', element.len);
    if (!begin) {
        return STR_NULL;
    }
    begin++;
    size_t rest = element.len - (size_t)(begin - element.ptr);
    const char *end = memchr(begin, '<', rest);
    return end ? str_from(begin, (size_t)(end - begin)) : STR_NULL;
}

/* XEP-0359: our mark on a stanza, and the removal of forged ones. */
#include "proto/xmpp/stanza_id.h"

#include <inttypes.h>
#include <stdbool.h>

#include "proto/xmpp/canonical_scan.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

#define ARENA_BLOCK_BYTES 1024

void stanza_id_write(struct buf *out, struct str by, int64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, id);
    xml_open(out, "stanza-id", NS_STANZA_ID);
    xml_attr(out, "by", by);
    xml_attr(out, "id", str_from_cstr(text));
    xml_end_empty(out);
}

bool stanza_id_is_address(struct str escaped, struct str by)
{
    if (canonical_value_equal(escaped, by)) {
        return true;
    }
    struct arena arena;
    arena_init(&arena, ARENA_BLOCK_BYTES);
    char *plain = (char *)arena_alloc(&arena, escaped.len + 1);
    struct jid jid;
    bool is_same =
            jid_parse(&arena, str_from(plain, canonical_unescape(escaped, plain)), &jid) == ERR_OK
            && str_equal(jid.full, by);
    arena_fini(&arena);
    return is_same;
}

static bool is_forged(const struct canonical_scan *scan, struct str by)
{
    struct str ns;
    struct str claimed;
    return str_equal(scan->name, STR("stanza-id"))
            && canonical_scan_attribute(scan, STR("xmlns"), &ns) && str_equal(ns, STR(NS_STANZA_ID))
            && canonical_scan_attribute(scan, STR("by"), &claimed)
            && stanza_id_is_address(claimed, by);
}

/* Passes one top-level element. False: the text is over, or it is not canonical. */
static bool next_top_element(struct canonical_scan *scan, struct str by, bool *is_forged_out)
{
    size_t depth = 0;
    bool is_first = true;
    do {
        switch (canonical_scan_next(scan)) {
        case CANONICAL_OPEN:
            if (is_first) {
                *is_forged_out = is_forged(scan, by);
                is_first = false;
            }
            depth += scan->is_empty ? 0 : 1;
            break;
        case CANONICAL_CLOSE:
            if (depth == 0) {
                return false;
            }
            depth--;
            break;
        case CANONICAL_TEXT: break;
        case CANONICAL_END:
        case CANONICAL_BAD: return false;
        }
    } while (depth > 0 || is_first);
    return true;
}

bool stanza_id_strip(struct buf *out, struct str children, struct str by)
{
    if (children.len == 0
            || memmem(children.ptr, children.len, "stanza-id", sizeof "stanza-id" - 1) == NULL) {
        return false;
    }
    struct canonical_scan scan;
    canonical_scan_init(&scan, children);
    bool has_removed = false;
    const char *kept = children.ptr; /* everything before is written or removed */
    const char *element = scan.at;
    bool is_removed = false;
    while (next_top_element(&scan, by, &is_removed)) {
        if (is_removed) {
            buf_append(out, kept, (size_t)(element - kept));
            kept = scan.at;
            has_removed = true;
        }
        element = scan.at;
    }
    if (has_removed) {
        buf_append(out, kept, (size_t)(element - kept));
    }
    return has_removed;
}

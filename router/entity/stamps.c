/* Forged stanza-ids and delays out of a stanza's children. */
#include "router/entity/stamps.h"

#include "proto/xmpp/canonical_scan.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/stanza_id.h"

/* The start tag just scanned is a delay of ours. */
static bool is_our_delay(const struct canonical_scan *scan, struct str bare, struct str domain)
{
    struct str ns;
    struct str from;
    return str_equal(scan->name, STR("delay")) && canonical_scan_attribute(scan, STR("xmlns"), &ns)
            && canonical_value_equal(ns, STR(NS_DELAY))
            && canonical_scan_attribute(scan, STR("from"), &from)
            && (stanza_id_is_address(from, domain) || stanza_id_is_address(from, bare));
}

static void copy_without_delays(
        struct buf *out, struct str children, struct str bare, struct str domain)
{
    struct canonical_scan scan;
    canonical_scan_init(&scan, children);
    unsigned depth = 0;
    bool is_forged = false;
    const char *start = children.ptr;
    enum canonical_token token;
    while ((token = canonical_scan_next(&scan)) != CANONICAL_END && token != CANONICAL_BAD) {
        if (token == CANONICAL_OPEN) {
            if (depth == 0) {
                start = scan.token_start;
                is_forged = is_our_delay(&scan, bare, domain);
            }
            depth += scan.is_empty ? 0 : 1;
        } else if (token == CANONICAL_CLOSE) {
            depth--;
        }
        if (depth == 0 && token != CANONICAL_TEXT && !is_forged) {
            buf_append(out, start, (size_t)(scan.at - start));
        }
    }
}

static bool contains(struct str text, struct str part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

bool stamps_may_be_there(struct str children)
{
    return contains(children, STR("stanza-id")) || contains(children, STR(NS_DELAY));
}

void stamps_copy_unforged(struct buf *out, struct str children, struct str bare, struct str domain)
{
    struct buf stripped;
    buf_init(&stripped, 0);
    struct str kept = children;
    if (stanza_id_strip(&stripped, children, bare)) {
        kept = buf_view(&stripped);
    }
    if (contains(kept, STR(NS_DELAY))) {
        copy_without_delays(out, kept, bare, domain);
    } else {
        buf_append_str(out, kept);
    }
    buf_fini(&stripped);
}

/* The grammar of canonical XML (canonical.h), token by token: the validator, the tree parser and
 * the stanza-id filter stand on it. Allocates nothing; views point into the text. Also its
 * counterpart, the writer of start tags, so that both sides of the format are in one file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "chassis/base/buf.h"
#include "chassis/base/str.h"
#include "proto/xmpp/element.h"

/* Attributes in one start tag as written, namespace declarations among them. */
#define CANONICAL_MAX_ATTRIBUTES 64

enum canonical_token {
    CANONICAL_END, /* of the text */
    CANONICAL_OPEN,
    CANONICAL_CLOSE,
    CANONICAL_TEXT,
    CANONICAL_BAD,
};

struct canonical_attribute {
    struct str name;  /* as written: with prefix */
    struct str value; /* as written: escaped */
};

struct canonical_scan {
    const char *at;
    const char *end;
    const char *token_start;
    /* OPEN, CLOSE */
    struct str name;
    bool is_empty; /* OPEN: <name/>, no CLOSE follows */
    size_t attribute_count;
    struct canonical_attribute attributes[CANONICAL_MAX_ATTRIBUTES];
    /* TEXT: up to the next '<', escaped */
    struct str text;
};

void canonical_scan_init(struct canonical_scan *scan, struct str xml);
/* Does not look at nesting: that is the caller's. */
enum canonical_token canonical_scan_next(struct canonical_scan *scan);

/* The value of an attribute of the tag just scanned, escaped. False: absent. */
bool canonical_scan_attribute(
        const struct canonical_scan *scan, struct str name, struct str *value_out);

/* Undoes the escapes; needs at most text.len bytes. `text` has passed the scanner. */
size_t canonical_unescape(struct str text, char *out);
/* Compares an escaped value with a plain one. */
bool canonical_value_equal(struct str escaped, struct str plain);

/* Writes "<name xmlns='ns' attributes" and leaves the tag open. xmlns only where it differs from
 * `parent_ns`; attributes in namespaces get prefixes ns1, ns2, ... False: more than
 * CANONICAL_MAX_ATTRIBUTES, nothing usable was written. */
bool canonical_write_start(struct buf *out, const struct element *element, struct str parent_ns);

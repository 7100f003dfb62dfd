/* Cuts a stream of XMPP into the children of <stream:stream>, however reads split them. No parser:
 * it trusts the server to send well-formed XML (the load generator must cost less than what it
 * measures) but knows quotes, CDATA and processing instructions, so a '>' inside any of them cuts
 * nothing. */
#pragma once

#include "chassis/base/buf.h"
#include "chassis/base/str.h"

enum scan {
    SCAN_MORE,    /* everything is consumed: push the next read */
    SCAN_HEADER,  /* the start tag of the stream */
    SCAN_ELEMENT, /* one whole child of the stream, from '<' to '>' */
    SCAN_END,     /* </stream:stream> */
    SCAN_BROKEN,  /* no XMPP, or an element larger than SCANNER_MAX_BYTES */
};

#define SCANNER_MAX_BYTES (4U << 20)

struct scanner {
    struct buf kept; /* the beginning of what is not complete yet; no memory while there is none */
    struct str view; /* what is being scanned: `kept`, or the read itself */
    size_t base;     /* in view: where the item begins */
    size_t at;       /* in view: the next byte to look at */
    size_t tag;      /* in view: '<' of the tag we are in */
    unsigned depth;  /* open elements; the stream itself is 1 */
    bool is_in_tag;
    char quote; /* in an attribute value: the quote that ends it */
};

void scanner_init(struct scanner *scanner);
void scanner_fini(struct scanner *scanner);
void scanner_restart(struct scanner *scanner); /* a new stream header follows */

/* Borrows `data` until scanner_next has said SCAN_MORE. */
void scanner_push(struct scanner *scanner, struct str data);
/* `*item_out` is valid until the next push. */
enum scan scanner_next(struct scanner *scanner, struct str *item_out);

/* Whether `element` has this name, prefix included ("stream:features"). */
bool scan_is_named(struct str element, struct str name);
/* The raw value (entities as they are) of an attribute of the element itself; empty without it. */
struct str scan_attribute(struct str element, struct str name);
/* Whether `needle` stands anywhere in it. */
bool scan_contains(struct str element, struct str needle);
/* What stands between the first start tag and the next '<': the text of a flat element. */
struct str scan_text(struct str element);

/* A read-only tree in an arena, for features that need the children of a stanza (parsed once per
 * turn). Made from canonical XML with a parser of our own for exactly that subset (no expat on the
 * hot path). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct element_attribute {
    struct str ns; /* "" or NS_XML or another */
    struct str name;
    struct str value;
};

struct element {
    struct str ns;
    struct str name;
    const struct element_attribute *attributes;
    size_t attribute_count;
    struct str text; /* all character data directly inside, joined */
    struct element *first_child;
    struct element *next;
};

/* The first of the top elements (the others by ->next), NULL for "". Views borrow from the arena
 * and from `xml`. ERR_INVALID: not canonical XML. `parent_ns` is the namespace the top elements
 * inherit: NS_CLIENT for stanza children. */
MUST_USE enum err element_parse(
        struct arena *arena, struct str xml, struct str parent_ns, struct element **first_out);

/* Canonical XML of one element with its children; `parent_ns` as above. Text comes before child
 * elements, since a tree keeps it joined. */
void element_write(struct buf *out, const struct element *element, struct str parent_ns);

struct str element_attribute(const struct element *element, struct str name); /* "" when absent */
bool element_has_attribute(const struct element *element, struct str name);
bool element_is(const struct element *element, const char *ns, const char *name);
const struct element *element_find(
        const struct element *first, const char *ns, const char *name); /* among siblings; NULL */
const struct element *element_child(const struct element *parent, const char *ns, const char *name);
struct str element_child_text(
        const struct element *parent, const char *ns, const char *name); /* "" when absent */

#define XML_FOREACH_CHILD(child, parent) \
    for (const struct element *child = (parent)->first_child; child != NULL; child = child->next)

/* Canonical XML: what xml_reader writes and the bus carries. canonical_is_valid is the cheap check
 * (one pass, no allocation) that a router runs on bytes from an edge, so that a captured edge
 * cannot break anybody's stream (F09). */
#pragma once

#include <stdbool.h>

#include "chassis/base/str.h"

/* A sequence of complete elements: balanced tags, attributes quoted with ', no duplicate
 * attributes, only the five predefined entities and character references the writer makes, legal
 * UTF-8 of XML 1.0, no comments, PIs, DTD, CDATA, no text outside elements; depth and elements
 * within limits. */
bool canonical_is_valid(struct str xml, unsigned max_depth, unsigned max_elements);

/* What Starling implements, for people and for directories of software (XEP-0453). Derived from the
 * table of features; what other programs speak is listed here. */
#pragma once

struct buf;

/* A table: XEP or RFC, version, where. */
void features_print_specs(struct buf *out);
/* A description of the project as RDF. */
void features_print_doap(struct buf *out);

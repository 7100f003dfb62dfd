/* Writes canonical XML into a buf: escapes, closes what it opened. */
#pragma once

#include "chassis/base/buf.h"
#include "chassis/base/str.h"

void xml_escape(struct buf *out,
        struct str text); /* & < > ' and control characters that XML forbids are dropped */
/* For a value between ' and ': tabs and line ends too become references, so that they survive. */
void xml_escape_attr(struct buf *out, struct str value);
void xml_open(struct buf *out,
        const char *name,
        const char *ns); /* <name xmlns='ns'   ns NULL: inherited; tag stays open for attributes */
void xml_attr(struct buf *out, const char *name, struct str value);     /*  name='value' */
void xml_attr_opt(struct buf *out, const char *name, struct str value); /* nothing when empty */
void xml_end_open(struct buf *out);                                     /* > */
void xml_end_empty(struct buf *out);                                    /* /> */
void xml_close(struct buf *out, const char *name);                      /* </name> */
void xml_text(struct buf *out, struct str text);
void xml_text_element(struct buf *out,
        const char *name,
        const char *ns,
        struct str text); /* <name xmlns='ns'>text</name> */

/* Unique and stable stanza ids, XEP-0359 0.7. The id of a log entry is its decimal number. */
#pragma once

#include <stdint.h>

#include "chassis/base/buf.h"

/* <stanza-id xmlns='urn:xmpp:sid:0' by= id=/> */
void stanza_id_write(struct buf *out, struct str by, int64_t id);
/* Whether the value of an attribute, as canonical XML has it, is this address in any spelling:
 * clients compare addresses, not bytes. */
bool stanza_id_is_address(struct str escaped, struct str by);
/* Copies canonical `children` without any top-level stanza-id whose by= is `by` (C15: all of them,
 * at any position). Returns false when nothing was removed (and nothing written). */
bool stanza_id_strip(struct buf *out, struct str children, struct str by);

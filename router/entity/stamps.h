/* Removes what only we may say (C15) before a stanza is kept or delivered. Pure. */
#pragma once

#include "chassis/base/buf.h"

/* False: certainly none of them, so nothing has to be copied. */
bool stamps_may_be_there(struct str children);

/* Copies canonical `children` without stanza-ids by `bare` (XEP-0359 §5) and without delay stamps
 * from `domain` or `bare` (XEP-0203), wherever they stand. */
void stamps_copy_unforged(struct buf *out, struct str children, struct str bare, struct str domain);

/* Names that are made to be taken for others (UTS #39): for whoever gives new names away, since
 * PRECIS allows them (RFC 8265 §8.5). Not thread-safe before the first call has returned. */
#pragma once

#include <stdbool.h>

#include "chassis/base/str.h"

/* `local` is prepared. True: it mixes scripts that share shapes (Latin with Cyrillic or Greek), or
 * all of it looks like ASCII and is not, whether or not somebody has that name. What differs within
 * ASCII, or within another script, is not seen. */
bool precis_is_look_alike(struct str local);

/* Names that are made to be taken for others (UTS #39): for whoever gives new names away, since
 * PRECIS allows them (RFC 8265 §8.5). Not thread-safe before the first call has returned. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"

#define LOOK_ALIKE_MARK_BYTES 16

/* `local` is prepared. True: it mixes scripts that share shapes (Latin with Cyrillic or Greek), or
 * all of it looks like ASCII and is not, whether or not somebody has that name. What differs within
 * ASCII, or within another script, is not seen. */
bool precis_is_look_alike(struct str local);

/* UTS #39 §4, and small letters only: names with the same skeleton are taken for each other. It is
 * no name and not for display. It changes with the Unicode version of ICU. ERR_LIMIT: `local` is no
 * localpart, or comes to more than 8 KiB. */
MUST_USE enum err precis_skeleton(struct arena *arena, struct str local, struct str *out);

/* What a store keeps of it: equal (but for chance) for bare JIDs of one domain whose localparts
 * have one skeleton. `bare` is prepared; what has no skeleton looks like itself only. */
void precis_look_alike_mark(struct str bare, uint8_t mark[LOOK_ALIKE_MARK_BYTES]);

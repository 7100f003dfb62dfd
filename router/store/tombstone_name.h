/* What is left of the address of an erased account: a keyed hash, by which its name is blocked
 * without being kept. The keys are not in the database. There are several while the storage key
 * changes: a tombstone is written under the newest one, and a name is blocked if there is one under
 * any of them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

#define TOMBSTONE_NAME_BYTES 32
#define TOMBSTONE_KEY_BYTES  32

/* `keys`: one behind the other, the newest one first (vault_name_keys). */
size_t tombstone_keys(struct str keys);
/* Under key `i` (< tombstone_keys) of the prepared bare JID. */
void tombstone_name(
        struct str keys, size_t i, struct str bare, uint8_t name_out[TOMBSTONE_NAME_BYTES]);

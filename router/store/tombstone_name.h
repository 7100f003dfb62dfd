/* What is left of the address of an erased account: a keyed hash, by which its name is blocked
 * without being kept. The key is not in the database. */
#pragma once

#include <stdint.h>

#include "chassis/base/str.h"

#define TOMBSTONE_NAME_BYTES 32

void tombstone_name(struct str key, struct str bare, uint8_t name_out[TOMBSTONE_NAME_BYTES]);

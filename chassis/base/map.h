/* Hash maps: uthash with our own hash of the key. uthash's default is a macro full of silent
 * fall-throughs, which Clang refuses at every place of use. */
#pragma once

#include "chassis/base/str.h"

#define HASH_FUNCTION(key, key_len, hash_out) \
    ((hash_out) = (unsigned)str_hash(str_from((key), (key_len))))

#include <uthash.h>

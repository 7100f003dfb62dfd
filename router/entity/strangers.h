/* Strangers an account has to do with at present: those it wrote to and those who wrote to it. Each
 * new one costs it a token (QUOTA_STRANGERS); a conversation does not. Hashes in a ring; who is
 * forgotten, or a new home does not know, costs once more. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/str.h"

#define STRANGERS_MAX 128

struct strangers {
    uint64_t hashes[STRANGERS_MAX];
    unsigned next;
};

bool strangers_has(const struct strangers *strangers, struct str bare); /* NULL: nobody */
void strangers_add(struct strangers *strangers, struct str bare);       /* who is there stays */

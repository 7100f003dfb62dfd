/* Who may see that an account is there. */
#pragma once

#include <stdbool.h>

#include "chassis/base/str.h"

struct entity;

/* Has a subscription to the account's presence, or is the account itself. */
bool entity_is_contact(const struct entity *entity, struct str bare);

/* The addresses an account has blocked (XEP-0191), in memory as long as it is active. Pure. The
 * stored form is one prepared address a line, in the order in which they were blocked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "chassis/base/buf.h"
#include "chassis/base/str.h"
#include "proto/xmpp/jid.h"

struct blocklist;

/* NULL: nothing is blocked. */
struct blocklist *blocklist_create(struct str stored);
void blocklist_destroy(struct blocklist *list); /* accepts NULL */

/* XEP-0191 §6: the address itself, its account or its domain. NULL lists match nothing. */
bool blocklist_matches(const struct blocklist *list, const struct jid *jid);
/* This very item is on the list. */
bool blocklist_has(const struct blocklist *list, struct str jid);

size_t blocklist_count(const struct blocklist *list);
struct str blocklist_at(const struct blocklist *list, size_t index); /* in order; a view */

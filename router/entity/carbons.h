/* Copies of an account's messages for those of its sessions that asked for them (XEP-0280). A copy
 * of what was received is sent under the entry's own id in the log: it is numbered, confirmed and
 * recovered like the message itself. A copy of what was sent is volatile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/id128.h"
#include "proto/xmpp/stanza.h"

struct entity;
struct resource;

/* XEP-0280 §6.1. `is_sent`: by a session of this account. */
bool carbons_is_eligible(const struct entity *entity, const struct stanza *message, bool is_sent);

/* The copy without its `to`; its children live in `children`. */
void carbons_wrap(struct entity *entity,
        const struct stanza *message,
        bool is_sent,
        struct buf *children,
        struct stanza *copy_out);

/* To every session that wants copies and was not to get the message itself. Returns how many were
 * reached, with their names in `targets_out`. */
size_t carbons_send_received(struct entity *entity,
        const struct stanza *message,
        int64_t log_id,
        struct id128 *targets_out,
        size_t max_targets);

/* What `resource` gets instead of the message itself; false: nothing else. */
bool carbons_make_received(struct entity *entity,
        const struct resource *resource,
        const struct stanza *message,
        struct buf *children,
        struct stanza *copy_out);

/* What enum stanza_flag says about the children of a stanza, gathered one child at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/str.h"

struct stanza_flags {
    uint32_t flags;
    bool has_chat_state;
    bool has_content; /* anything that is more than a chat state, a thread or a hint */
};

/* `content_ns`: jabber:client or jabber:server, whatever the stream speaks. */
void stanza_flags_add(
        struct stanza_flags *seen, struct str content_ns, struct str ns, struct str name);
uint32_t stanza_flags_get(const struct stanza_flags *seen);

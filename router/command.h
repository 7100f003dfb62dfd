/* Ad-hoc commands (XEP-0050): what a request says, and the three answers. No session is kept: a
 * form carries all a command needs. For router/feature. */
#pragma once

#include <stdbool.h>

#include "chassis/base/str.h"
#include "proto/xmpp/form.h"
#include "router/turn.h"

enum command_action {
    COMMAND_EXECUTE, /* next and complete, too */
    COMMAND_CANCEL,
    COMMAND_PREV,
    COMMAND_UNKNOWN,
};

struct command {
    const struct stanza *request;
    struct str node;
    struct str session; /* "": a new one */
    enum command_action action;
    bool has_form;
    struct form form;
};

/* Reads the <command/> of a request into the turn's arena. ERR_INVALID: its form is broken or too
 * large. */
MUST_USE enum err command_read(struct turn *turn,
        const struct stanza *request,
        const struct element *element,
        struct command *command_out);

/* `form` is an <x/>. */
void command_reply_form(struct turn *turn, const struct command *command, struct str form);
/* `payload` may be empty. */
void command_reply_completed(struct turn *turn, const struct command *command, struct str payload);
void command_reply_canceled(struct turn *turn, const struct command *command);

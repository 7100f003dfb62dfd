/* Ad-Hoc Commands, XEP-0050 1.3.0: finds a command in the features' tables, asks its form or runs
 * it. */
#include "chassis/base/buf.h"
#include "router/command.h"
#include "router/feature.h"

/* §4.4: the action is none, or none that this stage allows. */
static enum verdict refuse_action(struct turn *turn, const char *condition)
{
    struct buf xml;
    buf_init(&xml, 0);
    buf_printf(&xml, "<%s xmlns='" NS_COMMANDS "'/>", condition);
    (void)turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR_NULL);
    turn->error.extra_xml = str_dup(turn->arena, buf_view(&xml));
    buf_fini(&xml);
    return VERDICT_REJECT;
}

static void ask_form(
        struct turn *turn, const struct feature_command *entry, const struct command *command)
{
    struct buf form;
    buf_init(&form, 0);
    entry->write_form(&form);
    command_reply_form(turn, command, buf_view(&form));
    buf_fini(&form);
}

static enum verdict execute(
        struct turn *turn, const struct feature_command *entry, const struct command *command)
{
    switch (command->action) {
    case COMMAND_EXECUTE: break;
    case COMMAND_CANCEL: command_reply_canceled(turn, command); return VERDICT_HANDLED;
    case COMMAND_PREV: return refuse_action(turn, "bad-action");
    case COMMAND_UNKNOWN: return refuse_action(turn, "malformed-action");
    }
    if (entry->write_form && !command->has_form) {
        ask_form(turn, entry, command);
        return VERDICT_HANDLED;
    }
    return entry->run(turn, command);
}

static enum verdict answer_command(struct turn *turn, const struct iq *iq)
{
    struct command command;
    if (command_read(turn, iq->stanza, iq->payload, &command) != ERR_OK) {
        return refuse_action(turn, "bad-payload");
    }
    const struct feature_command *entry = feature_find_command(command.node);
    if (!entry) {
        return turn_reject(turn, STANZA_ERROR_ITEM_NOT_FOUND, STR_NULL);
    }
    if (!entry->may_run(turn)) { /* C29 */
        turn_note_audit(
                turn, &(struct turn_audit){ .command = entry->node, .outcome = "forbidden" });
        return turn_reject(turn, STANZA_ERROR_FORBIDDEN, STR_NULL);
    }
    return execute(turn, entry, &command);
}

const struct feature feature_adhoc = {
    .name = "adhoc",
    .specs = { { "XEP-0050", "1.3.0" }, { "XEP-0004", "2.13.2" } },
    .advertises = { NS_COMMANDS },
    .iq = { { IQ_SET, TO_HOST | TO_HOST_BY_OTHERS, NS_COMMANDS, "command", answer_command } },
};

/* XEP-0050 §2.4, §4. */
#include "router/command.h"

#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

#define SESSION_BYTES     12
#define MAX_SESSION_BYTES 128

static enum command_action read_action(struct str action)
{
    static const struct {
        const char *name;
        enum command_action action;
    } names[] = {
        { "execute", COMMAND_EXECUTE },
        { "next", COMMAND_EXECUTE },
        { "complete", COMMAND_EXECUTE },
        { "cancel", COMMAND_CANCEL },
        { "prev", COMMAND_PREV },
    };
    if (action.len == 0) {
        return COMMAND_EXECUTE;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_equal(action, str_from_cstr(names[i].name))) {
            return names[i].action;
        }
    }
    return COMMAND_UNKNOWN;
}

enum err command_read(struct turn *turn,
        const struct stanza *request,
        const struct element *element,
        struct command *command_out)
{
    struct command command = {
        .request = request,
        .node = element_attribute(element, STR("node")),
        .session = element_attribute(element, STR("sessionid")),
        .action = read_action(element_attribute(element, STR("action"))),
    };
    const struct element *x = element_child(element, NS_DATA_FORMS, "x");
    if (command.session.len > MAX_SESSION_BYTES
            || (x && form_read(turn->arena, x, &command.form) != ERR_OK)) {
        return ERR_INVALID;
    }
    command.has_form = x != NULL;
    *command_out = command;
    return ERR_OK;
}

static void begin(struct buf *xml, const struct command *command, const char *status)
{
    buf_init(xml, 0);
    xml_open(xml, "command", NS_COMMANDS);
    xml_attr(xml, "node", command->node);
    if (command->session.len) {
        xml_attr(xml, "sessionid", command->session);
    } else {
        uint8_t bytes[SESSION_BYTES];
        struct buf session;
        buf_init(&session, 0);
        random_bytes(bytes, sizeof(bytes));
        hex_encode(&session, str_from(bytes, sizeof(bytes)));
        xml_attr(xml, "sessionid", buf_view(&session));
        buf_fini(&session);
    }
    xml_attr(xml, "status", str_from_cstr(status));
    xml_end_open(xml);
}

static void reply(struct turn *turn, const struct command *command, struct buf *xml)
{
    xml_close(xml, "command");
    turn_reply_result(turn, command->request, str_dup(turn->arena, buf_view(xml)));
    buf_fini(xml);
}

void command_reply_form(struct turn *turn, const struct command *command, struct str form)
{
    struct buf xml;
    begin(&xml, command, "executing");
    buf_append_literal(&xml, "<actions execute='complete'><complete/></actions>");
    buf_append_str(&xml, form);
    reply(turn, command, &xml);
}

void command_reply_completed(struct turn *turn, const struct command *command, struct str payload)
{
    struct buf xml;
    begin(&xml, command, "completed");
    buf_append_str(&xml, payload);
    reply(turn, command, &xml);
}

void command_reply_canceled(struct turn *turn, const struct command *command)
{
    struct buf xml;
    begin(&xml, command, "canceled");
    reply(turn, command, &xml);
}

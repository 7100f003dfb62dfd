/* Service Administration, XEP-0133 1.3.1: accounts are made, changed, ended and counted by who is
 * listed in admin.accounts. Each command acts on the host it is sent to, and leaves a line in the
 * audit log. */
#include "chassis/base/buf.h"
#include "proto/xmpp/precis.h"
#include "router/command.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/settings.h"

#define MAX_PASSWORD_BYTES 1024
#define MAX_LISTED         200
#define NODE(name)         NS_ADMIN "#" name

/* The home of the account has checked who sent it: nobody else's address gets here (C29). */
static bool is_admin(const struct turn *turn)
{
    const struct settings_texts *admins = &turn->settings->admins;
    for (size_t i = 0; turn->session && i < admins->count; i++) {
        if (str_equal(admins->items[i], turn->from.bare)) {
            return true;
        }
    }
    return false;
}

/* ---- forms */

static void begin_form(struct buf *xml, const char *title)
{
    buf_append_literal(xml, "<x xmlns='" NS_DATA_FORMS "' type='form'><title>");
    buf_append_str(xml, str_from_cstr(title));
    buf_append_literal(xml,
            "</title><field var='FORM_TYPE' type='hidden'><value>" NS_ADMIN "</value></field>");
}

static void ask_required(struct buf *xml, const char *var, const char *type, const char *label)
{
    form_field_begin(xml, var, type, label);
    form_required(xml);
    form_field_end(xml);
}

static void ask_password(struct buf *xml)
{
    ask_required(xml, "accountjid", "jid-single", "The address of the account");
    ask_required(xml, "password", "text-private", "The password");
}

static void write_add_form(struct buf *xml)
{
    begin_form(xml, "Add a user");
    ask_password(xml);
    ask_required(xml, "password-verify", "text-private", "The password again");
    form_end(xml);
}

static void write_password_form(struct buf *xml)
{
    begin_form(xml, "Change a password");
    ask_password(xml);
    form_end(xml);
}

static void write_account_form(struct buf *xml)
{
    begin_form(xml, "Choose an account");
    ask_required(xml, "accountjids", "jid-multi", "The address of one account");
    form_end(xml);
}

static void write_list_form(struct buf *xml)
{
    begin_form(xml, "Registered users");
    form_field_begin(xml, "max_items", "text-single", "How many at most");
    form_add_value(xml, STR("100"));
    form_field_end(xml);
    form_end(xml);
}

/* ---- what was asked */

struct admin_command {
    const char *node;
    enum turn_admin_op op;
    bool may_hit_oneself;
};

static const struct admin_command operations[] = {
    { NODE("add-user"), TURN_ADMIN_CREATE, false },
    { NODE("change-user-password"), TURN_ADMIN_SET_PASSWORD, true },
    { NODE("delete-user"), TURN_ADMIN_DELETE, false },
    { NODE("disable-user"), TURN_ADMIN_DISABLE, false },
    { NODE("reenable-user"), TURN_ADMIN_ENABLE, true },
    { NODE("end-user-session"), TURN_ADMIN_END_SESSIONS, true },
};

static const struct admin_command *find_operation(struct str node)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (str_equal(node, str_from_cstr(operations[i].node))) {
            return &operations[i];
        }
    }
    return NULL;
}

/* One address, as each turn waits for one change; the field may hold more in other services. */
static const struct form_field *find_target(const struct form *form)
{
    const struct form_field *field = form_find(form, "accountjids");
    return field ? field : form_find(form, "accountjid");
}

static enum stanza_condition read_target(
        struct turn *turn, const struct command *command, struct str *bare_out)
{
    const struct form_field *field = find_target(&command->form);
    struct jid jid;
    if (!field || field->value_count != 1) {
        return STANZA_ERROR_BAD_REQUEST;
    }
    if (jid_parse(turn->arena, field->values[0], &jid) != ERR_OK || !jid_is_bare(&jid)
            || jid.local.len == 0) {
        return STANZA_ERROR_JID_MALFORMED;
    }
    if (!str_equal(jid.domain, turn->to.domain)) {
        return STANZA_ERROR_ITEM_NOT_FOUND;
    }
    *bare_out = jid.bare;
    return STANZA_ERROR_NONE;
}

static enum err read_password(
        struct turn *turn, const struct command *command, struct str *password_out)
{
    struct str text = form_value(&command->form, "password");
    const struct form_field *again = form_find(&command->form, "password-verify");
    if (text.len == 0 || text.len > MAX_PASSWORD_BYTES
            || (again && !str_equal(form_value(&command->form, "password-verify"), text))) {
        return ERR_INVALID;
    }
    return precis_opaque_string(turn->arena, text, password_out);
}

/* ---- accounts */

static void audit(
        struct turn *turn, const struct command *command, struct str target, const char *outcome)
{
    const struct feature_command *entry = feature_find_command(command->node);
    turn_note_audit(turn,
            &(struct turn_audit){
                    .command = entry ? entry->node : "", .target = target, .outcome = outcome });
}

static void reply_failed(struct turn *turn, const struct stanza *request, enum err err)
{
    struct stanza_error error = { .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    if (err == ERR_EXISTS) {
        error.condition = STANZA_ERROR_CONFLICT;
    } else if (err == ERR_NOT_FOUND) {
        error.condition = STANZA_ERROR_ITEM_NOT_FOUND;
    }
    turn_reply_error(turn, request, &error);
}

static bool read_again(struct turn *turn, const struct stanza *request, struct command *command)
{
    const struct element *element = turn_parse_children(turn);
    return element && command_read(turn, request, element, command) == ERR_OK;
}

static void after_change(struct turn *turn, const struct stanza *request, enum err err)
{
    struct command command;
    struct str bare = STR_NULL;
    if (!read_again(turn, request, &command)) {
        return;
    }
    (void)read_target(turn, &command, &bare);
    audit(turn, &command, bare, err == ERR_OK ? "done" : err_name(err));
    if (err == ERR_OK) {
        command_reply_completed(turn, &command, STR_NULL);
    } else {
        reply_failed(turn, request, err);
    }
}

static enum verdict refuse(struct turn *turn,
        const struct command *command,
        struct str target,
        enum stanza_condition condition)
{
    audit(turn, command, target, stanza_condition_name(condition));
    return turn_reject(turn, condition, STR_NULL);
}

static enum verdict change_account(struct turn *turn, const struct command *command)
{
    const struct admin_command *operation = find_operation(command->node);
    ASSERT(operation); /* the table of commands names only nodes it has */
    struct turn_admin admin = { .op = operation->op };
    enum stanza_condition wrong = read_target(turn, command, &admin.bare);
    if (wrong != STANZA_ERROR_NONE) {
        return refuse(turn, command, STR_NULL, wrong);
    }
    if (!operation->may_hit_oneself && str_equal(admin.bare, turn->entity->bare)) {
        return refuse(turn, command, admin.bare, STANZA_ERROR_NOT_ALLOWED);
    }
    bool needs_password = admin.op == TURN_ADMIN_CREATE || admin.op == TURN_ADMIN_SET_PASSWORD;
    if (needs_password && read_password(turn, command, &admin.password) != ERR_OK) {
        return refuse(turn, command, admin.bare, STANZA_ERROR_NOT_ACCEPTABLE);
    }
    return turn_wait_admin(turn, &admin, after_change);
}

/* ---- numbers and lists */

static void write_answer(struct buf *xml, const char *var, struct str text)
{
    form_begin(xml, "result", NS_ADMIN);
    form_field_begin(xml, var, NULL, NULL);
    while (text.len) {
        form_add_value(xml, str_cut(&text, '\n'));
    }
    form_field_end(xml);
    form_end(xml);
}

static void reply_answer(
        struct turn *turn, const struct stanza *request, enum err err, const char *var)
{
    struct command command;
    if (!read_again(turn, request, &command)) {
        return;
    }
    audit(turn, &command, STR_NULL, err == ERR_OK ? "done" : err_name(err));
    if (err != ERR_OK) {
        reply_failed(turn, request, err);
        return;
    }
    struct buf xml;
    buf_init(&xml, 0);
    write_answer(&xml, var, turn->loaded);
    command_reply_completed(turn, &command, buf_view(&xml));
    buf_fini(&xml);
}

static void after_registered(struct turn *turn, const struct stanza *request, enum err err)
{
    reply_answer(turn, request, err, "registeredusersnum");
}

static void after_disabled(struct turn *turn, const struct stanza *request, enum err err)
{
    reply_answer(turn, request, err, "disabledusersnum");
}

static void after_online(struct turn *turn, const struct stanza *request, enum err err)
{
    reply_answer(turn, request, err, "onlineusersnum");
}

static void after_list(struct turn *turn, const struct stanza *request, enum err err)
{
    reply_answer(turn, request, err, "registereduserjids");
}

static enum verdict count_registered(struct turn *turn, const struct command *command)
{
    (void)command;
    struct turn_admin admin = { .op = TURN_ADMIN_COUNT, .domain = turn->to.domain };
    return turn_wait_admin(turn, &admin, after_registered);
}

static enum verdict count_disabled(struct turn *turn, const struct command *command)
{
    (void)command;
    struct turn_admin admin = {
        .op = TURN_ADMIN_COUNT, .domain = turn->to.domain, .is_disabled = true
    };
    return turn_wait_admin(turn, &admin, after_disabled);
}

static enum verdict count_online(struct turn *turn, const struct command *command)
{
    (void)command;
    struct turn_admin admin = { .op = TURN_ADMIN_COUNT_ONLINE };
    return turn_wait_admin(turn, &admin, after_online);
}

static enum verdict list_registered(struct turn *turn, const struct command *command)
{
    uint64_t max = MAX_LISTED;
    struct str text = form_value(&command->form, "max_items");
    bool is_number = text.len == 0 || str_equal(text, STR("none")) || str_to_u64(text, &max);
    if (!is_number || max == 0) {
        return refuse(turn, command, STR_NULL, STANZA_ERROR_NOT_ACCEPTABLE);
    }
    struct turn_admin admin = {
        .op = TURN_ADMIN_LIST,
        .domain = turn->to.domain,
        .max = max < MAX_LISTED ? (int64_t)max : MAX_LISTED,
    };
    return turn_wait_admin(turn, &admin, after_list);
}

static const struct feature_command commands[] = {
    { NODE("add-user"), "Add a user", is_admin, write_add_form, change_account },
    { NODE("delete-user"), "Delete a user", is_admin, write_account_form, change_account },
    { NODE("disable-user"), "Disable a user", is_admin, write_account_form, change_account },
    { NODE("reenable-user"), "Enable a user again", is_admin, write_account_form, change_account },
    { NODE("end-user-session"),
            "End a user's sessions",
            is_admin,
            write_account_form,
            change_account },
    { NODE("change-user-password"),
            "Change a user's password",
            is_admin,
            write_password_form,
            change_account },
    { NODE("get-registered-users-num"),
            "Number of active accounts",
            is_admin,
            NULL,
            count_registered },
    { NODE("get-disabled-users-num"),
            "Number of disabled accounts",
            is_admin,
            NULL,
            count_disabled },
    { NODE("get-online-users-num"), "Number of accounts online", is_admin, NULL, count_online },
    { NODE("get-registered-users-list"),
            "List of accounts",
            is_admin,
            write_list_form,
            list_registered },
    { NULL, NULL, NULL, NULL, NULL },
};

const struct feature feature_admin = {
    .name = "admin",
    .specs = { { "XEP-0133", "1.3.1" } },
    .commands = commands,
};

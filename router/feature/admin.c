/* Service Administration, XEP-0133 1.3.1: accounts are made, changed, ended and counted, and
 * told something, by who is listed in admin.accounts. Each command acts on the host it is sent to,
 * and leaves a line in the audit log. */
#include "chassis/base/buf.h"
#include "proto/xmpp/precis.h"
#include "proto/xmpp/xml_writer.h"
#include "router/command.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/settings.h"

#define MAX_PASSWORD_BYTES     1024
#define MAX_LISTED             200
#define MAX_ANNOUNCEMENT_BYTES 8192
#define NODE(name)             NS_ADMIN "#" name

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
    begin_form(xml, "Choose accounts");
    ask_required(xml, "accountjids", "jid-multi", "Addresses of accounts");
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

static void write_announce_form(struct buf *xml)
{
    begin_form(xml, "An announcement to whoever is online");
    form_field_begin(xml, "subject", "text-single", "Subject");
    form_field_end(xml);
    ask_required(xml, "announcement", "text-multi", "Announcement");
    form_end(xml);
}

/* ---- what was asked */

struct admin_command {
    const char *node;
    enum turn_admin_op op;
    bool may_hit_oneself;
    bool is_of_one;
};

static const struct admin_command operations[] = {
    { NODE("add-user"), TURN_ADMIN_CREATE, false, true },
    { NODE("change-user-password"), TURN_ADMIN_SET_PASSWORD, true, true },
    { NODE("delete-user"), TURN_ADMIN_DELETE, false, false },
    { NODE("disable-user"), TURN_ADMIN_DISABLE, false, false },
    { NODE("reenable-user"), TURN_ADMIN_ENABLE, true, false },
    { NODE("end-user-session"), TURN_ADMIN_END_SESSIONS, true, false },
    { NODE("get-user-lastlogin"), TURN_ADMIN_LAST_LOGIN, true, false },
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

static const struct form_field *find_targets(const struct form *form)
{
    const struct form_field *field = form_find(form, "accountjids");
    return field ? field : form_find(form, "accountjid");
}

static enum stanza_condition read_target(struct turn *turn, struct str text, struct str *bare_out)
{
    struct jid jid;
    if (jid_parse(turn->arena, text, &jid) != ERR_OK || !jid_is_bare(&jid) || jid.local.len == 0) {
        return STANZA_ERROR_JID_MALFORMED;
    }
    if (!str_equal(jid.domain, turn->to.domain)) {
        return STANZA_ERROR_ITEM_NOT_FOUND;
    }
    *bare_out = jid.bare;
    return STANZA_ERROR_NONE;
}

/* All of them are addresses of this host, or nothing is done. */
static enum stanza_condition read_targets(struct turn *turn,
        const struct command *command,
        const struct admin_command *operation,
        struct turn_admin *admin_out)
{
    const struct form_field *field = find_targets(&command->form);
    size_t count = field ? field->value_count : 0;
    if (count == 0 || (operation->is_of_one && count != 1)) {
        return STANZA_ERROR_BAD_REQUEST;
    }
    if (count > TURN_ADMIN_MAX_ACCOUNTS) {
        return STANZA_ERROR_NOT_ACCEPTABLE;
    }
    struct str *accounts = arena_calloc(turn->arena, count * sizeof(*accounts));
    for (size_t i = 0; i < count; i++) {
        enum stanza_condition wrong = read_target(turn, field->values[i], &accounts[i]);
        if (wrong != STANZA_ERROR_NONE) {
            return wrong;
        }
        if (!operation->may_hit_oneself && str_equal(accounts[i], turn->entity->bare)) {
            return STANZA_ERROR_NOT_ALLOWED;
        }
    }
    admin_out->accounts = accounts;
    admin_out->account_count = count;
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

struct outcomes {
    struct buf failed;   /* a sentence */
    struct buf accounts; /* <value/>s */
    struct buf values;   /* likewise, of each account */
};

static void reply_done(struct turn *turn,
        const struct command *command,
        const char *var,
        const struct outcomes *outcomes)
{
    struct buf xml;
    buf_init(&xml, 0);
    if (outcomes->failed.len > 0) {
        buf_append_literal(&xml, "<note type='warn'>");
        xml_text(&xml, buf_view(&outcomes->failed));
        buf_append_literal(&xml, "</note>");
    }
    if (var) {
        form_begin(&xml, "result", NS_ADMIN);
        form_field_begin(&xml, "accountjids", NULL, NULL);
        buf_append_str(&xml, buf_view(&outcomes->accounts));
        form_field_end(&xml);
        form_field_begin(&xml, var, NULL, NULL);
        buf_append_str(&xml, buf_view(&outcomes->values));
        form_field_end(&xml);
        form_end(&xml);
    }
    command_reply_completed(turn, command, buf_view(&xml));
    buf_fini(&xml);
}

/* A line of the audit log for each account (C29). True: `address` is one that could not be done. */
static bool next_outcome(struct turn *turn,
        const struct command *command,
        struct str *rest,
        struct str *address_out,
        struct str *more_out)
{
    struct str line = str_cut(rest, '\n');
    *address_out = str_cut(&line, ' ');
    struct str outcome = str_cut(&line, ' ');
    *more_out = line;
    audit(turn, command, *address_out, str_dup(turn->arena, outcome).ptr);
    return !str_equal(outcome, STR("done"));
}

/* What was done, and for whom not. `var`: of what is told of each account, NULL: nothing. */
static void reply_outcomes(
        struct turn *turn, const struct stanza *request, enum err err, const char *var)
{
    struct command command;
    if (!read_again(turn, request, &command)) {
        return;
    }
    struct outcomes outcomes;
    buf_init(&outcomes.failed, 0);
    buf_init(&outcomes.accounts, 0);
    buf_init(&outcomes.values, 0);
    struct str rest = turn->loaded;
    while (rest.len > 0) {
        struct str address;
        struct str more;
        if (next_outcome(turn, &command, &rest, &address, &more)) {
            struct buf *failed = &outcomes.failed;
            buf_append_str(failed, failed->len > 0 ? STR(", ") : STR("Not done for "));
            buf_append_str(failed, address);
        } else {
            form_add_value(&outcomes.accounts, address);
            form_add_value(&outcomes.values, more);
        }
    }
    if (err != ERR_OK) {
        reply_failed(turn, request, err);
    } else {
        reply_done(turn, &command, var, &outcomes);
    }
    buf_fini(&outcomes.failed);
    buf_fini(&outcomes.accounts);
    buf_fini(&outcomes.values);
}

static void after_change(struct turn *turn, const struct stanza *request, enum err err)
{
    reply_outcomes(turn, request, err, NULL);
}

static void after_last_login(struct turn *turn, const struct stanza *request, enum err err)
{
    reply_outcomes(turn, request, err, "lastlogin");
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
    enum stanza_condition wrong = read_targets(turn, command, operation, &admin);
    if (wrong != STANZA_ERROR_NONE) {
        return refuse(turn, command, STR_NULL, wrong);
    }
    bool needs_password = admin.op == TURN_ADMIN_CREATE || admin.op == TURN_ADMIN_SET_PASSWORD;
    if (needs_password && read_password(turn, command, &admin.password) != ERR_OK) {
        return refuse(turn, command, admin.accounts[0], STANZA_ERROR_NOT_ACCEPTABLE);
    }
    return turn_wait_admin(
            turn, &admin, admin.op == TURN_ADMIN_LAST_LOGIN ? after_last_login : after_change);
}

/* ---- announcements */

static void after_announcement(struct turn *turn, const struct stanza *request, enum err err)
{
    struct command command;
    if (!read_again(turn, request, &command)) {
        return;
    }
    audit(turn, &command, STR_NULL, err == ERR_OK ? "done" : err_name(err));
    if (err == ERR_OK) {
        command_reply_completed(turn, &command, STR_NULL);
    } else {
        reply_failed(turn, request, err);
    }
}

static struct str join_lines(struct turn *turn, const struct form_field *field)
{
    struct buf text;
    buf_init(&text, 0);
    for (size_t i = 0; field && i < field->value_count; i++) {
        buf_append_str(&text, i > 0 ? STR("\n") : STR_NULL);
        buf_append_str(&text, field->values[i]);
    }
    struct str joined = str_dup(turn->arena, buf_view(&text));
    buf_fini(&text);
    return joined;
}

static enum verdict announce(struct turn *turn, const struct command *command)
{
    struct turn_admin admin = {
        .op = TURN_ADMIN_ANNOUNCE,
        .domain = turn->to.domain,
        .subject = form_value(&command->form, "subject"),
        .text = join_lines(turn, form_find(&command->form, "announcement")),
    };
    if (admin.text.len == 0 || admin.text.len + admin.subject.len > MAX_ANNOUNCEMENT_BYTES) {
        return refuse(turn, command, STR_NULL, STANZA_ERROR_NOT_ACCEPTABLE);
    }
    return turn_wait_admin(turn, &admin, after_announcement);
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
    { NODE("delete-user"), "Delete users", is_admin, write_account_form, change_account },
    { NODE("disable-user"), "Disable users", is_admin, write_account_form, change_account },
    { NODE("reenable-user"), "Enable users again", is_admin, write_account_form, change_account },
    { NODE("end-user-session"),
            "End users' sessions",
            is_admin,
            write_account_form,
            change_account },
    { NODE("change-user-password"),
            "Change a user's password",
            is_admin,
            write_password_form,
            change_account },
    { NODE("get-user-lastlogin"),
            "Day of a user's last login",
            is_admin,
            write_account_form,
            change_account },
    { NODE("announce"), "Tell whoever is online", is_admin, write_announce_form, announce },
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

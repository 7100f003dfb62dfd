/* The field table of section "accounts", and how it gets into the settings. */
#include "router/settings_accounts.h"

#include "chassis/base/arena.h"
#include "proto/xmpp/jid.h"

#define MAX_DAYS       36500
#define MAX_TEXT_BYTES 8192
#define TOMBSTONE_DAYS 30

#define INACTIVE_TEXT                                                                              \
    "Nobody has logged in to this account for a long time. It will be disabled, and later deleted" \
    " with everything in it, unless it is used again: logging in is enough."

struct accounts_config {
    char *host;
    int64_t inactive_warn_days;
    int64_t inactive_disable_days;
    int64_t inactive_delete_days;
    int64_t tombstone_days;
    char *inactive_text;
    char *welcome_subject;
    char *welcome_text;
    bool tell_admins;
};

/* clang-format off */
#define DAYS(field) .name = #field, .type = CONFIG_INT, .offset = offsetof(struct accounts_config, field), \
    .min = 0, .max = MAX_DAYS
#define TEXT(field) .name = #field, .type = CONFIG_STRING, .offset = offsetof(struct accounts_config, field)

static const struct config_field accounts_fields[] = {
    { TEXT(host), .default_text = "", .help = "The domain this is for; empty: every domain without its own." },
    { DAYS(inactive_warn_days), .default_text = "0",
      .help = "An account nobody has used for so many days is told that it may be lost; 0: never." },
    { DAYS(inactive_disable_days), .default_text = "0",
      .help = "After so many days it is disabled, but not sooner after the warning than the two numbers are apart; 0: never." },
    { DAYS(inactive_delete_days), .default_text = "0",
      .help = "After so many days what was disabled for that is deleted, likewise; 0: never." },
    { DAYS(tombstone_days), .default_text = "30",
      .help = "The name of a deleted account cannot be taken for so many days." },
    { TEXT(inactive_text), .default_text = INACTIVE_TEXT, .help = "What the warning says." },
    { TEXT(welcome_subject), .default_text = "", .help = "Subject of the welcome message; empty: none." },
    { TEXT(welcome_text), .default_text = "", .help = "What a new account finds in its inbox; empty: nothing." },
    { .name = "tell_admins", .type = CONFIG_BOOL, .offset = offsetof(struct accounts_config, tell_admins),
      .default_text = "false", .help = "Administrators get a message about each account registered in-band, 20 an hour from each router." },
    { .name = NULL },
};
/* clang-format on */

static enum err refuse(struct buf *why, const char *text)
{
    buf_printf(why, "%s", text);
    return ERR_INVALID;
}

static enum err check_days(const struct accounts_config *accounts, struct buf *why)
{
    int64_t warn = accounts->inactive_warn_days;
    int64_t disable = accounts->inactive_disable_days;
    if (accounts->inactive_delete_days > 0 && disable == 0) {
        return refuse(why, "inactive_delete_days: only with inactive_disable_days");
    }
    if (accounts->inactive_delete_days > 0 && accounts->inactive_delete_days <= disable) {
        return refuse(why, "inactive_delete_days: has to be more than inactive_disable_days");
    }
    if (disable > 0 && warn >= disable) {
        return refuse(why, "inactive_disable_days: has to be more than inactive_warn_days");
    }
    return ERR_OK;
}

/* XML takes neither control characters nor broken UTF-8. */
static bool is_writable(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 && c != '\n' && c != '\t') {
            return false;
        }
    }
    return len <= MAX_TEXT_BYTES && str_is_utf8(str_from(text, len));
}

static enum err check_accounts(const void *section, struct buf *why)
{
    const struct accounts_config *accounts = section;
    if (!is_writable(accounts->inactive_text) || !is_writable(accounts->welcome_subject)
            || !is_writable(accounts->welcome_text)) {
        return refuse(why, "a text is longer than 8 KiB, or no text");
    }
    return check_days(accounts, why);
}

const struct config_section section_accounts = {
    .name = "accounts",
    .help = "What becomes of accounts: welcome, inactive ones, names of deleted ones.",
    .fields = accounts_fields,
    .size = sizeof(struct accounts_config),
    .is_list = true,
    .may_reload = true,
    .check = check_accounts,
};

static struct str copy_text(struct arena *arena, const char *text)
{
    return str_dup(arena, str_from_cstr(text));
}

void settings_fill_accounts(
        struct settings *settings, struct arena *arena, const struct config *config)
{
    size_t count;
    const struct accounts_config *from = config_get_list(config, &section_accounts, &count);
    struct account_policy *policies = arena_calloc(arena, (count + 1) * sizeof(*policies));
    for (size_t i = 0; i < count; i++) {
        struct str host = copy_text(arena, from[i].host);
        struct account_policy *policy = &policies[i];
        if (host.len > 0 && jid_prepare_domain(arena, host, &policy->host) != ERR_OK) {
            policy->host = host; /* matches nothing */
        }
        policy->inactive_warn_days = from[i].inactive_warn_days;
        policy->inactive_disable_days = from[i].inactive_disable_days;
        policy->inactive_delete_days = from[i].inactive_delete_days;
        policy->tombstone_days = from[i].tombstone_days;
        policy->inactive_text = copy_text(arena, from[i].inactive_text);
        policy->welcome_subject = copy_text(arena, from[i].welcome_subject);
        policy->welcome_text = copy_text(arena, from[i].welcome_text);
        policy->tells_admins = from[i].tell_admins;
    }
    settings->policies = policies;
    settings->policy_count = count;
}

const struct account_policy *settings_find_policy(
        const struct settings *settings, struct str domain)
{
    static const struct account_policy none = { .tombstone_days = TOMBSTONE_DAYS };
    const struct account_policy *any = &none;
    for (size_t i = settings->policy_count; i-- > 0;) {
        if (str_equal(settings->policies[i].host, domain)) {
            return &settings->policies[i];
        }
        any = settings->policies[i].host.len == 0 ? &settings->policies[i] : any;
    }
    return any;
}

/* Field tables of features: limits of what accounts keep at their server, addresses, services. */
#include "router/settings_features.h"

#include <stdio.h>

#include "chassis/base/arena.h"
#include "chassis/base/digest.h"
#include "proto/xmpp/jid.h"

struct data_config {
    int64_t max_items;
    int64_t max_bytes;
};

struct vcard_config {
    int64_t max_bytes;
    int readable_by;
};

enum {
    READABLE_BY_EVERYBODY,
    READABLE_BY_CONTACTS,
};

static const char *const readers[] = { "everybody", "contacts", NULL };

struct admin_config {
    struct config_strings accounts;
};

struct contact_config {
    char *host;
    struct config_strings uris[CONTACT_KINDS];
    struct config_strings outage_status;
};

struct external_config {
    char *type;
    char *host;
    int64_t port;
    int transport;
    char *name;
    char *username;
    char *password;
    char *secret_file;
    int64_t ttl_ms;
};

static const char *const transports[] = { "none", "udp", "tcp", NULL };

/* clang-format off */
#define CONTACT(kind) .type = CONFIG_LIST, .default_text = "", \
    .offset = offsetof(struct contact_config, uris) + (kind) * sizeof(struct config_strings)

static const struct config_field admin_fields[] = {
    { .name = "accounts", .type = CONFIG_LIST, .offset = offsetof(struct admin_config, accounts),
      .default_text = "", .help = "Bare addresses of administrators: they may run commands (XEP-0133) and hear of reports (XEP-0377)." },
    { .name = NULL },
};

static const struct config_field contact_fields[] = {
    { .name = "host", .type = CONFIG_STRING, .offset = offsetof(struct contact_config, host),
      .default_text = "", .help = "The domain these addresses are for; empty: every domain without its own." },
    { .name = "abuse", CONTACT(CONTACT_ABUSE), .help = "URIs to report abuse to." },
    { .name = "admin", CONTACT(CONTACT_ADMIN), .help = "URIs of the administrators." },
    { .name = "feedback", CONTACT(CONTACT_FEEDBACK), .help = "URIs for feedback." },
    { .name = "sales", CONTACT(CONTACT_SALES), .help = "URIs for sales." },
    { .name = "security", CONTACT(CONTACT_SECURITY), .help = "URIs for security concerns." },
    { .name = "status", CONTACT(CONTACT_STATUS), .help = "URIs that show the state of the service." },
    { .name = "support", CONTACT(CONTACT_SUPPORT), .help = "URIs for support." },
    { .name = "outage_status", .type = CONFIG_LIST, .offset = offsetof(struct contact_config, outage_status),
      .default_text = "", .help = "http(s) URIs of the state of the service as JSON, readable for everybody while it is away (XEP-0455)." },
    { .name = NULL },
};

static const struct config_field external_fields[] = {
    { .name = "type", .type = CONFIG_STRING, .offset = offsetof(struct external_config, type),
      .default_text = NULL, .help = "What it is: stun, turn, stuns, turns, ftp, ..." },
    { .name = "host", .type = CONFIG_STRING, .offset = offsetof(struct external_config, host),
      .default_text = NULL, .help = "Its name or address." },
    { .name = "port", .type = CONFIG_INT, .offset = offsetof(struct external_config, port),
      .default_text = "0", .min = 0, .max = 65535, .help = "Its port; 0: not told." },
    { .name = "transport", .type = CONFIG_ENUM, .offset = offsetof(struct external_config, transport),
      .default_text = "none", .choices = transports, .help = "udp or tcp; none: not told." },
    { .name = "name", .type = CONFIG_STRING, .offset = offsetof(struct external_config, name),
      .default_text = "", .help = "A name for people." },
    { .name = "username", .type = CONFIG_STRING, .offset = offsetof(struct external_config, username),
      .default_text = "", .help = "A fixed user name, told to every user." },
    { .name = "password", .type = CONFIG_STRING, .offset = offsetof(struct external_config, password),
      .default_text = "", .help = "Its password, told to every user." },
    { .name = "secret_file", .type = CONFIG_PATH, .offset = offsetof(struct external_config, secret_file),
      .default_text = "", .help = "Secret shared with a TURN server: users get credentials of their own that end." },
    { .name = "ttl", .type = CONFIG_DURATION, .offset = offsetof(struct external_config, ttl_ms),
      .default_text = "24h", .min = 60000, .max = INT64_C(2592000000),
      .help = "How long such credentials are good." },
    { .name = NULL },
};

static const struct config_field blocking_fields[] = {
    { .name = "max_items", .type = CONFIG_INT, .offset = offsetof(struct data_config, max_items),
      .default_text = "1000", .min = 1, .max = 100000,
      .help = "Addresses an account may block." },
    { .name = "max_bytes", .type = CONFIG_SIZE, .offset = offsetof(struct data_config, max_bytes),
      .default_text = "64KiB", .min = 4096, .max = 1 << 24, .help = "The same in bytes; kept in memory while the account is active." },
    { .name = NULL },
};

static const struct config_field private_xml_fields[] = {
    { .name = "max_items", .type = CONFIG_INT, .offset = offsetof(struct data_config, max_items),
      .default_text = "100", .min = 1, .max = 100000,
      .help = "Elements an account may keep as private XML (XEP-0049)." },
    { .name = "max_bytes", .type = CONFIG_SIZE, .offset = offsetof(struct data_config, max_bytes),
      .default_text = "128KiB", .min = 1024, .max = 1 << 26, .help = "The same in bytes." },
    { .name = NULL },
};

static const struct config_field vcard_fields[] = {
    { .name = "max_bytes", .type = CONFIG_SIZE, .offset = offsetof(struct vcard_config, max_bytes),
      .default_text = "128KiB", .min = 1024, .max = 1 << 24, .help = "Size of a vCard (XEP-0054)." },
    { .name = "readable_by", .type = CONFIG_ENUM, .offset = offsetof(struct vcard_config, readable_by),
      .default_text = "everybody", .choices = readers,
      .help = "Who may read an account's vCard: everybody, or only who may see its presence." },
    { .name = NULL },
};
/* clang-format on */

static bool has_control_characters(const char *text)
{
    for (const char *at = text; *at; at++) {
        if ((unsigned char)*at < 0x20) {
            return true;
        }
    }
    return !str_is_utf8(str_from_cstr(text));
}

static enum err check_admin(const void *section, struct buf *why)
{
    const struct admin_config *admin = section;
    struct arena arena;
    arena_init(&arena, 0);
    enum err err = ERR_OK;
    for (size_t i = 0; i < admin->accounts.count && err == ERR_OK; i++) {
        struct jid jid;
        err = jid_parse(&arena, str_from_cstr(admin->accounts.items[i]), &jid);
        if (err != ERR_OK || !jid_is_bare(&jid) || jid.local.len == 0) {
            buf_printf(
                    why, "accounts: \"%s\" is no address of an account", admin->accounts.items[i]);
            err = ERR_INVALID;
        }
    }
    arena_fini(&arena);
    return err;
}

/* XEP-0455 §2.1 */
static enum err check_outage_status(const struct config_strings *uris, struct buf *why)
{
    for (size_t i = 0; i < uris->count; i++) {
        struct str uri = str_from_cstr(uris->items[i]);
        bool is_http =
                str_starts_with(uri, STR("https://")) || str_starts_with(uri, STR("http://"));
        if (!is_http || has_control_characters(uris->items[i])) {
            buf_printf(why, "outage_status: \"%s\" is no http(s) URI", uris->items[i]);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

static enum err check_contacts(const void *section, struct buf *why)
{
    const struct contact_config *contacts = section;
    for (size_t kind = 0; kind < CONTACT_KINDS; kind++) {
        for (size_t i = 0; i < contacts->uris[kind].count; i++) {
            const char *uri = contacts->uris[kind].items[i];
            if (!strchr(uri, ':') || has_control_characters(uri)) { /* XEP-0157 §3 */
                buf_printf(why, "\"%s\" is no URI", uri);
                return ERR_INVALID;
            }
        }
    }
    return check_outage_status(&contacts->outage_status, why);
}

static enum err check_external(const void *section, struct buf *why)
{
    const struct external_config *service = section;
    if (service->secret_file[0] == '\0') {
        return ERR_OK;
    }
    struct buf secret;
    buf_init(&secret, 0);
    enum err err = config_read_secret(service->secret_file, &secret, why);
    if (err == ERR_OK) {
        secret_wipe(secret.data, secret.capacity);
    }
    buf_fini(&secret);
    return err;
}

const struct config_section section_admin = {
    .name = "admin",
    .help = "Who administrates the service by XMPP.",
    .fields = admin_fields,
    .size = sizeof(struct admin_config),
    .may_reload = true,
    .check = check_admin,
};

const struct config_section section_contact_addresses = {
    .name = "contact_addresses",
    .help = "Whom to turn to (XEP-0157), and where to look when nobody is there (XEP-0455).",
    .fields = contact_fields,
    .size = sizeof(struct contact_config),
    .is_list = true,
    .may_reload = true,
    .check = check_contacts,
};

const struct config_section section_external_services = {
    .name = "external_services",
    .help = "STUN and TURN servers and the like (XEP-0215).",
    .fields = external_fields,
    .size = sizeof(struct external_config),
    .is_list = true,
    .may_reload = true,
    .check = check_external,
};

const struct config_section section_blocking = {
    .name = "blocking",
    .help = "Block lists (XEP-0191).",
    .fields = blocking_fields,
    .size = sizeof(struct data_config),
    .may_reload = true,
};

const struct config_section section_private_xml = {
    .name = "private_xml",
    .help = "Private XML of accounts (XEP-0049).",
    .fields = private_xml_fields,
    .size = sizeof(struct data_config),
    .may_reload = true,
};

const struct config_section section_vcard = {
    .name = "vcard",
    .help = "vCards (XEP-0054).",
    .fields = vcard_fields,
    .size = sizeof(struct vcard_config),
    .may_reload = true,
};

/* ---- into the settings */

static struct str copy_text(struct arena *arena, const char *text)
{
    return str_dup(arena, str_from_cstr(text));
}

static struct settings_texts copy_texts(struct arena *arena, const struct config_strings *from)
{
    struct str *items = arena_calloc(arena, (from->count + 1) * sizeof(*items));
    for (size_t i = 0; i < from->count; i++) {
        items[i] = copy_text(arena, from->items[i]);
    }
    return (struct settings_texts){ items, from->count };
}

static void fill_admins(struct settings *settings, struct arena *arena, const struct config *config)
{
    const struct admin_config *from = config_get(config, &section_admin);
    struct str *items = arena_calloc(arena, (from->accounts.count + 1) * sizeof(*items));
    for (size_t i = 0; i < from->accounts.count; i++) {
        struct jid jid;
        enum err err = jid_parse(arena, str_from_cstr(from->accounts.items[i]), &jid);
        ASSERT(err == ERR_OK); /* check_admin has seen it */
        items[i] = str_dup(arena, jid.bare);
    }
    settings->admins = (struct settings_texts){ items, from->accounts.count };
}

static void fill_contacts(
        struct settings *settings, struct arena *arena, const struct config *config)
{
    const struct contact_config *from =
            config_get_list(config, &section_contact_addresses, &settings->contacts_count);
    struct contact_addresses *contacts =
            arena_calloc(arena, (settings->contacts_count + 1) * sizeof(*contacts));
    for (size_t i = 0; i < settings->contacts_count; i++) {
        struct str host = copy_text(arena, from[i].host);
        if (host.len && jid_prepare_domain(arena, host, &contacts[i].host) != ERR_OK) {
            contacts[i].host = host; /* matches nothing */
        }
        for (size_t kind = 0; kind < CONTACT_KINDS; kind++) {
            contacts[i].uris[kind] = copy_texts(arena, &from[i].uris[kind]);
        }
        contacts[i].outage_status = copy_texts(arena, &from[i].outage_status);
    }
    settings->contacts = contacts;
}

static struct str read_shared_secret(struct arena *arena, const char *path)
{
    struct buf secret;
    struct buf why;
    buf_init(&secret, 0);
    buf_init(&why, 0);
    struct str copy = STR_NULL;
    if (path[0] && config_read_secret(path, &secret, &why) == ERR_OK) {
        copy = str_dup(arena, buf_view(&secret));
        secret_wipe(secret.data, secret.capacity);
    }
    buf_fini(&why);
    buf_fini(&secret);
    return copy;
}

static struct external_service make_service(struct arena *arena, const struct external_config *from)
{
    struct external_service service = {
        .type = copy_text(arena, from->type),
        .host = copy_text(arena, from->host),
        .transport = copy_text(arena, from->transport ? transports[from->transport] : ""),
        .name = copy_text(arena, from->name),
        .username = copy_text(arena, from->username),
        .password = copy_text(arena, from->password),
        .secret = read_shared_secret(arena, from->secret_file),
        .ttl_ms = from->ttl_ms,
    };
    if (from->port) {
        char port[8];
        (void)snprintf(port, sizeof(port), "%u", (unsigned)from->port);
        service.port = copy_text(arena, port);
    }
    return service;
}

static void fill_services(
        struct settings *settings, struct arena *arena, const struct config *config)
{
    size_t count;
    const struct external_config *from =
            config_get_list(config, &section_external_services, &count);
    struct external_service *services = arena_calloc(arena, (count + 1) * sizeof(*services));
    for (size_t i = 0; i < count; i++) {
        struct external_service *service = &services[settings->external_service_count];
        *service = make_service(arena, &from[i]);
        /* The file was there when the section was checked: without it nobody could log in. */
        bool is_usable = !from[i].secret_file[0] || service->secret.len;
        settings->external_service_count += is_usable ? 1 : 0;
    }
    settings->external_services = services;
}

void settings_wipe_features(struct settings *settings)
{
    for (size_t i = 0; i < settings->external_service_count; i++) {
        struct str secret = settings->external_services[i].secret;
        secret_wipe((void *)(uintptr_t)secret.ptr, secret.len);
    }
}

const struct contact_addresses *settings_find_contacts(
        const struct settings *settings, struct str domain)
{
    const struct contact_addresses *any = NULL;
    for (size_t i = 0; i < settings->contacts_count; i++) {
        if (str_equal(settings->contacts[i].host, domain)) {
            return &settings->contacts[i];
        }
        any = settings->contacts[i].host.len == 0 && !any ? &settings->contacts[i] : any;
    }
    return any;
}

void settings_fill_features(
        struct settings *settings, struct arena *arena, const struct config *config)
{
    const struct data_config *blocking = config_get(config, &section_blocking);
    settings->blocking_max_items = blocking->max_items;
    settings->blocking_max_bytes = blocking->max_bytes;
    const struct data_config *private_xml = config_get(config, &section_private_xml);
    settings->private_xml_max_items = private_xml->max_items;
    settings->private_xml_max_bytes = private_xml->max_bytes;
    const struct vcard_config *vcard = config_get(config, &section_vcard);
    settings->vcard_max_bytes = vcard->max_bytes;
    settings->vcard_is_public = vcard->readable_by == READABLE_BY_EVERYBODY;
    fill_admins(settings, arena, config);
    fill_contacts(settings, arena, config);
    fill_services(settings, arena, config);
}

/* Field tables of features: limits of what accounts keep at their server. */
#include "router/settings_features.h"

#include "chassis/base/arena.h"

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

/* clang-format off */
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

void settings_fill_features(
        struct settings *settings, struct arena *arena, const struct config *config)
{
    (void)arena;
    const struct data_config *blocking = config_get(config, &section_blocking);
    settings->blocking_max_items = blocking->max_items;
    settings->blocking_max_bytes = blocking->max_bytes;
    const struct data_config *private_xml = config_get(config, &section_private_xml);
    settings->private_xml_max_items = private_xml->max_items;
    settings->private_xml_max_bytes = private_xml->max_bytes;
    const struct vcard_config *vcard = config_get(config, &section_vcard);
    settings->vcard_max_bytes = vcard->max_bytes;
    settings->vcard_is_public = vcard->readable_by == READABLE_BY_EVERYBODY;
}

/* Components (XEP-0114) in the configuration, and what is at home with them. */
#include "chassis/base/arena.h"
#include "chassis/base/err.h"
#include "proto/xmpp/jid.h"
#include "router/settings.h"
#include "router/settings_features.h"

struct component_config {
    char *domain;
    char *secret_file;
    bool disco;
};

/* clang-format off */
static const struct config_field component_fields[] = {
    { .name = "domain", .type = CONFIG_STRING, .offset = offsetof(struct component_config, domain),
      .default_text = NULL, .help = "Domain of the component; everything at it is the component's." },
    { .name = "secret_file", .type = CONFIG_PATH, .offset = offsetof(struct component_config, secret_file),
      .default_text = "", .help = "What the component authenticates with, one secret a line; only routers read it." },
    { .name = "disco", .type = CONFIG_BOOL, .offset = offsetof(struct component_config, disco),
      .default_text = "true", .help = "The host it is a subdomain of shows it to clients (disco#items)." },
    { .name = NULL },
};
/* clang-format on */

static enum err check_component(const void *section, struct buf *why)
{
    const struct component_config *component = section;
    struct arena arena;
    arena_init(&arena, 0);
    struct str prepared;
    enum err err = jid_prepare_domain(&arena, str_from_cstr(component->domain), &prepared);
    arena_fini(&arena);
    if (err != ERR_OK) {
        buf_printf(why, "domain: \"%s\" is no domain name", component->domain);
    }
    return err;
}

const struct config_section section_components = {
    .name = "components",
    .help = "Components (XEP-0114) that may connect; the same for edges and routers.",
    .fields = component_fields,
    .size = sizeof(struct component_config),
    .is_list = true,
    .check = check_component,
};

static const struct component_setting *make_components(
        struct arena *arena, const struct component_config *from, size_t count)
{
    struct component_setting *components = arena_calloc(arena, (count + 1) * sizeof(*components));
    for (size_t i = 0; i < count; i++) {
        struct str domain;
        enum err err = jid_prepare_domain(arena, str_from_cstr(from[i].domain), &domain);
        ASSERT(err == ERR_OK); /* check_component has seen it */
        components[i] = (struct component_setting){
            .domain = str_dup(arena, domain),
            .secret_file = str_dup(arena, str_from_cstr(from[i].secret_file)),
            .disco = from[i].disco,
        };
    }
    return components;
}

void settings_fill_components(
        struct settings *settings, struct arena *arena, const struct config *config)
{
    const struct component_config *components =
            config_get_list(config, &section_components, &settings->component_count);
    settings->components = make_components(arena, components, settings->component_count);
}

void settings_copy_components(
        struct settings *settings, struct arena *arena, const struct settings *old)
{
    struct component_setting *components =
            arena_calloc(arena, (old->component_count + 1) * sizeof(*components));
    for (size_t i = 0; i < old->component_count; i++) {
        components[i] = old->components[i];
        components[i].domain = str_dup(arena, components[i].domain);
        components[i].secret_file = str_dup(arena, components[i].secret_file);
    }
    settings->components = components;
    settings->component_count = old->component_count;
}

/* ---- looking */

const struct component_setting *settings_find_component(
        const struct settings *settings, struct str domain)
{
    for (size_t i = 0; i < settings->component_count; i++) {
        if (str_equal(settings->components[i].domain, domain)) {
            return &settings->components[i];
        }
    }
    return NULL;
}

bool settings_is_served(const struct settings *settings, struct str domain)
{
    return settings_find_host(settings, domain) || settings_find_component(settings, domain);
}

bool settings_has_somebody(const struct settings *settings, const struct jid *to)
{
    return (to->local.len > 0 && settings_find_host(settings, to->domain))
            || settings_find_component(settings, to->domain);
}

struct str settings_home_of(const struct settings *settings, struct str bare)
{
    size_t at = settings->component_count > 0 ? str_find_char(bare, '@') : bare.len;
    if (at >= bare.len) {
        return bare;
    }
    struct str domain = str_from(bare.ptr + at + 1, bare.len - at - 1);
    return settings_find_component(settings, domain) ? domain : bare;
}

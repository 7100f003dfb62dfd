/* The configuration of an edge in the form its parts use; changes in place on a reload. */
#include "edge/settings.h"

#include "chassis/base/mem.h"
#include "edge/sasl/mechanism.h"
#include "edge/settings_sections.h"
#include "proto/xmpp/jid.h"

static struct host *find_host(const struct settings *settings, struct str domain)
{
    for (size_t i = 0; i < settings->host_count; i++) {
        if (str_equal(settings->hosts[i]->domain, domain)) {
            return settings->hosts[i];
        }
    }
    return NULL;
}

static struct host *add_host(struct settings *settings, struct str domain)
{
    struct host *host = MEM_NEW(struct host);
    host->domain_text = str_to_cstr(domain);
    host->domain = str_from_cstr(host->domain_text);
    settings->hosts =
            mem_realloc(settings->hosts, (settings->host_count + 1) * sizeof(struct host *));
    settings->hosts[settings->host_count++] = host;
    return host;
}

const char *listener_kind_name(enum listener_kind kind)
{
    switch (kind) {
    case LISTENER_C2S: return "c2s";
    case LISTENER_C2S_TLS: return "c2s_tls";
    case LISTENER_COMPONENT: return "component";
    case LISTENER_COMPONENT_TLS: return "component_tls";
    }
    return "";
}

static enum err add_component(
        struct settings *settings, struct arena *arena, const char *text, struct buf *why)
{
    struct str domain;
    if (jid_prepare_domain(arena, str_from_cstr(text), &domain) != ERR_OK) {
        buf_printf(why, "components: \"%s\" is not a domain\n", text);
        return ERR_INVALID;
    }
    if (settings_find_host(settings, domain) || settings_find_component(settings, domain)) {
        buf_printf(why, "components: \"%s\" is there twice, or a host\n", text);
        return ERR_INVALID;
    }
    struct host *component = MEM_NEW(struct host);
    component->domain_text = str_to_cstr(domain);
    component->domain = str_from_cstr(component->domain_text);
    component->is_served = true;
    settings->components[settings->component_count++] = component;
    return ERR_OK;
}

static enum err take_components(
        struct settings *settings, const struct config *config, struct buf *why)
{
    size_t count = 0;
    const struct component_section *sections =
            config_get_list(config, &settings_components, &count);
    settings->components = mem_calloc(count + 1, sizeof(struct host *));
    struct arena arena;
    arena_init(&arena, 0);
    enum err err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        err = add_component(settings, &arena, sections[i].domain, why);
    }
    arena_fini(&arena);
    return err;
}

static void take_component_limits(struct settings *settings, const struct config *config)
{
    const struct component_limits_section *own = config_get(config, &settings_component_limits);
    struct c2s_settings *limits = &settings->component_copy;
    *limits = settings->c2s_copy;
    limits->max_stanza_bytes = own->max_stanza_bytes;
    limits->keepalive_interval_ms = own->keepalive_interval_ms;
    limits->user_timeout_ms = own->user_timeout_ms;
    limits->bytes_per_second = own->bytes_per_second;
    limits->burst_bytes = own->burst_bytes;
    limits->stanza_cost_bytes = own->stanza_cost_bytes;
    limits->max_unhandled_stanzas = own->max_unhandled_stanzas;
    limits->max_unhandled_bytes = own->max_unhandled_bytes;
    limits->max_write_bytes = own->max_write_bytes;
    settings->component = limits;
}

static enum err prepare_domains(const struct settings *settings,
        const struct host_section *hosts,
        size_t count,
        struct arena *arena,
        struct str *domains,
        struct buf *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; i < count; i++) {
        if (jid_prepare_domain(arena, str_from_cstr(hosts[i].domain), &domains[i]) != ERR_OK) {
            buf_printf(why, "hosts: \"%s\" is not a domain\n", hosts[i].domain);
            err = ERR_INVALID;
        } else if (settings_find_component(settings, domains[i])) {
            buf_printf(why, "hosts: \"%s\" is a component\n", hosts[i].domain);
            err = ERR_INVALID;
        }
    }
    return err;
}

static enum err take_hosts(struct settings *settings, const struct config *config, struct buf *why)
{
    size_t count = 0;
    const struct host_section *hosts = config_get_list(config, &settings_hosts, &count);
    struct arena arena;
    arena_init(&arena, 0);
    struct str *domains = arena_calloc(&arena, (count + 1) * sizeof(struct str));
    enum err err = prepare_domains(settings, hosts, count, &arena, domains, why);
    if (err != ERR_OK) {
        goto release_arena;
    }
    for (size_t i = 0; i < settings->host_count; i++) {
        settings->hosts[i]->is_served = false;
    }
    for (size_t i = 0; i < count; i++) {
        struct host *host = find_host(settings, domains[i]);
        if (!host) {
            host = add_host(settings, domains[i]);
        }
        host->is_served = true;
        host->was_served_formerly = hosts[i].formerly;
        host->registration = hosts[i].registration;
        host->accept_any_password = hosts[i].accept_any_password;
        host->tls_required = hosts[i].tls_required;
    }

release_arena:
    arena_fini(&arena);
    return err;
}

static void take_tls(struct settings *settings, const struct config *config)
{
    size_t count = 0;
    const struct certificate_section *sections =
            config_get_list(config, &settings_certificates, &count);
    const struct tls_section *tls = config_get(config, &settings_tls);
    struct tls_certificate *certificates = mem_calloc(count + 1, sizeof(*certificates));
    for (size_t i = 0; i < count; i++) {
        certificates[i] = (struct tls_certificate){
            .host = sections[i].host,
            .cert_file = sections[i].cert_file,
            .key_file = sections[i].key_file,
        };
    }
    free(settings->certificates);
    settings->certificates = certificates;
    settings->tls = (struct tls_options){
        .certificates = certificates,
        .certificate_count = count,
        .tls12 = tls->tls12,
        .ticket_keys_file = tls->ticket_keys_file,
        .alpn = "xmpp-client",
        .allow_expired = tls->allow_expired,
    };
}

static enum err read_mechanisms(
        const struct sasl_settings *sasl, struct buf *why, uint32_t *mechanisms_out)
{
    uint32_t mechanisms = 0;
    enum err err = ERR_OK;
    for (size_t i = 0; i < sasl->mechanisms.count; i++) {
        const struct sasl_mechanism *mechanism =
                sasl_mechanism_find(str_from_cstr(sasl->mechanisms.items[i]));
        if (mechanism) {
            mechanisms |= UINT32_C(1) << (mechanism - sasl_mechanisms);
        } else {
            buf_printf(why, "sasl.mechanisms: unknown \"%s\"\n", sasl->mechanisms.items[i]);
            err = ERR_INVALID;
        }
    }
    *mechanisms_out = mechanisms;
    return err;
}

enum err settings_reload(struct settings *settings, const struct config *config, struct buf *why)
{
    uint32_t mechanisms = 0;
    enum err err = read_mechanisms(config_get(config, &settings_sasl), why, &mechanisms);
    if (err == ERR_OK) {
        err = take_hosts(settings, config, why);
    }
    if (err != ERR_OK) {
        return err;
    }
    settings->mechanisms = mechanisms;
    settings->c2s_copy = *(const struct c2s_settings *)config_get(config, &settings_c2s);
    settings->c2s = &settings->c2s_copy;
    take_component_limits(settings, config);
    take_tls(settings, config);
    return ERR_OK;
}

struct settings *settings_create(const struct config *config, struct buf *why)
{
    const struct cluster_section *cluster = config_get(config, &settings_cluster);
    struct settings *settings = MEM_NEW(struct settings);
    settings->shards = (unsigned)cluster->shards;
    settings->listeners = config_get_list(config, &settings_listeners, &settings->listener_count);
    if (settings_reload(settings, config, why) != ERR_OK
            || take_components(settings, config, why) != ERR_OK) {
        settings_destroy(settings);
        return NULL;
    }
    return settings;
}

void settings_destroy(struct settings *settings)
{
    if (!settings) {
        return;
    }
    for (size_t i = 0; i < settings->host_count; i++) {
        free(settings->hosts[i]->domain_text);
        free(settings->hosts[i]);
    }
    for (size_t i = 0; i < settings->component_count; i++) {
        free(settings->components[i]->domain_text);
        free(settings->components[i]);
    }
    free(settings->components);
    free(settings->hosts);
    free(settings->certificates);
    free(settings);
}

const struct host *settings_find_host(const struct settings *settings, struct str domain)
{
    const struct host *host = find_host(settings, domain);
    return host && host->is_served ? host : NULL;
}

const struct host *settings_find_component(const struct settings *settings, struct str domain)
{
    for (size_t i = 0; i < settings->component_count; i++) {
        if (str_equal(settings->components[i]->domain, domain)) {
            return settings->components[i];
        }
    }
    return NULL;
}

const struct host *settings_default_host(const struct settings *settings)
{
    for (size_t i = 0; i < settings->host_count; i++) {
        if (settings->hosts[i]->is_served && !settings->hosts[i]->was_served_formerly) {
            return settings->hosts[i];
        }
    }
    return NULL;
}

bool settings_has_mechanism(const struct settings *settings, const struct sasl_mechanism *mechanism)
{
    return (settings->mechanisms >> (mechanism - sasl_mechanisms)) & 1;
}

void settings_preauth_limits(const struct settings *settings, struct xml_limits *limits_out)
{
    const struct c2s_settings *c2s = settings->c2s;
    *limits_out = (struct xml_limits){
        .max_stanza_bytes = (size_t)c2s->preauth_max_stanza_bytes,
        .max_token_bytes = (size_t)c2s->preauth_max_token_bytes,
        .max_depth = (uint32_t)c2s->preauth_max_depth,
        .max_elements = (uint32_t)c2s->preauth_max_elements,
    };
}

void settings_session_limits(const struct c2s_settings *of, struct xml_limits *limits_out)
{
    *limits_out = (struct xml_limits){
        .max_stanza_bytes = (size_t)of->max_stanza_bytes,
        .max_token_bytes = (size_t)of->max_token_bytes,
        .max_depth = (uint32_t)of->max_depth,
        .max_elements = (uint32_t)of->max_elements,
    };
}

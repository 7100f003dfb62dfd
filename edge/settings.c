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

static enum err prepare_domains(const struct host_section *hosts,
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
    enum err err = prepare_domains(hosts, count, &arena, domains, why);
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
    take_tls(settings, config);
    return ERR_OK;
}

struct settings *settings_create(const struct config *config, struct buf *why)
{
    const struct cluster_section *cluster = config_get(config, &settings_cluster);
    struct settings *settings = MEM_NEW(struct settings);
    settings->shards = (unsigned)cluster->shards;
    settings->listeners = config_get_list(config, &settings_listeners, &settings->listener_count);
    if (settings_reload(settings, config, why) != ERR_OK) {
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
    free(settings->hosts);
    free(settings->certificates);
    free(settings);
}

const struct host *settings_find_host(const struct settings *settings, struct str domain)
{
    const struct host *host = find_host(settings, domain);
    return host && host->is_served ? host : NULL;
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

void settings_session_limits(const struct settings *settings, struct xml_limits *limits_out)
{
    const struct c2s_settings *c2s = settings->c2s;
    *limits_out = (struct xml_limits){
        .max_stanza_bytes = (size_t)c2s->max_stanza_bytes,
        .max_token_bytes = (size_t)c2s->max_token_bytes,
        .max_depth = (uint32_t)c2s->max_depth,
        .max_elements = (uint32_t)c2s->max_elements,
    };
}

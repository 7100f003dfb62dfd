/* The sections as the configuration fills them; for settings.c only. */
#pragma once

#include "edge/settings.h"

struct cluster_section {
    int64_t shards;
};
struct host_section {
    char *domain;
    bool formerly, registration, accept_any_password, tls_required;
    int resource_conflict; /* the router's business, like: */
    int64_t stanzas_per_second;
    int64_t registrations_per_hour;
    int64_t resume_timeout_ms;
};
struct component_section {
    char *domain;
    char *secret_file; /* this and the rest: the router's business */
    bool disco;
};
/* What a component's stream has of its own instead of c2s. */
struct component_limits_section {
    int64_t max_stanza_bytes, keepalive_interval_ms, user_timeout_ms;
    int64_t bytes_per_second, burst_bytes, stanza_cost_bytes;
    int64_t max_unhandled_stanzas, max_unhandled_bytes, max_write_bytes;
};
struct certificate_section {
    char *host, *cert_file, *key_file;
};
struct tls_section {
    bool tls12, allow_expired;
    char *ticket_keys_file;
};

extern const struct config_section settings_cluster, settings_hosts, settings_components,
        settings_listeners, settings_certificates, settings_tls, settings_c2s,
        settings_component_limits, settings_sasl;

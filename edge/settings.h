/* The edge's configuration as its parts read it: sections cluster, hosts, components, listeners,
 * certificates, tls, c2s, component_limits, sasl. A reload changes the struct in place, so pointers
 * to it stay good. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "chassis/config.h"
#include "edge/tls_context.h"
#include "proto/xmpp/xml_reader.h"

/* A virtual host. Lives as long as the settings: a host that a reload removes is only marked, since
 * streams point to it. */
struct host {
    char *domain_text;
    struct str domain;        /* prepared */
    bool is_served;           /* false: removed by a reload */
    bool was_served_formerly; /* answered with host-gone (A03) */
    bool registration;        /* XEP-0077 in-band */
    bool accept_any_password; /* test builds only */
    bool tls_required;
};

enum listener_kind {
    LISTENER_C2S,           /* STARTTLS */
    LISTENER_C2S_TLS,       /* direct TLS, XEP-0368 */
    LISTENER_COMPONENT,     /* XEP-0114, without TLS */
    LISTENER_COMPONENT_TLS, /* TLS from the first byte */
};
const char *listener_kind_name(enum listener_kind kind);

struct listener_setting {
    int kind;      /* enum listener_kind */
    char *address; /* "": every one for clients, loopback for components */
    int64_t port;
    bool allow_plain; /* LISTENER_COMPONENT elsewhere than on loopback */
    struct config_strings proxy_networks;
};

struct c2s_settings {
    int64_t preauth_max_stanza_bytes, preauth_max_token_bytes, preauth_max_depth,
            preauth_max_elements;
    int64_t max_stanza_bytes, max_token_bytes, max_depth, max_elements;
    int64_t handshake_timeout_ms, header_timeout_ms, negotiation_timeout_ms;
    int64_t keepalive_interval_ms, user_timeout_ms, parser_idle_ms;
    int64_t max_connections, max_connections_per_address, max_attempts_per_minute;
    int64_t max_auth_failures, max_auth_attempts, sasl_failure_delay_ms;
    int64_t bytes_per_second, burst_bytes, stanza_cost_bytes, flood_timeout_ms;
    int64_t max_unhandled_stanzas, max_unhandled_bytes, max_unhandled_total_bytes;
    int64_t max_write_bytes, read_bytes_per_turn;
    int64_t max_lingering_sessions, linger_timeout_ms;
    int64_t drain_window_ms;
    int64_t sm_request_every, sm_request_bytes, sm_request_after_ms, sm_ack_timeout_ms;
    int64_t proxy_timeout_ms;
    bool client_state; /* XEP-0352 is offered */
};

struct sasl_settings {
    struct config_strings mechanisms; /* names; the order is ours (strongest first) */
};

struct settings {
    unsigned shards;
    struct host **hosts;
    size_t host_count;
    struct host **components; /* XEP-0114; never change */
    size_t component_count;
    const struct c2s_settings *c2s;       /* = &c2s_copy */
    const struct c2s_settings *component; /* likewise; what is not a component's own is as in c2s */
    struct c2s_settings c2s_copy, component_copy;
    uint32_t mechanisms; /* bit i: sasl_mechanisms[i] may be offered */
    /* Of the configuration the process started with: */
    const struct listener_setting *listeners;
    size_t listener_count;
    /* Valid until the next reload; .certificates is owned here. */
    struct tls_options tls;
    struct tls_certificate *certificates;
};

/* All sections an edge reads; NULL-terminated. */
extern const struct config_section *const settings_sections[];

/* NULL: a host is not usable; `why` says which. */
struct settings *settings_create(const struct config *config, struct buf *why);
void settings_destroy(struct settings *settings); /* accepts NULL */
/* Takes over what may change while running: hosts, limits, certificates. On error nothing changes.
 * Listeners and the number of shards stay as they were. */
MUST_USE enum err settings_reload(
        struct settings *settings, const struct config *config, struct buf *why);

/* `domain` is prepared. NULL: never heard of it. */
const struct host *settings_find_host(const struct settings *settings, struct str domain);
const struct host *settings_find_component(const struct settings *settings, struct str domain);
/* For a header that names no host of ours: the first one. NULL without hosts. */
const struct host *settings_default_host(const struct settings *settings);
struct sasl_mechanism;
bool settings_has_mechanism(
        const struct settings *settings, const struct sasl_mechanism *mechanism);

void settings_preauth_limits(const struct settings *settings, struct xml_limits *limits_out);
/* `of`: settings->c2s or settings->component. */
void settings_session_limits(const struct c2s_settings *of, struct xml_limits *limits_out);

/* The field tables of the edge: what may stand in the file, with defaults and bounds. */
#include "edge/settings_sections.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "chassis/base/attr.h"
#include "chassis/link.h"
#include "chassis/redis.h"

static enum err check_host(const void *section, struct buf *why)
{
    const struct host_section *host = section;
#ifndef STARLING_TEST_BUILD
    if (host->accept_any_password) {
        buf_printf(why, "accept_any_password exists in test builds only");
        return ERR_INVALID;
    }
#endif
    if (host->domain[0] == '\0') {
        buf_printf(why, "domain must not be empty");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err check_component(const void *section, struct buf *why)
{
    const struct component_section *component = section;
    if (component->domain[0] == '\0') {
        buf_printf(why, "domain must not be empty");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static bool is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* XEP-0114 has no STARTTLS. */
static enum err check_listener(const void *section, struct buf *why)
{
    const struct listener_setting *listener = section;
    bool is_exposed = listener->kind == LISTENER_COMPONENT && listener->address[0] != '\0'
            && !is_loopback(listener->address);
    if (is_exposed && !listener->allow_plain) {
        buf_printf(why,
                "address: %s is not loopback; use component_tls, or say allow_plain",
                listener->address);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* clang-format off */
#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define MINUTE INT64_C(60000)
#define DAY    INT64_C(86400000)

static const struct config_field cluster_fields[] = {
    { "shards", CONFIG_INT, offsetof(struct cluster_section, shards), "256", 1, 65536, NULL, "Number of shards; fixed for the life of a cluster." },
    { .name = NULL },
};
const struct config_section settings_cluster = {
    .name = "cluster", .help = "What all processes of a cluster must agree on.",
    .fields = cluster_fields, .size = sizeof(struct cluster_section),
};

static const char *const conflict_words[] = { "replace", "refuse", NULL };
#define HOST(field) offsetof(struct host_section, field)
static const struct config_field host_fields[] = {
    { "domain", CONFIG_STRING, HOST(domain), NULL, 0, 0, NULL, "Domain that is served." },
    { "formerly", CONFIG_BOOL, HOST(formerly), "false", 0, 0, NULL, "Was served once: streams to it end with host-gone." },
    { "registration", CONFIG_BOOL, HOST(registration), "false", 0, 0, NULL, "Anybody may create an account (XEP-0077)." },
    { "accept_any_password", CONFIG_BOOL, HOST(accept_any_password), "false", 0, 0, NULL, "Any user enters with any password; test builds only." },
    { "tls_required", CONFIG_BOOL, HOST(tls_required), "true", 0, 0, NULL, "Clients must use TLS before they authenticate." },
    { "resource_conflict", CONFIG_ENUM, HOST(resource_conflict), "replace", 0, 0, conflict_words, "A resource that is bound already: replace ends the old stream, refuse the new one." },
    { "stanzas_per_second", CONFIG_INT, HOST(stanzas_per_second), "0", 0, 100000000, NULL, "Stanzas of all accounts of the domain, over all routers; 0: no limit." },
    { "registrations_per_hour", CONFIG_INT, HOST(registrations_per_hour), "0", 0, 1000000000, NULL, "Registrations the domain accepts in an hour; 0: register.per_hour." },
    { "resume_timeout", CONFIG_DURATION, HOST(resume_timeout_ms), "0s", 0, 86400000, NULL, "Sessions of the domain wait so long to be resumed (XEP-0198); 0s: sm.resume_timeout of the routers." },
    { .name = NULL },
};
const struct config_section settings_hosts = {
    .name = "hosts", .help = "The domains that are served.", .fields = host_fields,
    .size = sizeof(struct host_section), .is_list = true, .may_reload = true, .check = check_host,
};

#define COMPONENT(field) offsetof(struct component_section, field)
static const struct config_field component_fields[] = {
    { "domain", CONFIG_STRING, COMPONENT(domain), NULL, 0, 0, NULL, "Domain of the component; everything at it is the component's." },
    { "secret_file", CONFIG_PATH, COMPONENT(secret_file), "", 0, 0, NULL, "What the component authenticates with, one secret a line; only routers read it." },
    { "disco", CONFIG_BOOL, COMPONENT(disco), "true", 0, 0, NULL, "The host it is a subdomain of shows it to clients (disco#items)." },
    { .name = NULL },
};
const struct config_section settings_components = {
    .name = "components", .help = "Components (XEP-0114) that may connect; the same for edges and routers.", .fields = component_fields,
    .size = sizeof(struct component_section), .is_list = true, .check = check_component,
};

static const char *const listener_words[] = { "c2s", "c2s_tls", "component", "component_tls", NULL };
#define LISTENER(field) offsetof(struct listener_setting, field)
static const struct config_field listener_fields[] = {
    { "kind", CONFIG_ENUM, LISTENER(kind), "c2s", 0, 0, listener_words, "c2s: clients with STARTTLS; c2s_tls: clients with TLS from the first byte; component, component_tls: the same for components (XEP-0114), where component has no TLS at all." },
    { "address", CONFIG_STRING, LISTENER(address), "", 0, 0, NULL, "Numeric address to listen on; :: for all; empty: all for clients, 127.0.0.1 for components." },
    { "port", CONFIG_INT, LISTENER(port), "5222", 0, 65535, NULL, "Port; 0 lets the kernel choose." },
    { "allow_plain", CONFIG_BOOL, LISTENER(allow_plain), "false", 0, 0, NULL, "A listener of the kind component may be elsewhere than on loopback: secrets do not cross the wire, stanzas do." },
    { "proxy_networks", CONFIG_LIST, LISTENER(proxy_networks), "", 0, 0, NULL, "Networks (CIDR) of load balancers: connections from them begin with a PROXY header." },
    { .name = NULL },
};
const struct config_section settings_listeners = {
    .name = "listeners", .help = "Ports for clients and components.", .fields = listener_fields,
    .size = sizeof(struct listener_setting), .is_list = true, .check = check_listener,
};

#define CERTIFICATE(field) offsetof(struct certificate_section, field)
static const struct config_field certificate_fields[] = {
    { "host", CONFIG_STRING, CERTIFICATE(host), "", 0, 0, NULL, "SNI name it serves; empty: the default for every name." },
    { "cert_file", CONFIG_PATH, CERTIFICATE(cert_file), NULL, 0, 0, NULL, "Certificate chain, PEM." },
    { "key_file", CONFIG_PATH, CERTIFICATE(key_file), NULL, 0, 0, NULL, "Private key, PEM." },
    { .name = NULL },
};
const struct config_section settings_certificates = {
    .name = "certificates", .help = "Certificates; several of different key types for one host are allowed.",
    .fields = certificate_fields, .size = sizeof(struct certificate_section), .is_list = true, .may_reload = true,
};

#define TLS(field) offsetof(struct tls_section, field)
static const struct config_field tls_fields[] = {
    { "tls12", CONFIG_BOOL, TLS(tls12), "true", 0, 0, NULL, "TLS 1.2 besides 1.3." },
    { "ticket_keys_file", CONFIG_PATH, TLS(ticket_keys_file), "", 0, 0, NULL, "Session ticket keys that all edges share, one per line (160 hex digits); empty: a key of this process only." },
    { "allow_expired", CONFIG_BOOL, TLS(allow_expired), "false", 0, 0, NULL, "Start with an expired certificate." },
    { .name = NULL },
};
const struct config_section settings_tls = {
    .name = "tls", .help = "TLS with clients.", .fields = tls_fields, .size = sizeof(struct tls_section), .may_reload = true,
};

#define C2S(field) offsetof(struct c2s_settings, field)
static const struct config_field c2s_fields[] = {
    { "preauth_max_stanza_bytes", CONFIG_SIZE, C2S(preauth_max_stanza_bytes), "10000", 1000, MIB, NULL, "Size of one element before authentication." },
    { "preauth_max_token_bytes", CONFIG_SIZE, C2S(preauth_max_token_bytes), "10000", 1000, MIB, NULL, "Size of one tag or piece of text before authentication." },
    { "preauth_max_depth", CONFIG_INT, C2S(preauth_max_depth), "16", 4, 1000, NULL, "Nesting before authentication." },
    { "preauth_max_elements", CONFIG_INT, C2S(preauth_max_elements), "32", 8, 10000, NULL, "Elements inside one element before authentication." },
    { "max_stanza_bytes", CONFIG_SIZE, C2S(max_stanza_bytes), "262144", 10000, 16 * MIB, NULL, "Size of one stanza." },
    { "max_token_bytes", CONFIG_SIZE, C2S(max_token_bytes), "64KiB", 10000, 16 * MIB, NULL, "Size of one tag or piece of text of a stanza." },
    { "max_depth", CONFIG_INT, C2S(max_depth), "100", 16, 1000, NULL, "Nesting of a stanza." },
    { "max_elements", CONFIG_INT, C2S(max_elements), "25000", 100, 1000000, NULL, "Elements of a stanza." },
    { "handshake_timeout", CONFIG_DURATION, C2S(handshake_timeout_ms), "10s", 100, 10 * MINUTE, NULL, "For the TLS handshake." },
    { "header_timeout", CONFIG_DURATION, C2S(header_timeout_ms), "30s", 100, 10 * MINUTE, NULL, "For a stream header." },
    { "negotiation_timeout", CONFIG_DURATION, C2S(negotiation_timeout_ms), "60s", 100, 60 * MINUTE, NULL, "From connecting to a bound resource." },
    { "keepalive_interval", CONFIG_DURATION, C2S(keepalive_interval_ms), "5m", 1000, DAY, NULL, "Silence after which a space is sent." },
    { "user_timeout", CONFIG_DURATION, C2S(user_timeout_ms), "2m", 1000, DAY, NULL, "How long the client's kernel may leave sent bytes unacknowledged (TCP_USER_TIMEOUT)." },
    { "parser_idle", CONFIG_DURATION, C2S(parser_idle_ms), "2s", 10, DAY, NULL, "Silence after which a session gives its parser's memory back." },
    { "max_connections", CONFIG_INT, C2S(max_connections), "18000", 1, 10000000, NULL, "Connections of this process." },
    { "max_connections_per_address", CONFIG_INT, C2S(max_connections_per_address), "1000", 1, 10000000, NULL, "Connections at once from one address (IPv6: from one /64)." },
    { "max_attempts_per_minute", CONFIG_INT, C2S(max_attempts_per_minute), "3000", 1, 10000000, NULL, "Connection attempts from one address in a minute." },
    { "max_auth_failures", CONFIG_INT, C2S(max_auth_failures), "5", 1, 100, NULL, "Wrong passwords on one stream; a further attempt ends it." },
    { "max_auth_attempts", CONFIG_INT, C2S(max_auth_attempts), "20", 1, 1000, NULL, "Failed authentications of any kind on one stream (mechanisms tried in vain); a further attempt ends it." },
    { "sasl_failure_delay", CONFIG_DURATION, C2S(sasl_failure_delay_ms), "200ms", 0, MINUTE, NULL, "Wait before a failure is told; grows with the failures of an address." },
    { "bytes_per_second", CONFIG_SIZE, C2S(bytes_per_second), "1MiB", 1000, GIB, NULL, "What is read of one client in the long run." },
    { "burst_bytes", CONFIG_SIZE, C2S(burst_bytes), "2MiB", 1000, GIB, NULL, "What is read of one client at once." },
    { "stanza_cost_bytes", CONFIG_SIZE, C2S(stanza_cost_bytes), "200", 0, MIB, NULL, "What each stanza counts in bytes_per_second and burst_bytes besides its bytes: 5000 small ones a second are as much as 1MiB." },
    { "flood_timeout", CONFIG_DURATION, C2S(flood_timeout_ms), "60s", 100, DAY, NULL, "A client that sends faster than its rate for so long is cut off." },
    { "max_unhandled_stanzas", CONFIG_INT, C2S(max_unhandled_stanzas), "64", 1, 100000, NULL, "Stanzas of a session that no router has answered for yet; no more are read." },
    { "max_unhandled_bytes", CONFIG_SIZE, C2S(max_unhandled_bytes), "256KiB", 1000, GIB, NULL, "The same in bytes." },
    { "max_unhandled_total_bytes", CONFIG_SIZE, C2S(max_unhandled_total_bytes), "256MiB", MIB, 1024 * GIB, NULL, "The same over all sessions of the process." },
    { "max_write_bytes", CONFIG_SIZE, C2S(max_write_bytes), "1MiB", 64 * KIB, GIB, NULL, "Bytes that wait for a client that does not read; then it is cut off." },
    { "read_bytes_per_turn", CONFIG_SIZE, C2S(read_bytes_per_turn), "64KiB", KIB, 16 * MIB, NULL, "What is read of one connection before the next has its turn." },
    { "max_lingering_sessions", CONFIG_INT, C2S(max_lingering_sessions), "20000", 1, 10000000, NULL, "Ended sessions whose last stanzas wait for a router." },
    { "linger_timeout", CONFIG_DURATION, C2S(linger_timeout_ms), "60s", 1000, DAY, NULL, "How long an ended session waits for an answer of a router that can be reached." },
    { "drain_window", CONFIG_DURATION, C2S(drain_window_ms), "5s", 0, 60 * MINUTE, NULL, "Streams are ended spread over this time when the process is told to stop." },
    { "sm_request_every", CONFIG_INT, C2S(sm_request_every), "10", 1, 100000, NULL, "Stanzas written to a client with stream management (XEP-0198) before it is asked to acknowledge." },
    { "sm_request_bytes", CONFIG_SIZE, C2S(sm_request_bytes), "64KiB", KIB, GIB, NULL, "The same in bytes." },
    { "sm_request_after", CONFIG_DURATION, C2S(sm_request_after_ms), "2s", 10, 10 * MINUTE, NULL, "The same for fewer and smaller stanzas: this long after the last one." },
    { "sm_ack_timeout", CONFIG_DURATION, C2S(sm_ack_timeout_ms), "60s", 100, DAY, NULL, "A client that does not acknowledge when asked is dead; its session waits for another connection." },
    { "client_state", CONFIG_BOOL, C2S(client_state), "true", 0, 0, NULL, "Offer clients to say when nobody looks at them (XEP-0352); what may wait then is section csi of the routers. false: what they say is ignored." },
    { "proxy_timeout", CONFIG_DURATION, C2S(proxy_timeout_ms), "5s", 100, MINUTE, NULL, "For the PROXY header of a load balancer." },
    { .name = NULL },
};
const struct config_section settings_c2s = {
    .name = "c2s", .help = "Limits of client streams.", .fields = c2s_fields, .size = sizeof(struct c2s_settings), .may_reload = true,
};

#define LIMIT(field) offsetof(struct component_limits_section, field)
static const struct config_field component_limits_fields[] = {
    { "max_stanza_bytes", CONFIG_SIZE, LIMIT(max_stanza_bytes), "262144", 10000, 16 * MIB, NULL, "Size of one stanza." },
    { "keepalive_interval", CONFIG_DURATION, LIMIT(keepalive_interval_ms), "1m", 1000, DAY, NULL, "Silence after which a space is sent." },
    { "user_timeout", CONFIG_DURATION, LIMIT(user_timeout_ms), "30s", 1000, DAY, NULL, "How long the component's kernel may leave sent bytes unacknowledged (TCP_USER_TIMEOUT)." },
    { "bytes_per_second", CONFIG_SIZE, LIMIT(bytes_per_second), "16MiB", 1000, GIB, NULL, "What is read of one component in the long run." },
    { "burst_bytes", CONFIG_SIZE, LIMIT(burst_bytes), "32MiB", 1000, GIB, NULL, "What is read of one component at once." },
    { "stanza_cost_bytes", CONFIG_SIZE, LIMIT(stanza_cost_bytes), "200", 0, MIB, NULL, "What each stanza counts in those besides its bytes." },
    { "max_unhandled_stanzas", CONFIG_INT, LIMIT(max_unhandled_stanzas), "1000", 1, 100000, NULL, "Stanzas of a component that no router has answered for yet; no more are read." },
    { "max_unhandled_bytes", CONFIG_SIZE, LIMIT(max_unhandled_bytes), "4MiB", 1000, GIB, NULL, "The same in bytes." },
    { "max_write_bytes", CONFIG_SIZE, LIMIT(max_write_bytes), "16MiB", 64 * KIB, GIB, NULL, "Bytes that wait for a component that does not read; then it is cut off." },
    { .name = NULL },
};
const struct config_section settings_component_limits = {
    .name = "component_limits", .help = "Limits of components' streams where they are not those of section c2s.",
    .fields = component_limits_fields, .size = sizeof(struct component_limits_section), .may_reload = true,
};

static const struct config_field sasl_fields[] = {
    { "mechanisms", CONFIG_LIST, offsetof(struct sasl_settings, mechanisms),
      "SCRAM-SHA-512-PLUS,SCRAM-SHA-512,SCRAM-SHA-256-PLUS,SCRAM-SHA-256,SCRAM-SHA-1-PLUS,SCRAM-SHA-1,PLAIN,"
      "HT-SHA-256-EXPR,HT-SHA-256-ENDP,HT-SHA-256-NONE",
      0, 0, NULL, "SASL mechanisms that may be offered; PLAIN inside TLS only, -PLUS, -EXPR and -ENDP where a channel binding exists; HT- are tokens instead of passwords (XEP-0484)." },
    { .name = NULL },
};
const struct config_section settings_sasl = {
    .name = "sasl", .help = "Authentication.", .fields = sasl_fields, .size = sizeof(struct sasl_settings), .may_reload = true,
};
/* clang-format on */

const struct config_section *const settings_sections[] = {
    &settings_cluster,
    &settings_hosts,
    &settings_components,
    &settings_listeners,
    &settings_certificates,
    &settings_tls,
    &settings_c2s,
    &settings_component_limits,
    &settings_sasl,
    &config_section_bus,
    &config_section_redis,
    NULL,
};

/* The field tables of the router's sections: bounds, defaults and the sentences of the manual. */
#include "router/settings.h"

#include "chassis/base/arena.h"
#include "chassis/base/mem.h"
#include "chassis/link.h"
#include "chassis/pg.h"
#include "chassis/redis.h"
#include "proto/xmpp/jid.h"
#include "router/settings_accounts.h"
#include "router/settings_features.h"
#include "router/settings_limits.h"

#define HOUR_MS      INT64_C(3600000)
#define HOST_BURST_S 10

/* XEP-0198: <enabled max=''/> is in seconds. */
#define MIN_RESUME_MS 1000
#define MAX_RESUME_MS 86400000

struct cluster_config {
    int64_t shards;
};

struct host_config {
    char *domain;
    bool formerly;
    bool registration;
    bool accept_any_password;
    bool tls_required;
    int resource_conflict;
    int64_t stanzas_per_second;
    int64_t registrations_per_hour;
    int64_t resume_timeout_ms;
};

struct router_config {
    int64_t component_wait_ms;
    int64_t component_timeout_ms;
    int64_t lease_ms;
    int64_t login_connections;
    int64_t max_entities;
    int64_t entity_idle_ms;
    int64_t max_mailbox;
    int64_t max_uncommitted_bytes;
    char *token_key_file;
    char *storage_key_file;
    char *storage_other_keys_file;
};

struct messages_config {
    int durability;
    int64_t commit_interval_ms;
    int64_t commit_timeout_ms;
    int64_t archive_patience_ms;
    int64_t catch_up_page_entries;
    int64_t catch_up_page_bytes;
};

struct register_config {
    int64_t scram_iterations;
    int64_t max_resources;
    int64_t per_hour;
};

struct fast_config {
    int64_t token_lifetime_ms;
    int64_t rotate_after_ms;
    int64_t max_clients;
};

struct roster_config {
    int64_t max_items;
    int64_t max_groups;
    int64_t max_name_bytes;
    int64_t max_bytes;
    int64_t subscriptions_per_hour;
};

struct presence_config {
    int64_t max_directed;
};

struct version_config {
    bool show;
};

struct sm_config {
    int64_t resume_timeout_ms;
    int64_t max_unacked_stanzas;
    int64_t ack_patience_ms;
    int64_t max_unacked_bytes;
    int64_t send_window_bytes;
};

struct csi_config {
    int64_t max_held;
    int64_t max_held_bytes;
};

enum {
    DURABILITY_COMMITTED,
    DURABILITY_ROUTED,
};

static const char *const durability_words[] = { "committed", "routed", NULL };
static const char *const conflict_words[] = { "replace", "refuse", NULL };

/* clang-format off */
static const struct config_field cluster_fields[] = {
    { .name = "shards", .type = CONFIG_INT, .offset = offsetof(struct cluster_config, shards),
      .default_text = "256", .min = 1, .max = 65536,
      .help = "Number of shards the accounts are spread over; the same everywhere, never changed later." },
    { .name = NULL },
};

static const struct config_field host_fields[] = {
    { .name = "domain", .type = CONFIG_STRING, .offset = offsetof(struct host_config, domain),
      .default_text = NULL, .help = "Domain part of the addresses served." },
    { .name = "formerly", .type = CONFIG_BOOL, .offset = offsetof(struct host_config, formerly),
      .default_text = "false", .help = "The domain is no longer served: streams to it end with host-gone." },
    { .name = "registration", .type = CONFIG_BOOL, .offset = offsetof(struct host_config, registration),
      .default_text = "false", .help = "Anybody may create an account in-band (XEP-0077)." },
    { .name = "accept_any_password", .type = CONFIG_BOOL,
      .offset = offsetof(struct host_config, accept_any_password), .default_text = "false",
      .help = "Accept any user with any password; only test builds take it." },
    { .name = "tls_required", .type = CONFIG_BOOL, .offset = offsetof(struct host_config, tls_required),
      .default_text = "true", .help = "Offer authentication only inside TLS." },
    { .name = "resource_conflict", .type = CONFIG_ENUM,
      .offset = offsetof(struct host_config, resource_conflict), .default_text = "replace",
      .choices = conflict_words,
      .help = "A second session with the same resource replaces the first one or is refused." },
    { .name = "stanzas_per_second", .type = CONFIG_INT,
      .offset = offsetof(struct host_config, stanzas_per_second), .default_text = "0",
      .min = 0, .max = 100000000,
      .help = "Stanzas of all accounts of the domain, over all routers, ten seconds' worth at once; what is more comes back "
              "with policy-violation; 0: no limit." },
    { .name = "registrations_per_hour", .type = CONFIG_INT,
      .offset = offsetof(struct host_config, registrations_per_hour), .default_text = "0",
      .min = 0, .max = 1000000000,
      .help = "In-band registrations the domain accepts in an hour, over all routers; 0: register.per_hour." },
    { .name = "resume_timeout", .type = CONFIG_DURATION,
      .offset = offsetof(struct host_config, resume_timeout_ms), .default_text = "0s",
      .min = 0, .max = MAX_RESUME_MS,
      .help = "Sessions of the domain whose connection was lost wait so long for their clients, a second at least; "
              "0s: sm.resume_timeout." },
    { .name = NULL },
};

static const struct config_field router_fields[] = {
    { .name = "lease", .type = CONFIG_DURATION, .offset = offsetof(struct router_config, lease_ms),
      .default_text = "3s", .min = 1500, .max = 60000,
      .help = "How long a router may serve its shards without renewing its lease in PostgreSQL." },
    { .name = "login_connections", .type = CONFIG_INT,
      .offset = offsetof(struct router_config, login_connections), .default_text = "2", .min = 1, .max = 64,
      .help = "PostgreSQL connections for accounts and tokens alone, besides postgres_router.connections: slow rosters hold up no login." },
    { .name = "max_entities", .type = CONFIG_INT, .offset = offsetof(struct router_config, max_entities),
      .default_text = "200000", .min = 16, .max = 100000000,
      .help = "Accounts kept in memory; idle ones leave beyond it." },
    { .name = "entity_idle", .type = CONFIG_DURATION, .offset = offsetof(struct router_config, entity_idle_ms),
      .default_text = "60s", .min = 100, .max = 86400000,
      .help = "An account without session or work leaves memory after this time." },
    { .name = "max_mailbox", .type = CONFIG_INT, .offset = offsetof(struct router_config, max_mailbox),
      .default_text = "10000", .min = 10, .max = 10000000,
      .help = "Stanzas that may wait at one account; beyond it senders get resource-constraint." },
    { .name = "max_uncommitted_bytes", .type = CONFIG_SIZE,
      .offset = offsetof(struct router_config, max_uncommitted_bytes), .default_text = "64MiB",
      .min = 1 << 20, .max = INT64_C(1) << 36,
      .help = "Messages that may wait for archive-svc; beyond it new ones get a retryable error." },
    { .name = "component_wait", .type = CONFIG_DURATION,
      .offset = offsetof(struct router_config, component_wait_ms), .default_text = "5s", .min = 0, .max = 600000,
      .help = "Stanzas for a component that has just been lost wait so long for it to connect again." },
    { .name = "component_timeout", .type = CONFIG_DURATION,
      .offset = offsetof(struct router_config, component_timeout_ms), .default_text = "30s", .min = 100, .max = 600000,
      .help = "A component that takes no message for so long is cut off." },
    { .name = "token_key_file", .type = CONFIG_PATH, .offset = offsetof(struct router_config, token_key_file),
      .default_text = NULL,
      .help = "Secret of at least 32 bytes that all routers share and edges must not read." },
    { .name = "storage_key_file", .type = CONFIG_PATH,
      .offset = offsetof(struct router_config, storage_key_file), .default_text = NULL,
      .help = "Secret of at least 32 bytes, shared by all routers, that wraps the keys of what accounts store; lost, "
              "rosters are lost." },
    { .name = "storage_other_keys_file", .type = CONFIG_PATH,
      .offset = offsetof(struct router_config, storage_other_keys_file), .default_text = "",
      .help = "Former and coming contents of storage_key_file, one a line: what they have wrapped opens, and is wrapped "
              "anew by storage_key_file. A former one also blocks names of deleted accounts, until tombstone_days after "
              "it was replaced; empty: none." },
    { .name = NULL },
};

static const struct config_field messages_fields[] = {
    { .name = "durability", .type = CONFIG_ENUM, .offset = offsetof(struct messages_config, durability),
      .default_text = "committed", .choices = durability_words,
      .help = "committed: a message is delivered and acknowledged after PostgreSQL has it. routed: when it has "
              "been sent to the recipient's sessions, which a router that ends forgets, and so does an edge that dies "
              "before a client without stream management has it; only messages for offline users are kept." },
    { .name = "commit_interval", .type = CONFIG_DURATION,
      .offset = offsetof(struct messages_config, commit_interval_ms), .default_text = "2ms",
      .min = 0, .max = 100,
      .help = "Least time between two small groups of writes while messages flow; a longer one costs less." },
    { .name = "commit_timeout", .type = CONFIG_DURATION,
      .offset = offsetof(struct messages_config, commit_timeout_ms), .default_text = "10s",
      .min = 500, .max = 600000,
      .help = "A message that could not even be handed to the store for so long bounces." },
    { .name = "archive_patience", .type = CONFIG_DURATION,
      .offset = offsetof(struct messages_config, archive_patience_ms), .default_text = "2s",
      .min = 100, .max = 600000,
      .help = "What an archive-svc leaves unanswered for so long is asked of another one, too; well below commit_timeout." },
    { .name = "catch_up_page_entries", .type = CONFIG_INT,
      .offset = offsetof(struct messages_config, catch_up_page_entries), .default_text = "100",
      .min = 1, .max = 10000, .help = "Stored messages sent to a client before it has confirmed some." },
    { .name = "catch_up_page_bytes", .type = CONFIG_SIZE,
      .offset = offsetof(struct messages_config, catch_up_page_bytes), .default_text = "256KiB",
      .min = 4096, .max = 1 << 24, .help = "The same in bytes." },
    { .name = NULL },
};

static const struct config_field register_fields[] = {
    { .name = "scram_iterations", .type = CONFIG_INT,
      .offset = offsetof(struct register_config, scram_iterations), .default_text = "10000",
      .min = 10000, .max = 10000000, .help = "PBKDF2 iterations of new passwords (RFC 7677 section 4)." },
    { .name = "max_resources", .type = CONFIG_INT,
      .offset = offsetof(struct register_config, max_resources), .default_text = "10",
      .min = 1, .max = 1000, .help = "Sessions one account may have at a time." },
    { .name = "per_hour", .type = CONFIG_INT, .offset = offsetof(struct register_config, per_hour),
      .default_text = "100", .min = 1, .max = 1000000000,
      .help = "In-band registrations each domain accepts in an hour, over all routers." },
    { .name = NULL },
};

static const struct config_field sm_fields[] = {
    { .name = "resume_timeout", .type = CONFIG_DURATION,
      .offset = offsetof(struct sm_config, resume_timeout_ms), .default_text = "300s",
      .min = MIN_RESUME_MS, .max = MAX_RESUME_MS,
      .help = "A session whose connection was lost waits so long for its client to resume it (XEP-0198)." },
    /* By default less than the log leaves unconfirmed (ACCOUNT_LOG_MAX_TRACKED): who never acknowledges is noticed. */
    { .name = "max_unacked_stanzas", .type = CONFIG_INT,
      .offset = offsetof(struct sm_config, max_unacked_stanzas), .default_text = "1500",
      .min = 10, .max = 1000000,
      .help = "Stanzas sent to one session and not acknowledged; with more the session ends after ack_patience, with four "
              "times as many, or while its client is away, at once." },
    /* A login brings the presence of all devices of all contacts before the first acknowledgement can come. Longer than bus.peer_timeout, and
     * as long as c2s.sm_ack_timeout: while edge and router do not hear each other, or the edge does not read it, a client cannot be heard. */
    { .name = "ack_patience", .type = CONFIG_DURATION,
      .offset = offsetof(struct sm_config, ack_patience_ms), .default_text = "60s", .min = 0, .max = 600000,
      .help = "A client that owes more than max_unacked_stanzas may acknowledge nothing for so long." },
    { .name = "max_unacked_bytes", .type = CONFIG_SIZE,
      .offset = offsetof(struct sm_config, max_unacked_bytes), .default_text = "2MiB",
      .min = 65536, .max = INT64_C(1) << 30,
      .help = "Bytes sent to one session and not acknowledged; beyond it the session ends at once." },
    { .name = "send_window", .type = CONFIG_SIZE,
      .offset = offsetof(struct sm_config, send_window_bytes), .default_text = "256KiB",
      .min = 4096, .max = INT64_C(1) << 30,
      .help = "How much of it is on the way to the client at a time; well below max_write_bytes of the edges, which cut off "
              "a client that has more to read." },
    { .name = NULL },
};

static const struct config_field csi_fields[] = {
    { .name = "max_held", .type = CONFIG_INT, .offset = offsetof(struct csi_config, max_held),
      .default_text = "200", .min = 0, .max = 100000,
      .help = "Presences and chat states that wait for one inactive client; one more lets all of them go. 0: nothing waits; "
              "c2s.client_state of the edges says whether clients are offered it at all." },
    { .name = "max_held_bytes", .type = CONFIG_SIZE, .offset = offsetof(struct csi_config, max_held_bytes),
      .default_text = "64KiB", .min = 1024, .max = 1 << 24, .help = "The same in bytes." },
    { .name = NULL },
};

static const struct config_field fast_fields[] = {
    { .name = "token_lifetime", .type = CONFIG_DURATION,
      .offset = offsetof(struct fast_config, token_lifetime_ms), .default_text = "21d",
      .min = 1000, .max = INT64_C(366) * 86400000,
      .help = "A client logs in with a token instead of a password for so long (XEP-0484)." },
    { .name = "rotate_after", .type = CONFIG_DURATION,
      .offset = offsetof(struct fast_config, rotate_after_ms), .default_text = "1d",
      .min = 0, .max = INT64_C(366) * 86400000,
      .help = "A token that is so old when it is used is replaced by a new one." },
    { .name = "max_clients", .type = CONFIG_INT,
      .offset = offsetof(struct fast_config, max_clients), .default_text = "20",
      .min = 1, .max = 1000, .help = "Clients of one account that may have tokens; the one whose token ends first makes room." },
    { .name = NULL },
};

static const struct config_field roster_fields[] = {
    { .name = "max_items", .type = CONFIG_INT, .offset = offsetof(struct roster_config, max_items),
      .default_text = "1000", .min = 1, .max = 100000, .help = "Contacts in one roster." },
    { .name = "max_groups", .type = CONFIG_INT, .offset = offsetof(struct roster_config, max_groups),
      .default_text = "32", .min = 1, .max = 1000, .help = "Groups one contact may be in." },
    { .name = "max_name_bytes", .type = CONFIG_SIZE, .offset = offsetof(struct roster_config, max_name_bytes),
      .default_text = "1023", .min = 16, .max = 65535, .help = "Longest name of a contact or a group." },
    { .name = "max_bytes", .type = CONFIG_SIZE, .offset = offsetof(struct roster_config, max_bytes),
      .default_text = "256KiB", .min = 4096, .max = 1 << 24,
      .help = "Addresses, names and groups of one roster together: it is sent as one stanza." },
    { .name = "subscriptions_per_hour", .type = CONFIG_INT,
      .offset = offsetof(struct roster_config, subscriptions_per_hour), .default_text = "120",
      .min = 1, .max = 1000000, .help = "Subscription requests one account may send in an hour; it has so many at once, wherever its home is." },
    { .name = NULL },
};

static const struct config_field presence_fields[] = {
    { .name = "max_directed", .type = CONFIG_INT, .offset = offsetof(struct presence_config, max_directed),
      .default_text = "200", .min = 1, .max = 10000,
      .help = "Addresses outside the roster a session may be available to at a time by directed presence." },
    { .name = NULL },
};

static const struct config_field version_fields[] = {
    { .name = "show", .type = CONFIG_BOOL, .offset = offsetof(struct version_config, show),
      .default_text = "false", .help = "Tell version and operating system to whom asks (XEP-0092)." },
    { .name = NULL },
};
/* clang-format on */

static enum err check_host(const void *section, struct buf *why)
{
    const struct host_config *host = section;
    struct arena arena;
    arena_init(&arena, 0);
    struct str prepared;
    enum err err = jid_prepare_domain(&arena, str_from_cstr(host->domain), &prepared);
    arena_fini(&arena);
    if (err != ERR_OK) {
        buf_printf(why, "domain: \"%s\" is no domain name", host->domain);
        return err;
    }
    if (host->resume_timeout_ms != 0 && host->resume_timeout_ms < MIN_RESUME_MS) {
        buf_printf(why, "resume_timeout: neither 0s nor a second at least");
        return ERR_INVALID;
    }

#ifndef STARLING_TEST_BUILD
    if (host->accept_any_password) {
        buf_printf(why, "accept_any_password: only test builds know this option");
        return ERR_DENIED;
    }
#endif
    return ERR_OK;
}

static const struct config_section section_cluster = {
    .name = "cluster",
    .help = "What all processes of a cluster agree on.",
    .fields = cluster_fields,
    .size = sizeof(struct cluster_config),
};

static const struct config_section section_hosts = {
    .name = "hosts",
    .help = "The domains served.",
    .fields = host_fields,
    .size = sizeof(struct host_config),
    .is_list = true,
    .may_reload = true,
    .check = check_host,
};

static const struct config_section section_router = {
    .name = "router",
    .help = "Homes of accounts.",
    .fields = router_fields,
    .size = sizeof(struct router_config),
};

static const struct config_section section_messages = {
    .name = "messages",
    .help = "What happens to messages.",
    .fields = messages_fields,
    .size = sizeof(struct messages_config),
    .may_reload = true,
};

static const struct config_section section_register = {
    .name = "register",
    .help = "Accounts and passwords.",
    .fields = register_fields,
    .size = sizeof(struct register_config),
    .may_reload = true,
};

static const struct config_section section_fast = {
    .name = "fast",
    .help = "Tokens instead of passwords (XEP-0484).",
    .fields = fast_fields,
    .size = sizeof(struct fast_config),
    .may_reload = true,
};

static const struct config_section section_version = {
    .name = "version",
    .help = "What the server tells about itself.",
    .fields = version_fields,
    .size = sizeof(struct version_config),
    .may_reload = true,
};

static const struct config_section section_roster = {
    .name = "roster",
    .help = "Contact lists and subscriptions (RFC 6121).",
    .fields = roster_fields,
    .size = sizeof(struct roster_config),
    .may_reload = true,
};

static const struct config_section section_presence = {
    .name = "presence",
    .help = "Who learns that somebody is there.",
    .fields = presence_fields,
    .size = sizeof(struct presence_config),
    .may_reload = true,
};

static const struct config_section section_sm = {
    .name = "sm",
    .help = "Sessions that survive their connection (XEP-0198).",
    .fields = sm_fields,
    .size = sizeof(struct sm_config),
    .may_reload = true,
};

static const struct config_section section_csi = {
    .name = "csi",
    .help = "What waits while clients are inactive (XEP-0352).",
    .fields = csi_fields,
    .size = sizeof(struct csi_config),
    .may_reload = true,
};

const struct config_section *const settings_sections[] = {
    &section_cluster,
    &section_hosts,
    &section_components,
    &section_router,
    &section_messages,
    &section_sm,
    &section_csi,
    &section_register,
    &section_fast,
    &section_roster,
    &section_presence,
    &section_limits,
    &section_version,
    &section_blocking,
    &section_private_xml,
    &section_vcard,
    &section_admin,
    &section_accounts,
    &section_contact_addresses,
    &section_external_services,
    &config_section_bus,
    &config_section_redis,
    &config_section_postgres_router,
    NULL,
};

struct settings_block {
    struct settings settings; /* first: the block is found by it */
    struct arena arena;
};

static const struct host *make_hosts(
        struct arena *arena, const struct config *config, size_t *count_out)
{
    size_t count;
    const struct host_config *from = config_get_list(config, &section_hosts, &count);
    const struct register_config *registration = config_get(config, &section_register);
    struct host *hosts = arena_calloc(arena, (count ? count : 1) * sizeof(*hosts));
    for (size_t i = 0; i < count; i++) {
        enum err err = jid_prepare_domain(arena, str_from_cstr(from[i].domain), &hosts[i].domain);
        ASSERT(err == ERR_OK); /* check_host has seen it */
        hosts[i].domain = str_dup(arena, hosts[i].domain);
        hosts[i].registration = from[i].registration;
        hosts[i].accept_any_password = from[i].accept_any_password;
        hosts[i].resource_conflict = conflict_words[from[i].resource_conflict];
        hosts[i].formerly = from[i].formerly;
        hosts[i].stanzas = quota_limit_rate(
                from[i].stanzas_per_second, from[i].stanzas_per_second * HOST_BURST_S);
        int64_t per_hour = from[i].registrations_per_hour;
        hosts[i].registrations =
                quota_limit_in(per_hour ? per_hour : registration->per_hour, HOUR_MS);
        hosts[i].resume_timeout_ms = from[i].resume_timeout_ms;
    }
    *count_out = count;

    return hosts;
}

void settings_keep(struct settings *settings, const struct settings *old)
{
    settings_copy_components(settings, &((struct settings_block *)settings)->arena, old);
    settings->shards = old->shards;
    settings->lease_ms = old->lease_ms;
}

static void fill_limits(struct settings *settings, const struct config *config)
{
    const struct router_config *router = config_get(config, &section_router);
    const struct messages_config *messages = config_get(config, &section_messages);
    const struct register_config *registration = config_get(config, &section_register);
    const struct version_config *version = config_get(config, &section_version);
    settings->scram_iterations = registration->scram_iterations;
    settings->max_resources = registration->max_resources;
    settings->is_routed = messages->durability == DURABILITY_ROUTED;
    settings->commit_interval_ms = messages->commit_interval_ms;
    settings->commit_timeout_ms = messages->commit_timeout_ms;
    settings->archive_patience_ms = messages->archive_patience_ms;
    settings->catch_up_page_entries = messages->catch_up_page_entries;
    settings->catch_up_page_bytes = messages->catch_up_page_bytes;
    const struct sm_config *sm = config_get(config, &section_sm);
    settings->resume_timeout_ms = sm->resume_timeout_ms;
    settings->max_unacked_stanzas = sm->max_unacked_stanzas;
    settings->ack_patience_ms = sm->ack_patience_ms;
    settings->max_unacked_bytes = sm->max_unacked_bytes;
    settings->send_window_bytes = sm->send_window_bytes;
    const struct csi_config *csi = config_get(config, &section_csi);
    settings->csi_max_held = csi->max_held;
    settings->csi_max_held_bytes = csi->max_held_bytes;
    const struct fast_config *fast = config_get(config, &section_fast);
    settings->token_lifetime_s = fast->token_lifetime_ms / 1000;
    settings->token_rotate_after_s = fast->rotate_after_ms / 1000;
    settings->max_token_clients = fast->max_clients;
    settings->component_wait_ms = router->component_wait_ms;
    settings->component_timeout_ms = router->component_timeout_ms;
    settings->lease_ms = router->lease_ms;
    settings->login_connections = router->login_connections;
    settings->max_entities = router->max_entities;
    settings->entity_idle_ms = router->entity_idle_ms;
    settings->max_mailbox = router->max_mailbox;
    settings->max_uncommitted_bytes = router->max_uncommitted_bytes;
    settings->show_version = version->show;
}

static void fill_roster_limits(struct settings *settings, const struct config *config)
{
    const struct roster_config *roster = config_get(config, &section_roster);
    const struct presence_config *presence = config_get(config, &section_presence);
    settings->roster_max_items = roster->max_items;
    settings->roster_max_groups = roster->max_groups;
    settings->roster_max_name_bytes = roster->max_name_bytes;
    settings->roster_max_bytes = roster->max_bytes;
    settings->quotas[QUOTA_SUBSCRIPTIONS] = quota_limit_in(roster->subscriptions_per_hour, HOUR_MS);
    settings->max_directed = presence->max_directed;
}

struct settings *settings_create(const struct config *config)
{
    struct settings_block *block = MEM_NEW(struct settings_block);
    arena_init(&block->arena, 0);
    struct settings *settings = &block->settings;
    const struct cluster_config *cluster = config_get(config, &section_cluster);
    settings->shards = (unsigned)cluster->shards;
    settings->hosts = make_hosts(&block->arena, config, &settings->host_count);
    fill_limits(settings, config);
    settings_fill_components(settings, &block->arena, config);
    settings_fill_features(settings, &block->arena, config);
    settings_fill_accounts(settings, &block->arena, config);
    fill_roster_limits(settings, config);
    settings_fill_limits(settings, config);
    const struct router_config *router = config_get(config, &section_router);
    settings->token_key_file = str_dup(&block->arena, str_from_cstr(router->token_key_file)).ptr;
    settings->storage_key_file =
            str_dup(&block->arena, str_from_cstr(router->storage_key_file)).ptr;
    settings->storage_other_keys_file =
            str_dup(&block->arena, str_from_cstr(router->storage_other_keys_file)).ptr;
    return settings;
}

void settings_destroy(struct settings *settings)
{
    if (settings == NULL) {
        return;
    }

    settings_wipe_features(settings);
    struct settings_block *block = (struct settings_block *)settings;
    arena_fini(&block->arena);
    free(block);
}

const struct host *settings_find_host(const struct settings *settings, struct str domain)
{
    for (size_t i = 0; i < settings->host_count; i++) {
        if (!settings->hosts[i].formerly && str_equal(settings->hosts[i].domain, domain)) {
            return &settings->hosts[i];
        }
    }

    return NULL;
}

/* The router's configuration as its parts read it: sections cluster, hosts, components, router,
 * messages, sm, csi, register, fast, roster, presence, version, accounts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"
#include "chassis/config.h"
#include "router/quota.h"

struct host {
    struct str domain;                /* prepared */
    bool registration;                /* XEP-0077 in-band */
    bool accept_any_password;         /* test builds only: any user, any password */
    const char *resource_conflict;    /* "replace" (old stream gets conflict) or "refuse" */
    struct quota_limit stanzas;       /* of all its accounts together */
    struct quota_limit registrations; /* likewise; the host's own, or register.per_hour */
    int64_t resume_timeout_ms;        /* 0: as in struct settings */
    bool formerly;                    /* once served here: its users get host-gone at the edge */
};

/* Views of the settings' own memory. */
struct settings_texts {
    const struct str *items;
    size_t count;
};

/* XEP-0157. */
enum contact_kind {
    CONTACT_ABUSE,
    CONTACT_ADMIN,
    CONTACT_FEEDBACK,
    CONTACT_SALES,
    CONTACT_SECURITY,
    CONTACT_STATUS,
    CONTACT_SUPPORT,
    CONTACT_KINDS,
};

struct contact_addresses {
    struct str host; /* prepared; "": every host without its own */
    struct settings_texts uris[CONTACT_KINDS];
    struct settings_texts outage_status; /* XEP-0455 */
};

/* XEP-0215. */
struct external_service {
    struct str type;
    struct str host;
    struct str port; /* "": none */
    struct str transport;
    struct str name;
    struct str username; /* fixed ones */
    struct str password;
    struct str secret; /* shared with a TURN server: credentials are made for each request */
    int64_t ttl_ms;
};

/* What becomes of the accounts of a host. Days without a login; 0: never. */
struct account_policy {
    struct str host; /* prepared; "": every host without its own */
    int64_t inactive_warn_days;
    int64_t inactive_disable_days;
    int64_t inactive_delete_days;
    int64_t tombstone_days; /* a deleted account's name is blocked for so long */
    struct str inactive_text;
    struct str welcome_subject; /* "": none */
    struct str welcome_text;    /* "": nobody is welcomed */
    bool tells_admins;          /* of in-band registrations */
};

/* XEP-0114. */
struct component_setting {
    struct str domain; /* prepared */
    struct str secret_file;
    bool disco; /* its host shows it */
};

struct settings {
    unsigned shards;                            /* cluster.shards, 256 */
    const struct component_setting *components; /* never change while the process runs */
    size_t component_count;
    int64_t component_wait_ms;    /* stanzas wait so long for a component that was lost */
    int64_t component_timeout_ms; /* one that takes no message for so long is cut off */
    const struct host *hosts;
    size_t host_count;
    int64_t scram_iterations;      /* at least 10000 */
    int64_t max_resources;         /* per account */
    bool is_routed;                /* messages.durability: routed; acks do not wait for the log */
    int64_t commit_interval_ms;    /* 2: least time between two small groups of writes */
    int64_t commit_timeout_ms;     /* 10 s: then what was never sent comes back as a retryable error
                                      (G01) */
    int64_t archive_patience_ms;   /* 2 s: then another archive-svc is asked as well */
    int64_t lease_ms;              /* shard lease, 3 s */
    int64_t login_connections;     /* to PostgreSQL, in a pool of their own */
    int64_t max_entities;          /* in memory; idle ones are evicted beyond it */
    int64_t entity_idle_ms;        /* evicted after this long without session or work */
    int64_t max_mailbox;           /* items waiting at one entity */
    int64_t catch_up_page_entries; /* 100 */
    int64_t catch_up_page_bytes;   /* 256 KiB */
    bool show_version;             /* XEP-0092: software version and OS, off by default */
    int64_t resume_timeout_ms;     /* XEP-0198: how long a session waits without a stream, on a host
                                      without its own */
    int64_t max_unacked_stanzas;   /* numbered stanzas one session may owe acks for */
    int64_t ack_patience_ms;       /* 60 s: of more, some are to be acknowledged by then */
    int64_t max_unacked_bytes;     /* at any time */
    int64_t send_window_bytes;     /* of them, sent and on the way */
    int64_t csi_max_held;          /* XEP-0352: what waits for one inactive client; 0: nothing */
    int64_t csi_max_held_bytes;    /* likewise */
    int64_t max_uncommitted_bytes; /* log entries waiting for archive-svc: overload beyond it */
    int64_t blocking_max_items;    /* of one account */
    int64_t blocking_max_bytes;
    int64_t private_xml_max_items;
    int64_t private_xml_max_bytes;
    int64_t vcard_max_bytes;
    bool vcard_is_public;         /* else contacts only */
    struct settings_texts admins; /* prepared bare addresses */
    const struct contact_addresses *contacts;
    size_t contacts_count;
    const struct account_policy *policies;
    size_t policy_count;
    const struct external_service *external_services;
    size_t external_service_count;
    int64_t token_lifetime_s;     /* XEP-0484: a token is good for so long */
    int64_t token_rotate_after_s; /* a used one is replaced when it is so old */
    int64_t max_token_clients;    /* of one account; the oldest makes room */
    const char *token_key_file;   /* key of nonces, grants and tokens; all routers share it */
    const char *storage_key_file; /* wraps the keys of accounts in PostgreSQL; likewise */
    const char *storage_other_keys_file;    /* open them, too; "": none */
    int64_t roster_max_items;               /* per account */
    int64_t roster_max_groups;              /* per item */
    int64_t roster_max_name_bytes;          /* of an item's name, and of a group's */
    int64_t roster_max_bytes;               /* of all items: addresses, names, groups */
    struct quota_limit quotas[QUOTA_KINDS]; /* those of hosts lie in struct host */
    int64_t offline_max_messages;           /* waiting for one account (C34); 0: no limit */
    int64_t offline_max_bytes;
    int64_t max_directed; /* addresses one session may send presence to directly (C36) */
};

const struct host *settings_find_host(
        const struct settings *settings, struct str domain); /* NULL: not ours */

/* NULL: no component. */
const struct component_setting *settings_find_component(
        const struct settings *settings, struct str domain);
/* A host or a component: somebody here answers for it. */
bool settings_is_served(const struct settings *settings, struct str domain);
/* An account of a host, or anybody at a component, may be there. */
struct jid;
bool settings_has_somebody(const struct settings *settings, const struct jid *to);
/* What the shard of `bare` is found by: itself, or the component it is at. */
struct str settings_home_of(const struct settings *settings, struct str bare);

/* NULL: none are known. */
const struct contact_addresses *settings_find_contacts(
        const struct settings *settings, struct str domain);

/* Never NULL: defaults for a host without one. */
const struct account_policy *settings_find_policy(
        const struct settings *settings, struct str domain);

/* All sections a router reads; NULL-terminated. */
extern const struct config_section *const settings_sections[];
struct settings *settings_create(const struct config *config);
void settings_destroy(struct settings *settings);
/* After a reload: what only a restart takes is as in `old`. */
void settings_keep(struct settings *settings, const struct settings *old);

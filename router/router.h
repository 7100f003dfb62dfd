/* The state of a router process: what its parts need of each other. Made by main.c; loop thread
 * only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/service.h"
#include "router/settings.h"

struct router {
    struct service_context *service;
    struct loop *loop;
    const char *node;
    uint64_t boot_epoch;
    int64_t started_ms;          /* on the loop's clock */
    struct settings *settings;   /* hosts, limits: replaced on reload */
    struct host_info *host_info; /* what the hosts say of themselves */
    struct link *link;
    struct registry *registry;
    struct redis *redis;  /* may be down: nothing durable waits for it */
    bool is_redis_behind; /* something was not written there, since others may be home by now */
    struct quota_redis *quota_store; /* NULL: without Redis */
    struct quota *quota;
    struct pg_pool *pg;       /* rosters, what accounts keep, lifecycles */
    struct pg_pool *login_pg; /* accounts and tokens: logins wait for nothing else (G02) */
    struct peers *peers;
    struct signer *signer; /* nonces, grants, session tokens */
    struct vault *vault;   /* keys of what accounts store */
    struct reseal *reseal; /* brings that under the newest key */
    struct shard_table *shards;
    struct egress *egress;
    struct route_many *many;
    struct commit *commit;
    struct log_client *log;
    struct account_store *accounts;
    struct account_data_store *data;
    struct token_store *tokens;
    struct roster_store *rosters;
    struct password_work *passwords; /* bounded PBKDF2 on the thread pool */
    struct auth *auth;
    struct registrar *registrar;
    struct lifecycle *lifecycle;
    struct lifecycle_store *lifecycle_store;
    struct login_days *login_days;
    struct look_alikes *look_alikes;
    struct announcer *announcer;
    struct entity_table *entities;
    struct components *components; /* XEP-0114 */
    struct ingress *ingress;
    bool is_draining;
    uint64_t told_online; /* cluster.c: what other routers were told, and when */
    int64_t told_online_ms;
};

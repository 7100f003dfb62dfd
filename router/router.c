/* Puts a router together, takes it down, and connects its parts: what the shard table says goes to
 * commit, entities and egress. */
#include "router/router.h"

#include "chassis/base/mem.h"
#include "chassis/link.h"
#include "chassis/log.h"
#include "chassis/pg.h"
#include "chassis/pg_schema.h"
#include "chassis/redis.h"
#include "chassis/registry.h"
#include "router/announcer.h"
#include "router/auth.h"
#include "router/cluster.h"
#include "router/commit.h"
#include "router/egress.h"
#include "router/entity/components.h"
#include "router/entity/entity_table.h"
#include "router/host_caps.h"
#include "router/host_info.h"
#include "router/ingress.h"
#include "router/lifecycle.h"
#include "router/log_client.h"
#include "router/login_days.h"
#include "router/look_alikes.h"
#include "router/operator.h"
#include "router/password_work.h"
#include "router/peers.h"
#include "router/quota_redis.h"
#include "router/redis_mark.h"
#include "router/registrar.h"
#include "router/reseal.h"
#include "router/route_many.h"
#include "router/router_service.h"
#include "router/shard.h"
#include "router/signer.h"
#include "router/store/account_data_store.h"
#include "router/store/account_store.h"
#include "router/store/lifecycle_store.h"
#include "router/store/roster_store.h"
#include "router/store/token_store.h"
#include "router/store/tombstone_name.h"
#include "router/vault.h"

#define REGISTRY_WAIT_MS    1000
#define REGISTRY_POLL_MS    10
#define HEALTH_MS           250
#define PG_RECONNECT_MIN_MS 50
#define PG_RECONNECT_MAX_MS 1000

/* ---- shards */

static void on_gained(void *context, unsigned shard, uint64_t epoch)
{
    struct router *router = context;
    log_debug("shard", "shard taken over", log_int("shard", shard), log_int("epoch", epoch));
    entity_revive_shard(router->entities, shard);
    components_on_shard_gained(router->components, shard);
}

static void on_lost(void *context, unsigned shard)
{
    struct router *router = context;
    log_debug("shard", "shard given up", log_int("shard", shard));
    commit_drop_shard(router->commit, shard);
    entity_drop_shard(router->entities, shard);
    components_drop_shard(router->components, shard);
}

static void on_quiet(void *context, enum err err)
{
    struct router_shard *work = context;
    struct router *router = work->router;
    if (err == ERR_UNAVAILABLE) { /* withdrawn in an outage: the watermarks still wait */
        commit_flush(router->commit, work->shard, on_quiet, work);
        return;
    }
    /* Fenced: it is lost, and that is known there. */
    if (err != ERR_CLOSED && shard_epoch(router->shards, work->shard) == work->epoch) {
        shard_quiesced(router->shards, work->shard);
    }
    free(work);
}

static void on_entities_quiet(void *context, unsigned shard)
{
    struct router *router = context;
    struct router_shard *work = MEM_NEW(struct router_shard);
    *work = (struct router_shard){ router, shard, shard_epoch(router->shards, shard) };
    commit_flush(router->commit, shard, on_quiet, work);
}

static void on_release(void *context, unsigned shard)
{
    struct router *router = context;
    entity_quiesce_shard(router->entities, shard, on_entities_quiet, router);
}

static void on_map(void *context)
{
    struct router *router = context;
    ingress_on_map(router->ingress);
}

/* Redis does not know who writes. A router that has slept past its lease (SIGSTOP, a paused
 * machine) may find other homes behind its back, whose sessions and queues it must not touch before
 * it has asked the table; what is still ours then is written anew. */
static bool may_write_redis(void *context)
{
    struct router *router = context;
    bool may = router->shards && shard_may_give_up(router->shards);
    router->is_redis_behind |= !may;
    return may;
}

/* Behind one that is going on, not instead of it: that would never come to its end while Redis is
 * slow. */
static void catch_up_redis(struct router *router)
{
    if (router->is_redis_behind && router->entities && !entity_is_writing_redis(router->entities)
            && redis_has_room(router->redis) && may_write_redis(router)) {
        router->is_redis_behind = false;
        entity_on_redis_up(router->entities);
    }
}

static void on_renewed(void *context)
{
    catch_up_redis(context);
}

static void on_redis_refused(void *context)
{
    struct router *router = context;
    if (!router->is_redis_behind) {
        log_warn("redis", "it is slower than we write: all is written again later");
    }
    router->is_redis_behind = true;
}

static const struct shard_handlers shard_handlers = {
    .on_gained = on_gained,
    .on_lost = on_lost,
    .on_release = on_release,
    .on_map = on_map,
    .on_renewed = on_renewed,
};

/* ---- opening */

static enum err fail(const char *what, enum err err)
{
    log_error("router", "cannot start", log_cstr("what", what), log_cstr("err", err_name(err)));
    return err;
}

static void log_unread(struct str why)
{
    log_error("router", "cannot read a secret", log_str("why", why));
}

/* A secret file whose contents open something; wiped either way. */
static enum err open_with_key(struct router *router,
        const char *path,
        enum err (*open)(struct router *router, struct str key),
        const char *what)
{
    struct buf key;
    struct buf why;
    buf_init(&key, 0);
    buf_init(&why, 0);
    enum err err = config_read_secret(path, &key, &why);
    if (err != ERR_OK) {
        log_unread(buf_view(&why));
    } else {
        err = open(router, buf_view(&key));
        if (err != ERR_OK) {
            err = fail(what, err);
        }
    }
    buf_fini(&why);
    buf_fini_secret(&key);
    return err;
}

static enum err make_signer(struct router *router, struct str key)
{
    return signer_create(key, &router->signer);
}

static enum err make_vault(struct router *router, struct str key)
{
    return vault_create(key, &router->vault);
}

static enum err open_signer(struct router *router)
{
    return open_with_key(router,
            router->settings->token_key_file,
            make_signer,
            "router.token_key_file: at least 32 bytes are needed");
}

/* One a line. */
static enum err add_keys(struct router *router, struct str keys)
{
    enum err err = ERR_OK;
    while (keys.len > 0 && err == ERR_OK) {
        struct str line = str_trim(str_cut(&keys, '\n'));
        if (line.len > 0) {
            err = vault_add_key(router->vault, line);
        }
    }
    return err;
}

static enum err open_vault(struct router *router)
{
    enum err err = open_with_key(router,
            router->settings->storage_key_file,
            make_vault,
            "router.storage_key_file: at least 32 bytes are needed");
    if (err == ERR_OK && router->settings->storage_other_keys_file[0] != '\0') {
        err = open_with_key(router,
                router->settings->storage_other_keys_file,
                add_keys,
                "router.storage_other_keys_file: at most 7 lines of at least 32 bytes");
    }
    return err;
}

static enum err open_link(struct router *router, const struct link_config *bus)
{
    struct buf core_secret;
    struct buf why;
    buf_init(&core_secret, 0);
    buf_init(&why, 0);
    enum err err = link_config_read_secret(bus, LINK_ROLE_ROUTER, &core_secret, &why);
    if (err != ERR_OK) {
        log_unread(buf_view(&why));
    } else {
        struct link_options options = link_config_options(bus);
        options.node = router->node;
        options.role = LINK_ROLE_ROUTER;
        options.boot_epoch = router->boot_epoch;
        options.core_secret = buf_view(&core_secret);
        err = link_open(router->loop, &options, &ingress_link_handlers, router, &router->link);
        if (err != ERR_OK) {
            err = fail(bus->address, err);
        }
    }
    buf_fini(&why);
    buf_fini_secret(&core_secret);
    return err;
}

static enum err open_postgres(struct router *router, const struct config *config)
{
    struct pg_options options =
            pg_config_options(config_get(config, &config_section_postgres_router));
    options.reconnect_min_ms = PG_RECONNECT_MIN_MS;
    options.reconnect_max_ms = PG_RECONNECT_MAX_MS;
    enum err err = pg_pool_open(router->loop, &options, &router->pg);
    if (err == ERR_OK) {
        options.connections = (int)router->settings->login_connections;
        options.companion = router->pg;
        err = pg_pool_open(router->loop, &options, &router->login_pg);
    }
    return err == ERR_OK ? ERR_OK : fail("postgres_router", err);
}

static void on_redis_emptied(void *context)
{
    struct router *router = context;
    entity_on_redis_up(router->entities);
}

static void on_redis_change(void *context, bool is_up)
{
    struct router *router = context;
    if (!is_up) {
        return;
    }
    router->is_redis_behind = false;
    entity_on_redis_up(router->entities);
    for (unsigned shard = 0; shard < shard_count(router->shards); shard++) {
        if (shard_is_owned(router->shards, shard)) {
            entity_revive_shard(router->entities, shard);
        }
    }
}

/* The registry has a connection of its own, so that each has its own news of it. */
static enum err open_redis(struct router_process *process, const struct config *config)
{
    const struct redis_config *section = config_get(config, &config_section_redis);
    if (!redis_is_configured(section)) {
        return ERR_OK; /* static peers only; sessions are not shown anywhere */
    }

    enum err err = redis_open(process->router.loop, section, &process->router.redis);
    if (err == ERR_OK) {
        err = redis_open(process->router.loop, section, &process->registry_redis);
    }
    return err == ERR_OK ? ERR_OK : fail("redis", err);
}

/* After open_redis. */
static void open_quota(struct router *router)
{
    uint8_t secret[QUOTA_SECRET_BYTES];
    signer_quota_secret(router->signer, secret);
    if (router->redis != NULL) {
        router->quota_store = quota_redis_create(router->loop, router->redis);
    }
    router->quota = quota_create(
            router->quota_store != NULL ? &quota_redis_store : NULL, router->quota_store, secret);
    secret_wipe(secret, sizeof(secret));
}

static enum err open_registry(struct router_process *process)
{
    struct router *router = &process->router;
    const struct registry_options options = {
        .role = LINK_ROLE_ROUTER,
        .dial_roles = 1U << LINK_ROLE_EDGE | 1U << LINK_ROLE_ROUTER | 1U << LINK_ROLE_ARCHIVE,
    };
    return registry_open_service(
            router->service, process->registry_redis, router->link, &options, &router->registry);
}

_Static_assert(VAULT_NAME_KEY_BYTES == TOMBSTONE_KEY_BYTES, "stores get the vault's keys");

/* What needs nothing but the others of the router; no callback runs before the loop does. */
static enum err open_parts(struct router *router)
{
    open_quota(router);
    router->peers = peers_create(router->loop);
    router->accounts = account_store_create(router->login_pg, vault_name_keys(router->vault));
    router->data = account_data_store_create(router->pg);
    router->tokens = token_store_create(router->login_pg);
    router->rosters = roster_store_create(router->pg);
    router->reseal = reseal_create(router);
    router->lifecycle_store = lifecycle_store_create(router->pg, vault_name_keys(router->vault));
    router->login_days = login_days_create(router);
    router->look_alikes = look_alikes_create(router);
    router->lifecycle = lifecycle_create(router);
    router->announcer = announcer_create(router);
    router->passwords = password_work_create(router->loop);
    router->auth = auth_create(router);
    router->registrar = registrar_create(router);
    router->many = route_many_create(router);
    enum err err = egress_create(router, &router->egress);
    if (err == ERR_OK) {
        err = commit_create(router, &router->commit);
    }
    if (err == ERR_OK) {
        err = log_client_create(router, &router->log);
    }
    if (err == ERR_OK) {
        err = shard_table_open(router, &shard_handlers, router, &router->shards);
    }
    if (err == ERR_OK) {
        err = entity_table_create(router, &router->entities);
    }
    if (err == ERR_OK) {
        err = components_create(router, &router->components);
    }
    return err == ERR_OK ? ingress_create(router, &router->ingress) : err;
}

static void on_health(struct timer *timer, void *context)
{
    struct router *router = context;
    cluster_tell_load(router);
    catch_up_redis(router);
    service_set_ready(router->service,
            !router->is_draining && shard_has_lease(router->shards) && pg_pool_is_up(router->pg)
                    && pg_pool_is_up(router->login_pg));
    timer_start(loop_timers(router->loop), timer, HEALTH_MS);
}

static enum err open_all(struct router_process *process, const struct config *config)
{
    struct router *router = &process->router;
    const struct link_config *bus = config_get(config, &config_section_bus);
    enum err err = open_signer(router);
    if (err == ERR_OK) {
        err = open_vault(router);
    }
    if (err == ERR_OK) {
        err = open_link(router, bus);
    }
    if (err == ERR_OK) {
        err = open_postgres(router, config);
    }
    if (err == ERR_OK) {
        err = open_redis(process, config);
    }
    if (err == ERR_OK) {
        err = open_parts(router);
    }
    return err;
}

/* Only with Redis: the registry's first look must not fail, or our peers would stay unknown for a
 * whole round of it while shards come in already. */
static void on_registry_due(struct timer *timer, void *context)
{
    struct router_process *process = context;
    struct router *router = &process->router;
    if (router->is_draining) {
        return;
    }
    if (process->registry_redis != NULL && !redis_is_up(process->registry_redis)
            && process->registry_wait_ms > 0) {
        process->registry_wait_ms -= REGISTRY_POLL_MS;
        timer_start(loop_timers(router->loop), timer, REGISTRY_POLL_MS);
        return;
    }

    if (open_registry(process) != ERR_OK) {
        service_fail(router->service, "the node registry cannot be opened");
    }
}

/* No account is touched before it is known that its key will open. */
static void on_keys_checked(void *context, enum err err)
{
    struct router_process *process = context;
    struct router *router = &process->router;
    if (err != ERR_OK) {
        service_fail(router->service,
                "a key is missing in router.storage_key_file and router.storage_other_keys_file");
    } else if (!router->is_draining) {
        shard_table_begin(router->shards);
        lifecycle_start(router->lifecycle);
        look_alikes_start(router->look_alikes);
        timer_start(loop_timers(router->loop), &process->registry_due, 0);
    }
}

/* Nobody hears of us, and no shard comes here, before the schema is known to be ours (G11). */
static void on_schema(void *context)
{
    struct router_process *process = context;
    struct router *router = &process->router;
    if (!router->is_draining) {
        reseal_start(router->reseal, on_keys_checked, process);
    }
}

/* ---- the service */

enum err router_start(struct service_context *service, void **state_out)
{
    struct router_process *process = MEM_NEW(struct router_process);
    struct router *router = &process->router;
    router->service = service;
    router->loop = service_loop(service);
    router->node = service_node_name(service);
    router->boot_epoch = service_boot_epoch(service);
    router->started_ms = loop_now_ms(router->loop);
    router->settings = settings_create(service_config(service));
    router->host_info = host_info_create();
    host_info_refresh(router->host_info, router->settings);
    timer_init(&process->health, on_health, router);
    enum err err = open_all(process, service_config(service));
    if (err != ERR_OK) {
        router_stop(process);
        return err;
    }

    if (router->redis != NULL) {
        redis_on_change(router->redis, on_redis_change, router);
        redis_guard_writes(router->redis, may_write_redis, router);
        redis_on_refused(router->redis, on_redis_refused, router);
        process->redis_mark = redis_mark_create(
                router->loop, router->redis, router->node, on_redis_emptied, router);
    }
    operator_open(router, router_drain);
    timer_start(loop_timers(router->loop), &process->health, 0);
    process->registry_wait_ms = REGISTRY_WAIT_MS;
    timer_init(&process->registry_due, on_registry_due, process);
    const struct pg_schema_options schema = {
        .name = "router",
        .number = STARLING_SCHEMA_NUMBER,
        .is_ours = on_schema,
        .context = process,
    };
    process->schema = pg_schema_open(service, router->pg, &schema);
    *state_out = process;
    return ERR_OK;
}

void router_reload(void *state, const struct config *config)
{
    struct router *router = state;
    struct settings *settings = settings_create(config);
    /* What everybody has agreed on, and what only a restart takes. */
    settings_keep(settings, router->settings);
    settings_destroy(router->settings);
    router->settings = settings;
    host_info_refresh(router->host_info, settings);
    host_caps_tell_all(router);
}

static void on_drained(void *context)
{
    struct router *router = context;
    log_info("router", "all shards are handed over");
    if (router->registry != NULL) {
        registry_leave(router->registry);
    }
    service_drained(router->service);
}

void router_drain(void *state)
{
    struct router *router = state;
    if (router->is_draining) {
        return;
    }

    router->is_draining = true;
    service_set_ready(router->service, false);
    shard_drain(router->shards, on_drained, router);
}

void router_stop(void *state)
{
    struct router_process *process = state;
    struct router *router = &process->router;
    timer_stop(&process->health);
    timer_stop(&process->registry_due);
    pg_schema_close(process->schema);
    registry_close(router->registry);
    lifecycle_stop(router->lifecycle);
    ingress_destroy(router->ingress);
    router->ingress = NULL;                 /* nobody is told any more */
    entity_table_destroy(router->entities); /* first: what is answered below finds nobody */
    components_destroy(router->components);
    log_client_destroy(router->log);
    auth_destroy(router->auth);
    registrar_destroy(router->registrar);
    pg_pool_close(router->login_pg);
    pg_pool_close(router->pg);
    commit_destroy(router->commit);
    route_many_destroy(router->many);
    egress_destroy(router->egress);
    shard_table_close(router->shards);
    router->shards = NULL;
    password_work_destroy(router->passwords);
    token_store_destroy(router->tokens);
    account_store_destroy(router->accounts);
    account_data_store_destroy(router->data);
    lifecycle_store_destroy(router->lifecycle_store);
    login_days_destroy(router->login_days);
    look_alikes_destroy(router->look_alikes);
    announcer_destroy(router->announcer);
    roster_store_destroy(router->rosters);
    reseal_destroy(router->reseal);
    redis_close(router->redis);
    redis_close(process->registry_redis);
    redis_mark_destroy(process->redis_mark);
    lifecycle_destroy(router->lifecycle); /* what it waited for has been answered */
    quota_destroy(router->quota);         /* nothing is asked any more */
    quota_redis_destroy(router->quota_store);
    link_close(router->link);
    peers_destroy(router->peers);
    signer_destroy(router->signer);
    vault_destroy(router->vault);
    host_info_destroy(router->host_info);
    settings_destroy(router->settings);
    free(process);
}

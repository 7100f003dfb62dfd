/* archive-svc: the message log of all entities. Routers ask over the bus; it keeps nothing itself,
 * so that any number of them may run and any may die. */
#include <stdlib.h>

#include "archive-svc/append.h"
#include "archive-svc/archive.h"
#include "archive-svc/archive_store.h"
#include "archive-svc/asker.h"
#include "archive-svc/retention.h"
#include "archive-svc/settings.h"
#include "chassis/base/mem.h"
#include "chassis/link.h"
#include "chassis/log.h"
#include "chassis/pg.h"
#include "chassis/pg_schema.h"
#include "chassis/redis.h"
#include "chassis/registry.h"
#include "chassis/service.h"

struct process {
    struct service_context *service;
    struct archive archive;
    struct pg_pool *append_pool, *read_pool;
    struct link *link;
    struct redis *redis;
    struct registry *registry;
    struct retention *retention;
    struct asker **askers;
    size_t asker_count;
    struct pg_schema *schema;
    bool has_schema;
    bool is_draining;
};

static void update_ready(struct process *process)
{
    service_set_ready(process->service,
            process->has_schema && !process->is_draining && pg_pool_is_up(process->append_pool)
                    && pg_pool_is_up(process->read_pool));
}

/* ---- the bus */

static struct asker *asker_of(struct process *process, struct link_peer *peer)
{
    struct asker *asker = link_peer_data(peer);
    if (asker == NULL) {
        asker = asker_create(&process->archive, peer);
        link_peer_set_data(peer, asker);
        process->askers =
                mem_realloc(process->askers, (process->asker_count + 1) * sizeof(struct asker *));
        process->askers[process->asker_count++] = asker;
    }
    return asker;
}

static void on_record(void *context, struct link_peer *peer, uint64_t boot_epoch, struct str record)
{
    struct process *process = context;
    if (link_peer_role(peer) != LINK_ROLE_ROUTER) {
        log_warn("archive",
                "record of a process that is no router",
                log_cstr("peer", link_peer_node(peer)));
        return;
    }
    archive_on_record(&process->archive, asker_of(process, peer), boot_epoch, record);
}

static void on_up(void *context, struct link_peer *peer, uint64_t boot_epoch)
{
    (void)boot_epoch;
    struct process *process = context;
    if (link_peer_role(peer) == LINK_ROLE_ROUTER) {
        asker_on_room(asker_of(process, peer));
    }
}

/* What the dead one asked ends by itself; its successor is met with its first record. */
static void on_down(void *context, struct link_peer *peer, uint64_t boot_epoch, bool is_dead)
{
    (void)context;
    (void)peer;
    (void)boot_epoch;
    (void)is_dead;
}

static void on_room(void *context, struct link_peer *peer)
{
    (void)context;
    struct asker *asker = link_peer_data(peer);
    if (asker != NULL) {
        asker_on_room(asker);
    }
}

static const struct link_handlers link_handlers = { on_record, on_up, on_down, on_room };

static enum err read_core_secret(const struct link_config *bus, struct buf *secret)
{
    struct buf why;
    buf_init(&why, 0);
    enum err err = link_config_read_secret(bus, LINK_ROLE_ARCHIVE, secret, &why);
    if (err != ERR_OK) {
        log_error("archive", "secret cannot be read", log_str("reason", buf_view(&why)));
    }
    buf_fini(&why);
    return err;
}

static enum err open_link(struct process *process, const struct link_config *bus)
{
    struct buf secret;
    buf_init(&secret, 0);
    enum err err = read_core_secret(bus, &secret);
    if (err == ERR_OK) {
        struct link_options options = link_config_options(bus);
        options.node = service_node_name(process->service);
        options.role = LINK_ROLE_ARCHIVE;
        options.boot_epoch = service_boot_epoch(process->service);
        options.core_secret = buf_view(&secret);
        err = link_open(
                service_loop(process->service), &options, &link_handlers, process, &process->link);
    }
    buf_fini_secret(&secret);
    return err;
}

static enum err open_registry(struct process *process)
{
    /* Routers dial us; answering them makes the link dial back. */
    const struct registry_options options = { .role = LINK_ROLE_ARCHIVE, .dial_roles = 0 };
    return registry_open_service(
            process->service, process->redis, process->link, &options, &process->registry);
}

/* Nobody hears of us before the schema is known to be ours (G11). */
static void open_doors(struct process *process)
{
    const struct config *config = service_config(process->service);
    const struct link_config *bus = config_get(config, &config_section_bus);
    if (open_link(process, bus) != ERR_OK) {
        service_fail(process->service, "the bus cannot be opened");
        return;
    }
    if (open_registry(process) != ERR_OK) {
        service_fail(process->service, "the node registry cannot be opened");
        return;
    }
    process->retention = retention_create(&process->archive);
    update_ready(process);
}

static void on_schema(void *context)
{
    struct process *process = context;
    process->has_schema = true;
    if (!process->is_draining) {
        open_doors(process);
    }
}

static void on_pool_change(void *context, bool is_up)
{
    (void)is_up;
    update_ready(context);
}

/* ---- life */

static enum err open_pool(struct process *process, int64_t connections, struct pg_pool **pool_out)
{
    const struct pg_config *pg =
            config_get(service_config(process->service), &config_section_postgres_archive);
    struct pg_options options = pg_config_options(pg);
    options.connections = (int)connections;
    enum err err = pg_pool_open(service_loop(process->service), &options, pool_out);
    if (err == ERR_OK) {
        pg_pool_on_change(*pool_out, on_pool_change, process);
    }
    return err;
}

static void process_destroy(void *state)
{
    struct process *process = state;
    pg_schema_close(process->schema);
    registry_close(process->registry);
    pg_pool_close(process->append_pool); /* ends what is in flight */
    pg_pool_close(process->read_pool);
    link_close(process->link);
    redis_close(process->redis);
    retention_destroy(process->retention);
    for (size_t i = 0; i < process->asker_count; i++) {
        asker_destroy(process->askers[i]);
    }
    free(process->askers);
    archive_store_destroy(process->archive.store);
    free(process);
}

static enum err process_start(struct service_context *service, void **state_out)
{
    const struct config *config = service_config(service);
    struct process *process = MEM_NEW(struct process);
    process->service = service;
    process->archive.loop = service_loop(service);
    process->archive.settings = config_get(config, &config_section_archive);
    process->archive.send = link_send;
    const struct pg_config *pg = config_get(config, &config_section_postgres_archive);
    enum err err = open_pool(
            process, process->archive.settings->append_connections, &process->append_pool);
    if (err == ERR_OK) {
        err = open_pool(process, pg->connections, &process->read_pool);
    }
    const struct redis_config *redis = config_get(config, &config_section_redis);
    if (err == ERR_OK && redis_is_configured(redis)) {
        err = redis_open(service_loop(service), redis, &process->redis);
    }
    if (err != ERR_OK) {
        process_destroy(process);
        return err;
    }
    append_register_metrics();
    process->archive.store = archive_store_create(process->append_pool, process->read_pool);
    const struct pg_schema_options schema = {
        .name = "archive",
        .number = STARLING_SCHEMA_NUMBER,
        .is_ours = on_schema,
        .context = process,
    };
    process->schema = pg_schema_open(service, process->read_pool, &schema);
    *state_out = process;
    return ERR_OK;
}

/* The configuration it was read from goes away. */
static void process_reload(void *state, const struct config *config)
{
    struct process *process = state;
    process->archive.settings = config_get(config, &config_section_archive);
}

static void on_idle(void *context)
{
    struct process *process = context;
    service_drained(process->service);
}

static void process_drain(void *state)
{
    struct process *process = state;
    process->is_draining = true;
    update_ready(process);
    if (process->registry != NULL) {
        registry_leave(process->registry);
    }
    archive_drain(&process->archive, on_idle, process);
}

static const struct config_section *const sections[] = {
    &config_section_archive,
    &config_section_bus,
    &config_section_redis,
    &config_section_postgres_archive,
    NULL,
};

static const struct service service = {
    .name = "archive-svc",
    .sections = sections,
    .start = process_start,
    .reload = process_reload,
    .drain = process_drain,
    .stop = process_destroy,
};

int main(int argc, char **argv)
{
    return service_main(&service, argc, argv);
}

/* Sections postgres_router and postgres_archive: one table, two names. */
#include "chassis/pg.h"

/* clang-format off */
static const struct config_field fields[] = {
    { "conninfo", CONFIG_STRING, offsetof(struct pg_config, conninfo), "", 0, 0, NULL,
        "libpq connection string of the service's own role; the password comes from passfile=; for a standby setup list "
        "all hosts with target_session_attrs=read-write, by address (names are resolved blocking)" },
    { "admin_conninfo", CONFIG_STRING, offsetof(struct pg_config, admin_conninfo), "", 0, 0, NULL,
        "libpq connection string of a role that may create roles and schemas; used by starlingctl db migrate only" },
    { "connections", CONFIG_INT, offsetof(struct pg_config, connections), "2", 1, 64, NULL,
        "connections kept open; each carries many transactions at once" },
    { "connect_timeout", CONFIG_DURATION, offsetof(struct pg_config, connect_timeout_ms), "5s", 100, 60000, NULL,
        "time for one attempt to connect" },
    { "query_timeout", CONFIG_DURATION, offsetof(struct pg_config, query_timeout_ms), "10s", 100, 600000, NULL,
        "time for one transaction, waiting included; then its connection is dropped" },
    { "max_queued", CONFIG_INT, offsetof(struct pg_config, max_queued), "10000", 1, 1000000, NULL,
        "transactions that may wait for a connection; more are refused at once" },
    { .name = NULL },
};
/* clang-format on */

const struct config_section config_section_postgres_router = {
    .name = "postgres_router",
    .help = "PostgreSQL as routers use it (schema router)",
    .fields = fields,
    .size = sizeof(struct pg_config),
};

const struct config_section config_section_postgres_archive = {
    .name = "postgres_archive",
    .help = "PostgreSQL as archive-svc uses it (schema archive)",
    .fields = fields,
    .size = sizeof(struct pg_config),
};

struct pg_options pg_config_options(const struct pg_config *config)
{
    return (struct pg_options){
        .conninfo = config->conninfo,
        .connections = (int)config->connections,
        .connect_timeout_ms = config->connect_timeout_ms,
        .query_timeout_ms = config->query_timeout_ms,
        .max_queued = (size_t)config->max_queued,
    };
}

/* A PostgreSQL of one's own with all schemas, a loop, and a pool with the rights of a service's
 * role, for unit tests of stores. Beside scratch_servers.h, since it links chassis/pg. */
#pragma once

#include "chassis/pg.h"
#include "tests/lib/scratch_servers.h"

#define SCRATCH_WAIT_MS 20000

struct scratch_database {
    char dir[128];
    struct loop *loop;
    struct pg_pool *pool;
};

/* As the superuser; ends the test when it fails. */
static inline void scratch_sql(const struct scratch_database *database, const char *sql)
{
    char command[256];
    (void)snprintf(command,
            sizeof(command),
            "psql -X -q -h %s -U postgres -1 -v ON_ERROR_STOP=1 -f - >/dev/null",
            database->dir);
    FILE *pipe = popen(command, "w");
    ASSERT(pipe != NULL && fputs(sql, pipe) >= 0);
    ASSERT(pclose(pipe) == 0);
}

/* Starts the server and the loop and applies all migrations (noting none); no pool yet. */
static inline void scratch_database_start(struct scratch_database *database)
{
    char command[256];
    scratch_start("scratch-pg", database->dir);
    scratch_sql(database,
            "CREATE TABLE public.starling_migration (service text, number int, name text,"
            " applied timestamptz DEFAULT now(), PRIMARY KEY (service, number))");
    (void)snprintf(command,
            sizeof(command),
            "cat deploy/sql/router/*.sql deploy/sql/archive/*.sql |"
            " psql -X -q -h %s -U postgres -1 -v ON_ERROR_STOP=1 >/dev/null",
            database->dir);
    ASSERT(system(command) == 0);
    database->loop = loop_create(&clock_system);
}

/* `role`: "starling_router" or "starling_archive". The caller closes it. */
static inline struct pg_pool *scratch_pool(
        const struct scratch_database *database, const char *role, int connections)
{
    char conninfo[256];
    (void)snprintf(
            conninfo, sizeof(conninfo), "host=%s user=%s dbname=postgres", database->dir, role);
    const struct pg_options options = {
        .conninfo = conninfo,
        .connections = connections,
        .connect_timeout_ms = 2000,
        .query_timeout_ms = 5000,
        .reconnect_min_ms = 20,
        .reconnect_max_ms = 100,
        .max_queued = 1000,
    };
    struct pg_pool *pool = NULL;
    ASSERT(pg_pool_open(database->loop, &options, &pool) == ERR_OK);
    return pool;
}

/* What a test of one store of the router begins with. */
static inline void scratch_router_start(struct scratch_database *database)
{
    scratch_database_start(database);
    database->pool = scratch_pool(database, "starling_router", 2);
}

/* Also without a pool. What the pool still calls back is called here. */
static inline void scratch_database_stop(struct scratch_database *database)
{
    pg_pool_close(database->pool);
    loop_destroy(database->loop);
    scratch_do("scratch-pg", "stop", database->dir);
}

static inline void scratch_await(const struct scratch_database *database, bool *is_done)
{
    ASSERT(scratch_run_until(database->loop, scratch_is_true, is_done, SCRATCH_WAIT_MS));
}

/* Inside of the PostgreSQL client: what pg.c (pool), pg_connection.c, pg_query.c and pg_result.c
 * share. Nobody else includes this. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "chassis/loop.h"
#include "chassis/pg.h"
#include "chassis/timer.h"

#define PG_SQLSTATE_SIZE 6

struct pg_connection;

/* ---- queries (pg_query.c) */

struct pg_slot {
    size_t offset; /* into the query's data */
    int len;       /* -1: SQL NULL */
};

struct pg_statement {
    size_t name; /* index into the pool's table of SQL constants */
    size_t first_slot;
    size_t slot_count;
};

struct pg_result {
    PGresult *raw;
};

struct pg_query {
    struct pg_pool *pool;
    struct pg_query *next;
    struct pg_connection *connection; /* NULL: waits in the pool */

    struct buf data;
    struct pg_slot *slots;
    size_t slot_count, slot_capacity;
    struct pg_statement *statements;
    size_t statement_count, statement_capacity;
    struct {
        bool is_open;
        bool has_null;
        size_t start;
        uint32_t count;
    } array;
    bool is_invalid;
    const char *failpoint; /* or NULL */

    pg_done done;
    void *context;
    struct timer timer;
    int64_t sent_us;
    int64_t deadline_ms;
    int retries;
    bool is_resting; /* before the next one */

    struct pg_result *results;
    size_t result_count;
    enum err err;
    char sqlstate[PG_SQLSTATE_SIZE];
};

void pg_query_forget_answer(struct pg_query *query); /* to be sent again */

/* ---- results (pg_result.c) */

/* The class of an SQLSTATE: what the caller can do about it. */
enum err pg_sqlstate_err(const char *sqlstate);
/* The session is of no use after this error, although the server keeps it. */
bool pg_sqlstate_spoils_session(const char *sqlstate);

/* ---- connections (pg_connection.c) */

struct pg_connection *pg_connection_create(struct pg_pool *pool);
void pg_connection_destroy(
        struct pg_connection *connection); /* its queries end with ERR_CLOSED; accepts NULL */
bool pg_connection_is_ready(const struct pg_connection *connection);
/* Drops it soon if its server is older than this timeline. */
void pg_connection_retire(struct pg_connection *connection, int64_t timeline);
size_t pg_connection_in_flight(const struct pg_connection *connection);
/* Takes the query into the pipeline; without a live server it ends with ERR_UNAVAILABLE. */
void pg_connection_send(struct pg_connection *connection, struct pg_query *query);
/* Drops the connection: overdue queries end with ERR_TIMEOUT, the others with ERR_UNAVAILABLE. */
void pg_connection_time_out(struct pg_connection *connection);

/* ---- the pool (pg.c) */

struct loop *pg_pool_loop(const struct pg_pool *pool);
const struct pg_options *pg_pool_options(const struct pg_pool *pool);
struct pg_hosts *pg_pool_hosts(const struct pg_pool *pool);
/* False: this process has seen a later timeline, so that server was primary once and is cut off. A
 * later one than before retires the connections to older servers. */
bool pg_pool_accepts_timeline(struct pg_pool *pool, int64_t timeline);
size_t pg_pool_intern(struct pg_pool *pool, const char *sql);
const char *pg_pool_sql(const struct pg_pool *pool, size_t name);
/* A connection became ready or stopped being so; or has room again. */
void pg_pool_on_connection(struct pg_pool *pool, bool is_ready);
void pg_pool_wake(struct pg_pool *pool);
/* Sends past the queue and without a time-out of its own: for the set-up of a connection. */
void pg_pool_send_on(
        struct pg_query *query, struct pg_connection *connection, pg_done done, void *context);
/* Calls `done` and frees the query, or sends it again later. */
void pg_pool_finish(struct pg_query *query, enum err err);

/* PostgreSQL, asynchronous and pipelined (libpq), on the loop thread. A pool of connections; each
 * query is a transaction of one or more prepared statements sent in one round trip. Reconnects with
 * backoff; a query has its own time-out.
 *
 * With several hosts in the connection string each attempt begins with another one, so that a host
 * that swallows packets costs one connect time-out. A server with an older timeline than one this
 * process has talked to is a primary of the past and refused (G06); that holds until the process
 * ends, so whoever puts an older database in place of a newer one restarts the services. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/config.h"

struct loop;
struct pg_pool;

struct pg_options {
    const char *conninfo; /* libpq connection string; the password comes from passfile= or a service
                             file */
    int connections;
    int64_t connect_timeout_ms;
    int64_t query_timeout_ms; /* then the connection is dropped and the query ends with ERR_TIMEOUT
                               */
    int64_t reconnect_min_ms, reconnect_max_ms; /* 0: 100 ms, 5 s */
    struct pg_pool *companion; /* another pool to the same hosts, or NULL: what one of them (and
                                  of its other companions) learns of a promotion all know */
    size_t max_queued; /* queries waiting for a connection: beyond it ERR_LIMIT at once (bulkhead,
                          G02) */
};

/* A parameter, in binary form. */
struct pg_param {
    const void *data; /* NULL: SQL NULL */
    int len;
};

/* Big-endian scratch for binary parameters: arena-like, lives in a query. */
struct pg_query; /* one transaction being built, then in flight */

/* The result of one statement, valid during the callback. Columns are binary. */
struct pg_result;
int pg_result_rows(const struct pg_result *result);
bool pg_result_is_null(const struct pg_result *result, int row, int column);
struct str pg_result_bytes(
        const struct pg_result *result, int row, int column); /* text, bytea, raw */
int64_t pg_result_int(
        const struct pg_result *result, int row, int column); /* int2, int4, int8, bool */
int64_t pg_result_affected(const struct pg_result *result);   /* rows of INSERT, UPDATE, DELETE */

/* `err` ERR_OK: `results[i]` is the result of statement i of `count`, all committed.
 * ERR_UNAVAILABLE / ERR_TIMEOUT: the connection was lost; whether it committed is unknown (repeat
 * idempotently). ERR_INVALID etc.: refused by the server, rolled back; `sqlstate` has 5 characters,
 * else "". */
typedef void (*pg_done)(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count);

MUST_USE enum err pg_pool_open(
        struct loop *loop, const struct pg_options *options, struct pg_pool **pool_out);
/* Queries in flight and waiting end with ERR_CLOSED. Not from a callback of the pool. Accepts NULL.
 */
void pg_pool_close(struct pg_pool *pool);
bool pg_pool_is_up(const struct pg_pool *pool); /* at least one connection is ready */
/* Called when the first connection comes up and when the last goes down. */
void pg_pool_on_change(struct pg_pool *pool, void (*fn)(void *context, bool is_up), void *context);
int pg_pool_free_connections(const struct pg_pool *pool);

struct pg_query *pg_query_create(struct pg_pool *pool);
void pg_query_discard(struct pg_query *query); /* one that was not sent */
/* Adds a statement; `sql` must be a string constant: its address names the prepared statement on
 * each connection. Parameters follow through pg_add_* in order $1, $2, ... */
void pg_query_statement(struct pg_query *query, const char *sql);
/* As the last statement of a query that only reads: what it read comes back only if the server
 * could commit afterwards, so was the primary when it read. A primary whose synchronous standby was
 * promoted away from it does not know, and its answers are old (G06). One commit; nothing with a
 * single host. */
void pg_query_prove_primary(struct pg_query *query);
/* A failpoint of test builds: the process dies when the server has executed all statements of the
 * query, and before it is told to commit (T02). `name` is a string constant. */
void pg_query_failpoint(struct pg_query *query, const char *name);
void pg_add_int8(struct pg_query *query, int64_t value);
void pg_add_int4(struct pg_query *query, int32_t value);
void pg_add_bool(struct pg_query *query, bool value);
void pg_add_text(struct pg_query *query,
        struct str value); /* copied; a NUL inside makes the query end with ERR_INVALID (G07) */
void pg_add_bytes(struct pg_query *query, struct str value); /* copied */
void pg_add_uuid(struct pg_query *query, uint64_t hi, uint64_t lo);
void pg_add_null(struct pg_query *query);
/* Arrays: begin, then `count` elements by the calls above (all of one type), then end. */
enum pg_array_type {
    PG_ARRAY_INT4 = 23,
    PG_ARRAY_INT8 = 20,
    PG_ARRAY_TEXT = 25,
    PG_ARRAY_BYTEA = 17,
    PG_ARRAY_UUID = 2950,
    PG_ARRAY_BOOL = 16
};
void pg_add_array_begin(struct pg_query *query, enum pg_array_type type);
void pg_add_array_end(struct pg_query *query);
/* What loses against another transaction (serialization failure, deadlock) is rolled back by the
 * server and sent again up to three times within its time-out (G04); then ERR_CONFLICT.
 *
 * Takes the query. Its statements are one transaction (READ COMMITTED, each with a snapshot of its
 * own), sent in one pipeline with one sync. Leaves at the end of the turn. `done` is never called
 * from inside this call. Queries in flight at the same time have no order among each other. */
void pg_query_send(struct pg_query *query, pg_done done, void *context);

/* Section "postgres" (conninfo per service). */
struct pg_config {
    char *conninfo, *admin_conninfo; /* the service's own; starlingctl's for migrations */
    int64_t connections, connect_timeout_ms, query_timeout_ms, max_queued;
};
/* For a pool with all of the section's connections; reconnects as a pool does by default. Borrows
 * from `config`. */
struct pg_options pg_config_options(const struct pg_config *config);
/* One section per service, same struct: "postgres_router", "postgres_archive". */
extern const struct config_section config_section_postgres_router;
extern const struct config_section config_section_postgres_archive;

/* Redis, asynchronous and pipelined (hiredis), on the loop thread: everything asked in one turn is
 * one write. Reconnects with backoff; commands have a time-out of their own (hiredis 0.14 has
 * none). Nothing durable may depend on it (P6). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "chassis/config.h"

struct loop;
struct redis;

enum redis_type {
    REDIS_NIL,
    REDIS_STATUS,
    REDIS_ERROR,
    REDIS_INTEGER,
    REDIS_STRING,
    REDIS_ARRAY,
};

/* A view of a reply, valid during the callback. */
struct redis_value {
    enum redis_type type;
    int64_t integer;
    struct str text;
    const void *opaque; /* the library's node */
    size_t count;       /* elements of an array */
};
/* Of anything but an array, or behind its end: REDIS_NIL. */
struct redis_value redis_value_at(const struct redis_value *array, size_t index);

/* `err` ERR_OK: `reply` is there (it may be a REDIS_ERROR); else ERR_UNAVAILABLE or ERR_TIMEOUT and
 * reply is NULL. */
typedef void (*redis_done)(void *context, enum err err, const struct redis_value *reply);

/* The connection options are read from the section "redis". */
struct redis_config {
    char *address; /* "unix:/path" or "tcp:host:port" */
    char *user, *password_file;
    struct config_strings
            sentinels; /* host:port; with sentinel_master: the address comes from them */
    char *sentinel_master;
    int64_t connect_timeout_ms, command_timeout_ms, reconnect_min_ms, reconnect_max_ms, max_pending;
};
extern const struct config_section config_section_redis;
bool redis_is_configured(const struct redis_config *config); /* else: no Redis at all */

MUST_USE enum err redis_open(
        struct loop *loop, const struct redis_config *config, struct redis **redis_out);
/* Pending commands end with ERR_UNAVAILABLE. Not from a callback of this client. Accepts NULL. */
void redis_close(struct redis *redis);
bool redis_is_up(const struct redis *redis);
/* Milliseconds since the connection was lost, or since redis_open; 0 while it is up. */
int64_t redis_down_ms(const struct redis *redis);
/* After each connect (is_up) and each loss. A fresh connect may mean an empty Redis: owners write
 * again what they own. */
void redis_on_change(struct redis *redis, void (*fn)(void *context, bool is_up), void *context);
/* As long as `may_write` says no, commands nobody waits for (`done` NULL) are left out. It is asked
 * again before they leave, with the time read anew: if it says no then, the connection is dropped.
 */
void redis_guard_writes(struct redis *redis, bool (*may_write)(void *context), void *context);
/* While connected, a command nobody waits for was refused, as max_pending others have no reply yet:
 * Redis lacks what it would have written. Called from inside redis_command. */
void redis_on_refused(struct redis *redis, void (*fn)(void *context), void *context);
/* Connected, and fewer than half of max_pending commands have no reply: who has much to write does
 * it while there is room, so that the others' commands are taken all the same. */
bool redis_has_room(const struct redis *redis);
/* `done` may be NULL. Arguments are copied. Never fails synchronously: without a connection `done`
 * gets ERR_UNAVAILABLE (from the loop, never from inside this call). */
void redis_command(
        struct redis *redis, const struct str *args, size_t count, redis_done done, void *context);

/* The protocol of Redis: commands as bytes, views of replies, and ceilings for what a reply may
 * cost (G09). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

#include "chassis/base/buf.h"
#include "chassis/redis.h"

void redis_command_write(struct buf *out, const struct str *args, size_t count); /* empties it */

struct redis_value redis_reply_value(const redisReply *reply);
/* An error that speaks of the server, not of the command: this connection will not get better. */
bool redis_reply_is_fatal(const struct redis_value *value);

/* Hooked into hiredis' reader: a reply beyond the ceilings ends the connection as "out of memory".
 */
struct redis_limits {
    redisReplyObjectFunctions functions;
    const redisReplyObjectFunctions *inner;
    size_t reply_bytes; /* of the reply being read */
};
void redis_limits_install(struct redis_limits *limits, redisReader *reader);
/* The unread input alone is too much: one huge bulk string that is still arriving. */
bool redis_limits_is_exceeded(const redisReader *reader);

/* Quotas of all routers in Redis, without scripts and transactions (an ACL may forbid both): a
 * bucket is a number, the moment at which it is full, and the key ends at that moment; so the
 * number is there exactly as long as it lies in the future. Charging is SET key NOW NX PX ... a
 * full bucket is full now INCRBY key AMOUNT          the answer is the new moment PEXPIREAT key
 * THEN Keys are keyed hashes: neither addresses nor accounts can be read there. Loop thread only.
 */
#pragma once

#include "router/quota.h"

struct loop;
struct redis;
struct quota_redis;

/* Both live longer; after redis_close no answer is outstanding. */
struct quota_redis *quota_redis_create(struct loop *loop, struct redis *redis);
void quota_redis_destroy(struct quota_redis *store); /* accepts NULL */

/* Its context is a quota_redis. */
extern const struct quota_store quota_redis_store;

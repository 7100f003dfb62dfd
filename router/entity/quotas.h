/* What an account has spent of its limits (router/quota.h): the buckets lie in the entity, so that
 * a stanza costs a comparison. What is unsaid when the account leaves is told, and its next home
 * hears it. */
#pragma once

#include "router/quota.h"

struct entity;
struct host;

/* False: not that much is left, and nothing was taken. */
bool entity_take_quota(struct entity *entity, enum quota_kind kind, int64_t tokens);
bool entity_take_host_quota(struct entity *entity, const struct host *host); /* one stanza */
void entity_close_quotas(struct entity *entity);

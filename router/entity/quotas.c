/* Buckets of an account and of its host. */
#include "router/entity/quotas.h"

#include "chassis/loop.h"
#include "router/entity/entity.h"
#include "router/router.h"

static struct quota_spend spend_of(
        const struct entity *entity, enum quota_kind kind, int64_t tokens)
{
    return (struct quota_spend){
        .kind = kind,
        .limit = entity->router->settings->quotas[kind],
        .identity = entity->bare,
        .tokens = tokens,
        .now_ns = loop_wall_us(entity->router->loop) * 1000,
    };
}

bool entity_take_quota(struct entity *entity, enum quota_kind kind, int64_t tokens)
{
    struct quota_spend spend = spend_of(entity, kind, tokens);
    return quota_take(entity->router->quota, &entity->quotas[kind], &spend);
}

void entity_close_quotas(struct entity *entity)
{
    for (int kind = 0; kind < QUOTA_ACCOUNT_KINDS; kind++) {
        struct quota_spend spend = spend_of(entity, (enum quota_kind)kind, 0);
        quota_bucket_close(entity->router->quota, &entity->quotas[kind], &spend);
    }
}

bool entity_take_host_quota(struct entity *entity, const struct host *host)
{
    if (!host || host->stanzas.cost_ns == 0 || !entity->router->quota) {
        return true;
    }
    const struct quota_spend spend = {
        .kind = QUOTA_HOST_STANZAS,
        .limit = host->stanzas,
        .identity = host->domain,
        .tokens = 1,
        .now_ns = loop_wall_us(entity->router->loop) * 1000,
    };
    return quota_take_of_domain(entity->router->quota, &spend);
}

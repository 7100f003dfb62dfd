/* All sessions at home here as a JSON array, for operators. */
#include "chassis/base/encoding.h"
#include "chassis/loop.h"
#include "router/entity/components.h"
#include "router/entity/entity.h"
#include "router/entity/posts.h"
#include "router/entity/sm_session.h"
#include "router/router.h"

static const char *state_of(const struct resource *resource)
{
    const struct sm_session *sm = resource->sm;
    if (resource->is_closing) {
        return "closing";
    }
    if (sm && sm->resume) {
        return "moving";
    }
    return sm && sm->is_detached ? "detached" : "attached";
}

static void write_sm(const struct router *router, struct buf *out, const struct resource *resource)
{
    const struct sm_session *sm = resource->sm;
    if (!sm) {
        buf_append_literal(out, ",\"sm\":false");
        return;
    }
    int64_t detached_ms = sm->is_detached ? loop_now_ms(router->loop) - sm->detached_ms : 0;
    buf_printf(out,
            ",\"sm\":true,\"resumable\":%s,\"queued\":%zu,\"queued_bytes\":%zu,\"h_in\":%u,\"h_out\":%u"
            ",\"sequence\":%u,\"acked\":%u,\"attach\":%u,\"detached_s\":%lld",
            sm->is_resumable ? "true" : "false",
            sm->queue.count,
            sm->queue.bytes,
            resource->handled - sm->base_counter,
            sm->queue.acked - sm->base_sequence,
            sm->queue.last,
            sm->queue.acked,
            sm->attach,
            (long long)(detached_ms / 1000));
}

void entity_report_sessions(struct entity_table *table, struct buf *out)
{
    const struct router *router = entity_table_router(table);
    const char *separator = "";
    buf_append_char(out, '[');
    for (struct entity *entity = entity_table_first(table); entity; entity = entity->hh.next) {
        for (const struct resource *resource = entity->resources; resource;
                resource = resource->next) {
            buf_printf(out, "%s\n{\"jid\":", separator);
            json_encode_string(out, resource->full);
            buf_printf(out,
                    ",\"state\":\"%s\",\"edge\":\"%s\",\"available\":%s,\"handled\":%u",
                    state_of(resource),
                    resource->edge,
                    resource->is_available ? "true" : "false",
                    resource->handled);
            write_sm(router, out, resource);
            buf_append_char(out, '}');
            separator = ",";
        }
    }
    components_report(router->components, separator, out);
    buf_append_literal(out, "]\n");
}

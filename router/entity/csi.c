/* Client state (XEP-0352): what waits in front of an inactive client's stream, and what lets it
 * through. */
#include "chassis/metrics.h"
#include "router/entity/csi_buffer.h"
#include "router/entity/entity.h"
#include "router/entity/send.h"
#include "router/entity/sessions.h"
#include "router/entity/sm.h"
#include "router/router.h"

static struct metric held_total =
        METRIC_COUNTER_INIT("csi_held_total", "Stanzas held back for inactive clients", NULL);

static void let_through(struct entity *entity, struct resource *resource)
{
    struct csi_held *held;
    while ((held = csi_buffer_pop(resource->csi)) != NULL) {
        send_past_csi(entity, resource, &held->stanza);
        csi_held_destroy(held);
    }
}

bool csi_hold_back(struct entity *entity,
        struct resource *resource,
        const struct stanza *stanza,
        int64_t log_id)
{
    if (!resource->csi) {
        return false;
    }
    const struct settings *settings = entity->router->settings;
    const struct csi_limits limits = {
        .max_held = (size_t)settings->csi_max_held,
        .max_bytes = (size_t)settings->csi_max_held_bytes,
    };
    if (log_id == 0 && csi_may_wait(stanza) && csi_buffer_hold(resource->csi, stanza, &limits)) {
        metric_add(&held_total, 1);
        return true;
    }
    let_through(entity, resource); /* in front of it: order is kept for each sender */
    return false;
}

void csi_handle_state(struct entity *entity, const struct item *item)
{
    struct resource *resource = entity_find_session(entity, item->session);
    if (!resource || resource->is_closing || strcmp(resource->edge, item->edge) != 0
            || (resource->sm && !sm_session_is_current(resource->sm, item->sm.attach))) {
        return;
    }
    if (item->sm.is_inactive && !resource->csi) {
        resource->csi = csi_buffer_create();
    } else if (!item->sm.is_inactive && resource->csi) {
        let_through(entity, resource);
        csi_buffer_destroy(resource->csi);
        resource->csi = NULL;
    }
}

/* Link, registry, and the roles of those who talk to us. */
#include "edge/bus.h"

#include "chassis/base/arena.h"
#include "chassis/base/digest.h"
#include "chassis/link.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "chassis/redis.h"
#include "chassis/registry.h"
#include "edge/downlink.h"
#include "edge/edge.h"
#include "edge/host_caps.h"
#include "edge/uplink.h"

static struct metric refused_total = METRIC_COUNTER_INIT("bus_records_refused_total",
        "Records of a peer that may not say so, or that nobody understands.",
        NULL);

static void refuse(struct link_peer *peer)
{
    metric_add(&refused_total, 1);
    log_warn("bus", "record refused", log_cstr("peer", link_peer_node(peer)));
}

static void dispatch(struct edge *edge, struct link_peer *peer, const Wire__Envelope *envelope)
{
    switch ((int)envelope->verb_case) {
    case WIRE__ENVELOPE__VERB_DELIVER:
    case WIRE__ENVELOPE__VERB_KICK: downlink_take(edge->downlink, peer, envelope); break;
    case WIRE__ENVELOPE__VERB_HOST_CAPS:
        host_caps_take(edge->host_caps, envelope->host_caps);
        break;
    case WIRE__ENVELOPE__VERB_SHARD_MAP:
    case WIRE__ENVELOPE__VERB_NOT_OWNER:
    case WIRE__ENVELOPE__VERB_HANDLED:
    case WIRE__ENVELOPE__VERB_CLOSE_REPLY:
    case WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY:
    case WIRE__ENVELOPE__VERB_AUTH_RESULT:
    case WIRE__ENVELOPE__VERB_BIND_REPLY:
    case WIRE__ENVELOPE__VERB_ENABLE_REPLY:
    case WIRE__ENVELOPE__VERB_RESUME_REPLY:
    case WIRE__ENVELOPE__VERB_REGISTER_REPLY: uplink_take(edge->uplink, peer, envelope); break;
    default: refuse(peer); break;
    }
}

static void on_record(void *context, struct link_peer *peer, uint64_t boot_epoch, struct str record)
{
    (void)boot_epoch;
    struct edge *edge = context;
    const Wire__Envelope *envelope = NULL;
    if (link_peer_role(peer) != LINK_ROLE_ROUTER) {
        refuse(peer); /* only routers have something to say to an edge (F01) */
        return;
    }
    struct arena arena;
    arena_init(&arena, 0);
    if (wire_unpack(&arena, record, &envelope) == ERR_OK) {
        dispatch(edge, peer, envelope);
    } else {
        refuse(peer);
    }
    arena_fini(&arena);
}

static void on_up(void *context, struct link_peer *peer, uint64_t boot_epoch)
{
    (void)boot_epoch;
    struct edge *edge = context;
    if (link_peer_role(peer) == LINK_ROLE_ROUTER) {
        uplink_peer_up(edge->uplink, peer);
    }
}

static void on_down(void *context, struct link_peer *peer, uint64_t boot_epoch, bool is_dead)
{
    (void)boot_epoch;
    struct edge *edge = context;
    if (link_peer_role(peer) == LINK_ROLE_ROUTER) {
        uplink_peer_down(edge->uplink, peer, is_dead);
    }
}

static void on_room(void *context, struct link_peer *peer)
{
    (void)peer;
    struct edge *edge = context;
    uplink_peer_room(edge->uplink);
}

static const struct link_handlers link_handlers = {
    .on_record = on_record,
    .on_up = on_up,
    .on_down = on_down,
    .on_room = on_room,
};

static enum err open_link(struct edge *edge, const struct link_config *bus, struct buf *why)
{
    struct buf secret;
    buf_init(&secret, 0);
    enum err err = link_config_read_secret(bus, LINK_ROLE_EDGE, &secret, why);
    if (err == ERR_OK) {
        struct link_options options = link_config_options(bus);
        options.node = edge->node;
        options.role = LINK_ROLE_EDGE;
        options.boot_epoch = edge->boot_epoch;
        options.edge_secret = buf_view(&secret);
        err = link_open(edge->loop, &options, &link_handlers, edge, &edge->link);
        if (err != ERR_OK) {
            buf_printf(why, "cannot open the bus at %s: %s", bus->address, err_name(err));
        }
    }
    buf_fini_secret(&secret);
    return err;
}

static enum err open_redis(struct edge *edge, const struct config *config, struct buf *why)
{
    const struct redis_config *redis = config_get(config, &config_section_redis);
    if (!redis_is_configured(redis)) {
        return ERR_OK; /* static peers only */
    }
    enum err err = redis_open(edge->loop, redis, &edge->redis);
    if (err != ERR_OK) {
        buf_printf(why, "redis: %s", err_name(err));
    }
    return err;
}

static enum err open_registry(struct edge *edge)
{
    const struct registry_options options = {
        .role = LINK_ROLE_EDGE,
        .dial_roles = 1U << LINK_ROLE_ROUTER,
    };
    return registry_open_service(edge->service, edge->redis, edge->link, &options, &edge->registry);
}

enum err bus_open(struct edge *edge, struct buf *why)
{
    const struct config *config = service_config(edge->service);
    const struct link_config *bus = config_get(config, &config_section_bus);
    metric_register(&refused_total);
    enum err err = open_link(edge, bus, why);
    if (err == ERR_OK) {
        err = open_redis(edge, config, why);
    }
    if (err == ERR_OK) {
        err = open_registry(edge);
    }
    return err;
}

void bus_close(struct edge *edge)
{
    registry_close(edge->registry);
    redis_close(edge->redis);
    link_close(edge->link);
    edge->registry = NULL;
    edge->redis = NULL;
    edge->link = NULL;
}

/* Packs, finds the peer, sends. What must not be lost for want of room waits in an overflow of the
 * peer; routes wait in route_queue. */
#include "router/egress.h"

#include "chassis/base/map.h"
#include "chassis/base/mem.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "router/entity/entity_table.h"
#include "router/peers.h"
#include "router/route_queue.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/signer.h"

#define SCAN_MS            100
#define BACKOFF_MS         100
#define EDGE_WAIT_MS       15000 /* then an edge nobody has heard of is gone */
#define OVERFLOW_MAX_BYTES ((size_t)16 << 20)

static struct metric metric_retries =
        METRIC_COUNTER_INIT("route_retries_total", "Routes sent again to a new home.", NULL);
static struct metric metric_dropped = METRIC_COUNTER_INIT(
        "egress_dropped_total", "Replies dropped: the peer takes nothing any more.", NULL);
static struct metric metric_volatile = METRIC_COUNTER_INIT(
        "volatile_dropped_total", "Volatile stanzas without a reachable home.", NULL);

/* Replies for a peer whose link is full, each with its length in front. */
struct overflow {
    struct peer *peer;
    struct buf records;
    UT_hash_handle hh;
};

struct egress {
    struct router *router;
    struct arena arena; /* of one message */
    struct buf record;  /* likewise */
    struct route_queue routes;
    struct overflow *overflows;
    struct timer scan;
    int64_t started_ms;
};

/* ---- sending */

static struct str pack(struct egress *egress, const Wire__Envelope *envelope)
{
    buf_clear(&egress->record);
    wire_pack(&egress->record, envelope);
    return buf_view(&egress->record);
}

static struct overflow *find_overflow(struct egress *egress, const struct peer *peer)
{
    struct overflow *overflow;
    HASH_FIND_PTR(egress->overflows, &peer, overflow);
    return overflow;
}

static void overflow_free(struct egress *egress, struct overflow *overflow)
{
    HASH_DEL(egress->overflows, overflow);
    buf_fini(&overflow->records);
    free(overflow);
}

static void overflow_add(struct egress *egress, struct peer *peer, struct str record)
{
    struct overflow *overflow = find_overflow(egress, peer);
    if (overflow == NULL) {
        overflow = MEM_NEW(struct overflow);
        overflow->peer = peer;
        buf_init(&overflow->records, 0);
        HASH_ADD_PTR(egress->overflows, peer, overflow);
    }
    if (buf_view(&overflow->records).len + record.len > OVERFLOW_MAX_BYTES) {
        metric_add(&metric_dropped, 1);
        return;
    }
    buf_append_u32be(&overflow->records, (uint32_t)record.len);
    buf_append_str(&overflow->records, record);
}

static void overflow_drain(struct egress *egress, struct overflow *overflow)
{
    struct str rest = buf_view(&overflow->records);
    while (rest.len > 0) {
        const uint8_t *head = (const uint8_t *)rest.ptr;
        size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        enum err err = link_send(overflow->peer->link, str_from(rest.ptr + 4, len));
        if (err == ERR_LIMIT) {
            return;
        }
        buf_consume(&overflow->records, 4 + len);
        rest = buf_view(&overflow->records);
    }
    overflow_free(egress, overflow);
}

/* For what the other side waits for: kept when there is no room, in order. */
static void send_reply(struct egress *egress, struct peer *peer, const Wire__Envelope *envelope)
{
    if (peer->is_dead) {
        return;
    }

    struct str record = pack(egress, envelope);
    if (find_overflow(egress, peer) != NULL || link_send(peer->link, record) == ERR_LIMIT) {
        overflow_add(egress, peer, record);
    }
}

static struct peer *find_edge(struct egress *egress, const char *edge)
{
    return peers_find(egress->router->peers, egress->router->link, edge, LINK_ROLE_EDGE);
}

static void send_to_edge(struct egress *egress, const char *edge, const Wire__Envelope *envelope)
{
    struct peer *peer = find_edge(egress, edge);
    if (peer != NULL) {
        send_reply(egress, peer, envelope);
    }
}

static Wire__Id *id_of(struct egress *egress, struct id128 id)
{
    Wire__Id *message = arena_alloc(&egress->arena, sizeof(*message));
    *message = WIRE_ID_INIT(id);
    return message;
}

/* ---- to edges */

static void add_targets(struct egress *egress,
        Wire__Deliver *deliver,
        const struct egress_target *targets,
        size_t count)
{
    deliver->targets = arena_alloc(&egress->arena, count * sizeof(*deliver->targets));
    deliver->n_targets = count;
    for (size_t i = 0; i < count; i++) {
        Wire__Target *target = arena_alloc(&egress->arena, sizeof(*target));
        wire__target__init(target);
        target->session = id_of(egress, targets[i].session);
        target->bare = wire_bytes(targets[i].bare);
        target->to = wire_bytes(targets[i].to);
        target->sequence = targets[i].sequence;
        target->attach = targets[i].attach;
        deliver->targets[i] = target;
    }
}

/* A router that has just started knows sessions (from Redis) before it knows their edges. */
static bool may_become_known(const struct egress *egress, const char *edge)
{
    return link_find_peer(egress->router->link, edge) == NULL
            && loop_now_ms(egress->router->loop) - egress->started_ms < EDGE_WAIT_MS;
}

enum err egress_deliver(struct egress *egress,
        const char *edge,
        const struct stanza *stanza,
        int64_t log_id,
        const struct egress_target *targets,
        size_t count)
{
    struct peer *peer = find_edge(egress, edge);
    if (peer == NULL) {
        return may_become_known(egress, edge) ? ERR_LIMIT : ERR_UNAVAILABLE;
    }
    if (find_overflow(egress, peer) != NULL) {
        return ERR_LIMIT;
    }

    arena_reset(&egress->arena);
    Wire__Stanza message = WIRE__STANZA__INIT;
    wire_stanza_set(&message, stanza);
    Wire__Deliver deliver = WIRE__DELIVER__INIT;
    deliver.stanza = &message;
    deliver.log_id = log_id;
    add_targets(egress, &deliver, targets, count);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_DELIVER;
    envelope.deliver = &deliver;
    return link_send(peer->link, pack(egress, &envelope));
}

static void send_handled(
        struct egress *egress, const char *edge, struct id128 session, Wire__Handled *handled)
{
    Wire__Id id = WIRE_ID_INIT(session);
    handled->session = &id;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_HANDLED;
    envelope.handled = handled;
    send_to_edge(egress, edge, &envelope);
}

void egress_handled(struct egress *egress,
        const char *edge,
        struct id128 session,
        uint32_t counter,
        Wire__Switch carbons)
{
    Wire__Handled handled = WIRE__HANDLED__INIT;
    handled.counter = counter;
    handled.carbons = carbons;
    send_handled(egress, edge, session, &handled);
}

void egress_answered(struct egress *egress,
        const char *edge,
        struct id128 session,
        uint32_t handled_counter,
        uint32_t counter)
{
    Wire__Handled handled = WIRE__HANDLED__INIT;
    handled.counter = handled_counter;
    handled.answered = &counter;
    handled.n_answered = 1;
    send_handled(egress, edge, session, &handled);
}

void egress_kick(struct egress *egress,
        const char *edge,
        struct id128 session,
        struct str bare,
        enum stream_condition condition,
        struct str text)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Kick kick = WIRE__KICK__INIT;
    kick.session = &id;
    kick.bare = wire_bytes(bare);
    kick.condition = condition;
    kick.text = wire_bytes(text);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_KICK;
    envelope.kick = &kick;
    send_to_edge(egress, edge, &envelope);
}

void egress_kick_moved(struct egress *egress,
        const char *edge,
        struct id128 session,
        struct str bare,
        uint32_t attach)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Kick kick = WIRE__KICK__INIT;
    kick.session = &id;
    kick.bare = wire_bytes(bare);
    kick.condition = STREAM_ERROR_CONFLICT;
    kick.attach = attach;
    kick.is_moved = true;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_KICK;
    envelope.kick = &kick;
    send_to_edge(egress, edge, &envelope);
}

void egress_enable_reply(struct egress *egress, const char *edge, const Wire__EnableReply *reply)
{
    Wire__EnableReply message = *reply;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ENABLE_REPLY;
    envelope.enable_reply = &message;
    send_to_edge(egress, edge, &envelope);
}

void egress_resume_reply(struct egress *egress, const char *edge, const Wire__ResumeReply *reply)
{
    struct buf token;
    struct buf attach_token;
    buf_init(&token, 0);
    buf_init(&attach_token, 0);
    Wire__ResumeReply message = *reply;
    if (reply->status == WIRE__STATUS__STATUS_OK) {
        struct signer_session session = {
            .session = wire_id(reply->session),
            .full = wire_str(reply->full),
            .edge = str_from_cstr(edge),
            .attach = 1,
        };
        signer_token(egress->router->signer, &session, &token);
        message.token = wire_bytes(buf_view(&token));
        session.attach = reply->attach;
        signer_token(egress->router->signer, &session, &attach_token);
        message.attach_token = wire_bytes(buf_view(&attach_token));
    }
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_RESUME_REPLY;
    envelope.resume_reply = &message;
    send_to_edge(egress, edge, &envelope);
    buf_fini(&token);
    buf_fini(&attach_token);
}

void egress_close_reply(
        struct egress *egress, const char *edge, struct id128 session, uint32_t attach)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__CloseReply reply = WIRE__CLOSE_REPLY__INIT;
    reply.session = &id;
    reply.attach = attach;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_CLOSE_REPLY;
    envelope.close_reply = &reply;
    send_to_edge(egress, edge, &envelope);
}

void egress_bind_reply(struct egress *egress, const char *edge, const Wire__BindReply *reply)
{
    Wire__BindReply message = *reply;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_BIND_REPLY;
    envelope.bind_reply = &message;
    send_to_edge(egress, edge, &envelope);
}

void egress_not_owner(struct egress *egress, struct link_peer *peer, unsigned shard)
{
    Wire__NotOwner message = WIRE__NOT_OWNER__INIT;
    message.shard = shard;
    message.map_version = shard_map_version(egress->router->shards);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_NOT_OWNER;
    envelope.not_owner = &message;
    egress_envelope(egress, peer, &envelope);
}

void egress_ask_announce(struct egress *egress, const char *edge, unsigned shard)
{
    struct peer *peer = find_edge(egress, edge);
    if (peer != NULL) {
        egress_not_owner(egress, peer->link, shard);
    }
}

void egress_envelope(struct egress *egress, struct link_peer *link, const Wire__Envelope *envelope)
{
    send_reply(egress, peers_get(egress->router->peers, link), envelope);
}

/* ---- routes */

/* NULL: nobody we can reach is known as the home. */
static struct peer *find_home(struct egress *egress, unsigned shard)
{
    const char *node = shard_owner_node(egress->router->shards, shard);
    if (node == NULL || strcmp(node, egress->router->node) == 0) {
        return NULL;
    }

    return peers_find(egress->router->peers, egress->router->link, node, LINK_ROLE_ROUTER);
}

static void pack_route(struct egress *egress,
        uint64_t request,
        const struct origin *origin,
        const struct stanza *stanza,
        struct buf *out)
{
    arena_reset(&egress->arena);
    Wire__Stanza message = WIRE__STANZA__INIT;
    wire_stanza_set(&message, stanza);
    Wire__Origin from = WIRE__ORIGIN__INIT;
    from.session = id_of(egress, origin->session);
    from.counter = origin->counter;
    from.part = origin->part;
    Wire__Route route = WIRE__ROUTE__INIT;
    route.request = request;
    route.origin = &from;
    route.stanza = &message;
    route.is_repeat = origin->is_repeat;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ROUTE;
    envelope.route = &route;
    wire_pack(out, &envelope);
}

/* ---- a route whose home has become this router */

struct local_route {
    struct egress *egress;
    uint64_t request;
};

static void watch_waiting(struct egress *egress)
{
    if (egress->routes.waiting > 0 && !timer_is_running(&egress->scan)) {
        timer_start(loop_timers(egress->router->loop), &egress->scan, SCAN_MS);
    }
}

static void unsend(struct egress *egress, unsigned shard, const void *peer)
{
    route_queue_unsend(&egress->routes, shard, peer);
    watch_waiting(egress);
}

static void on_local_done(void *context, enum err err)
{
    struct local_route *local = context;
    struct egress *egress = local->egress;
    struct route *route = route_queue_find(&egress->routes, local->request);
    free(local);
    if (route == NULL) {
        return;
    }
    if (err == ERR_OK || err == ERR_DENIED) {
        route_queue_finish(&egress->routes, route, err);
        return;
    }

    /* Fenced or overloaded: again, wherever the home is by then. */
    egress->routes.by_shard[route->shard].not_before_ms =
            loop_now_ms(egress->router->loop) + BACKOFF_MS;
    if (route->sent_to == egress) {
        unsend(egress, route->shard, egress);
    }
}

static void route_here(struct egress *egress, struct route *route)
{
    struct arena arena;
    arena_init(&arena, 0);
    const Wire__Envelope *envelope;
    struct stanza stanza;
    enum err err = wire_unpack(&arena, buf_view(&route->record), &envelope);
    ASSERT(err == ERR_OK);
    err = wire_stanza_get(envelope->route->stanza, &stanza);
    ASSERT(err == ERR_OK);
    struct origin origin = origin_of_wire(envelope->route->origin);
    origin.is_repeat = route->was_ever_sent ? 1 : 0;
    struct local_route *local = MEM_NEW(struct local_route);
    *local = (struct local_route){ egress, route->request };
    route_queue_sent(&egress->routes, route, egress);
    entity_on_route(egress->router->entities, &origin, &stanza, on_local_done, local);
    arena_fini(&arena);
}

/* Who has not answered may have taken it. */
static void mark_repeat(struct egress *egress, struct route *route)
{
    const Wire__Envelope *envelope;
    arena_reset(&egress->arena);
    enum err err = wire_unpack(&egress->arena, buf_view(&route->record), &envelope);
    ASSERT(err == ERR_OK);
    if (envelope->route->is_repeat) {
        return;
    }
    envelope->route->is_repeat = true;
    struct buf record;
    buf_init(&record, 0);
    wire_pack(&record, envelope);
    buf_fini(&route->record);
    route->record = record;
}

/* Who has refused one for now, inside the call, too, is asked again later. */
static struct route *next_to_send(const struct egress *egress, unsigned shard)
{
    bool is_due = loop_now_ms(egress->router->loop) >= egress->routes.by_shard[shard].not_before_ms;
    return is_due ? route_queue_next(&egress->routes, shard) : NULL;
}

static void flush_shard(struct egress *egress, unsigned shard)
{
    struct route *route = next_to_send(egress, shard);
    while (route != NULL) {
        if (shard_is_owned(egress->router->shards, shard)) {
            route_here(egress, route);
        } else {
            struct peer *home = find_home(egress, shard);
            if (home == NULL) {
                return;
            }
            if (route->was_ever_sent) {
                mark_repeat(egress, route);
            }
            if (link_send(home->link, buf_view(&route->record)) != ERR_OK) {
                return;
            }
            if (route->was_ever_sent) {
                metric_add(&metric_retries, 1);
            }
            route_queue_sent(&egress->routes, route, home);
        }
        route = next_to_send(egress, shard);
    }
}

static void flush_all(struct egress *egress)
{
    for (unsigned i = 0; i < egress->routes.shards && egress->routes.waiting > 0; i++) {
        if (egress->routes.by_shard[i].waiting > 0) {
            flush_shard(egress, i);
        }
    }
}

static void on_scan(struct timer *timer, void *context)
{
    struct egress *egress = context;
    struct router *router = egress->router;
    flush_all(egress);
    if (shard_may_give_up(router->shards)) {
        route_queue_expire(
                &egress->routes, loop_now_ms(router->loop) - router->settings->commit_timeout_ms);
    }
    if (egress->routes.waiting > 0) {
        timer_start(loop_timers(router->loop), timer, SCAN_MS);
    }
}

static void route_volatile(struct egress *egress,
        unsigned shard,
        const struct origin *origin,
        const struct stanza *stanza)
{
    struct peer *home = find_home(egress, shard);
    buf_clear(&egress->record);
    pack_route(egress, 0, origin, stanza, &egress->record);
    if (home == NULL || link_send(home->link, buf_view(&egress->record)) != ERR_OK) {
        metric_add(&metric_volatile, 1);
    }
}

void egress_route(struct egress *egress,
        const struct origin *origin,
        const struct stanza *stanza,
        egress_route_done done,
        void *context)
{
    struct jid to;
    struct str bare = jid_split(stanza->to, &to) == ERR_OK ? to.bare : stanza->to;
    unsigned shard = shard_of(egress->router->shards, bare);
    if (done == NULL) {
        route_volatile(egress, shard, origin, stanza);
        return;
    }

    struct route *route = route_queue_add(
            &egress->routes, shard, loop_now_ms(egress->router->loop), done, context);
    pack_route(egress, route->request, origin, stanza, &route->record);
    route->was_ever_sent = origin->is_repeat;
    if (!shard_is_owned(egress->router->shards, shard)) {
        flush_shard(egress, shard); /* never into an entity from inside another one's turn */
    }
    watch_waiting(egress);
}

bool egress_has_waiting(const struct egress *egress, unsigned shard)
{
    return egress->routes.by_shard[shard].waiting > 0;
}

void egress_on_route_reply(
        struct egress *egress, struct link_peer *link, const Wire__RouteReply *reply)
{
    struct peer *peer = peers_get(egress->router->peers, link);
    struct route *route = route_queue_find(&egress->routes, reply->request);
    if (route == NULL) {
        return; /* of a repeat */
    }
    if (reply->status == WIRE__STATUS__STATUS_OK || reply->status == WIRE__STATUS__STATUS_REFUSED) {
        route_queue_finish(&egress->routes,
                route,
                reply->status == WIRE__STATUS__STATUS_OK ? ERR_OK : ERR_DENIED);
        return;
    }
    if (route->sent_to != peer) {
        return; /* refused by a former home, it is on its way to another */
    }

    unsigned shard = route->shard;
    egress->routes.by_shard[shard].not_before_ms = loop_now_ms(egress->router->loop) + BACKOFF_MS;
    unsend(egress, shard, peer);
}

void egress_on_not_owner(
        struct egress *egress, struct link_peer *link, const Wire__NotOwner *message)
{
    if (message->shard < egress->routes.shards) {
        egress->routes.by_shard[message->shard].not_before_ms =
                loop_now_ms(egress->router->loop) + BACKOFF_MS;
        unsend(egress, message->shard, peers_get(egress->router->peers, link));
    }
}

void egress_on_map(struct egress *egress)
{
    for (unsigned i = 0; i < egress->routes.shards; i++) {
        if (egress->routes.by_shard[i].routes == NULL) {
            continue;
        }

        /* A former home may answer late or never; what comes later must not overtake. */
        const void *home = shard_is_owned(egress->router->shards, i) ? (const void *)egress
                                                                     : find_home(egress, i);
        route_queue_unsend_others(&egress->routes, i, home);
        egress->routes.by_shard[i].not_before_ms = 0;
    }
    flush_all(egress);
    watch_waiting(egress);
}

void egress_on_peer_dead(struct egress *egress, struct link_peer *link)
{
    struct peer *peer = peers_get(egress->router->peers, link);
    struct overflow *overflow = find_overflow(egress, peer);
    if (overflow != NULL) {
        overflow_free(egress, overflow);
    }
    for (unsigned i = 0; i < egress->routes.shards; i++) {
        route_queue_unsend(&egress->routes, i, peer);
    }
    watch_waiting(egress);
}

void egress_on_room(struct egress *egress, struct link_peer *link)
{
    struct overflow *overflow = find_overflow(egress, peers_get(egress->router->peers, link));
    if (overflow != NULL) {
        overflow_drain(egress, overflow);
    }
    flush_all(egress);
}

/* ---- life */

enum err egress_create(struct router *router, struct egress **egress_out)
{
    struct egress *egress = MEM_NEW(struct egress);
    egress->router = router;
    egress->started_ms = loop_now_ms(router->loop);
    arena_init(&egress->arena, 4096);
    buf_init(&egress->record, 0);
    route_queue_init(&egress->routes, router->settings->shards);
    timer_init(&egress->scan, on_scan, egress);
    metric_register(&metric_retries);
    metric_register(&metric_dropped);
    metric_register(&metric_volatile);
    *egress_out = egress;
    return ERR_OK;
}

void egress_destroy(struct egress *egress)
{
    if (egress == NULL) {
        return;
    }

    timer_stop(&egress->scan);
    while (egress->overflows != NULL) {
        overflow_free(egress, egress->overflows);
    }
    route_queue_fini(&egress->routes);
    arena_fini(&egress->arena);
    buf_fini(&egress->record);
    free(egress);
}

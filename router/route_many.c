/* Frames that wait for their answers, oldest first. */
#include "router/route_many.h"

#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/link.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "router/entity/entity_table.h"
#include "router/peers.h"
#include "router/router.h"
#include "router/shard.h"

static struct metric frames_total =
        METRIC_COUNTER_INIT("route_many_frames_total", "Presences for many sent to a router", NULL);
static struct metric singles_total = METRIC_COUNTER_INIT(
        "route_many_singles_total", "Recipients whose home had to be looked for one by one", NULL);

struct recipient {
    struct str to;
    unsigned shard;
    bool is_done; /* sent, or left to egress */
};

struct frame {
    struct frame *prev;
    struct frame *next;
    struct arena arena; /* holds it, too */
    uint64_t request;
    const struct peer *peer;
    struct origin origin;
    struct stanza stanza;
    struct recipient *recipients;
    size_t count;
};

struct route_many {
    struct router *router;
    struct frame *frames;
    uint64_t last_request;
    struct arena arena; /* of one call */
    struct buf record;  /* likewise */
};

struct route_many *route_many_create(struct router *router)
{
    struct route_many *many = MEM_NEW(struct route_many);
    many->router = router;
    arena_init(&many->arena, 0);
    buf_init(&many->record, 0);
    metric_register(&frames_total);
    metric_register(&singles_total);
    return many;
}

static void frame_destroy(struct route_many *many, struct frame *frame)
{
    DL_DELETE(many->frames, frame);
    struct arena arena = frame->arena;
    arena_fini(&arena);
}

void route_many_destroy(struct route_many *many)
{
    if (!many) {
        return;
    }
    while (many->frames) {
        frame_destroy(many, many->frames);
    }
    arena_fini(&many->arena);
    buf_fini(&many->record);
    free(many);
}

/* ---- one by one */

static void on_single(void *context, enum err err)
{
    (void)context;
    (void)err;
}

static void send_single(struct route_many *many,
        const struct origin *origin,
        const struct stanza *stanza,
        struct recipient *recipient)
{
    struct stanza copy = *stanza;
    copy.to = recipient->to;
    recipient->is_done = true;
    metric_add(&singles_total, 1);
    egress_route(many->router->egress, origin, &copy, on_single, NULL);
}

/* ---- frames */

/* NULL: nobody we can reach is known as the home, or older routes wait for it. */
static struct peer *find_home(struct route_many *many, unsigned shard)
{
    struct router *router = many->router;
    const char *node = shard_owner_node(router->shards, shard);
    if (!node || shard_is_owned(router->shards, shard)
            || egress_has_waiting(router->egress, shard)) {
        return NULL;
    }
    return peers_find(router->peers, router->link, node, LINK_ROLE_ROUTER);
}

static void pack(struct route_many *many, const struct frame *frame)
{
    Wire__Id session = WIRE_ID_INIT(frame->origin.session);
    Wire__Origin origin = WIRE__ORIGIN__INIT;
    origin.session = &session;
    origin.counter = frame->origin.counter;
    origin.part = frame->origin.part;
    Wire__Stanza stanza = WIRE__STANZA__INIT;
    wire_stanza_set(&stanza, &frame->stanza);
    Wire__RouteMany message = WIRE__ROUTE_MANY__INIT;
    message.request = frame->request;
    message.origin = &origin;
    message.stanza = &stanza;
    message.n_to = frame->count;
    message.to = arena_alloc(&many->arena, frame->count * sizeof(message.to[0]) + 1);
    for (size_t i = 0; i < frame->count; i++) {
        message.to[i] = wire_bytes(frame->recipients[i].to);
    }
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ROUTE_MANY;
    envelope.route_many = &message;
    buf_clear(&many->record);
    wire_pack(&many->record, &envelope);
}

static struct frame *frame_create(struct route_many *many,
        const struct peer *peer,
        const struct origin *origin,
        const struct stanza *stanza,
        size_t room)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct frame *frame = ARENA_NEW(&arena, struct frame);
    frame->request = ++many->last_request;
    frame->peer = peer;
    frame->origin = *origin;
    stanza_dup(&arena, stanza, &frame->stanza);
    frame->recipients = arena_calloc(&arena, room * sizeof(frame->recipients[0]));
    frame->arena = arena;
    DL_APPEND(many->frames, frame);
    return frame;
}

static void give_up(struct route_many *many, struct frame *frame)
{
    for (size_t i = 0; i < frame->count; i++) {
        if (!frame->recipients[i].is_done) {
            send_single(many, &frame->origin, &frame->stanza, &frame->recipients[i]);
        }
    }
    frame_destroy(many, frame);
}

/* Those of `list` behind `first` with the same home, in one frame. */
static void send_frame(struct route_many *many,
        const struct frame *like,
        struct recipient *list,
        size_t count,
        struct peer *peer)
{
    struct frame *frame = frame_create(many, peer, &like->origin, &like->stanza, count);
    for (size_t i = 0; i < count; i++) {
        if (!list[i].is_done && find_home(many, list[i].shard) == peer) {
            list[i].is_done = true;
            struct recipient *copy = &frame->recipients[frame->count++];
            *copy = (struct recipient){ str_dup(&frame->arena, list[i].to), list[i].shard, false };
        }
    }
    pack(many, frame);
    metric_add(&frames_total, 1);
    if (link_send(peer->link, buf_view(&many->record)) != ERR_OK) {
        give_up(many, frame);
    }
}

void route_many_send(struct route_many *many,
        const struct origin *origin,
        const struct stanza *stanza,
        const struct str *to,
        size_t count)
{
    arena_reset(&many->arena);
    const struct frame like = { .origin = *origin, .stanza = *stanza };
    struct recipient *list = arena_calloc(&many->arena, (count + 1) * sizeof(list[0]));
    for (size_t i = 0; i < count; i++) {
        struct jid jid;
        bool is_jid = jid_split(to[i], &jid) == ERR_OK;
        list[i].to = to[i];
        list[i].is_done = !is_jid;
        list[i].shard = is_jid ? shard_of(many->router->shards, jid.bare) : 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].is_done) {
            continue;
        }
        struct peer *peer = find_home(many, list[i].shard);
        if (peer) {
            send_frame(many, &like, list + i, count - i, peer);
        } else {
            send_single(many, origin, stanza, &list[i]);
        }
    }
}

/* ---- of another router */

static bool may_be_for_many(const struct stanza *stanza)
{
    return stanza->kind == STANZA_PRESENCE
            && (stanza->type == STANZA_TYPE_NONE || stanza->type == STANZA_TYPE_UNAVAILABLE
                    || stanza->type == STANZA_TYPE_PROBE);
}

static void reply(struct route_many *many,
        struct link_peer *link,
        uint64_t request,
        uint32_t *not_owned,
        size_t count)
{
    Wire__RouteManyReply message = WIRE__ROUTE_MANY_REPLY__INIT;
    message.request = request;
    message.not_owned = not_owned;
    message.n_not_owned = count;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ROUTE_MANY_REPLY;
    envelope.route_many_reply = &message;
    egress_envelope(many->router->egress, link, &envelope);
}

enum err route_many_on_route(
        struct route_many *many, struct link_peer *link, const Wire__RouteMany *route)
{
    struct stanza stanza;
    if (!route->origin || !route->stanza || wire_stanza_get(route->stanza, &stanza) != ERR_OK
            || !may_be_for_many(&stanza)) {
        return ERR_INVALID;
    }
    const struct shard_table *shards = many->router->shards;
    arena_reset(&many->arena);
    struct str *here = arena_alloc(&many->arena, route->n_to * sizeof(here[0]) + 1);
    uint32_t *not_owned = arena_alloc(&many->arena, route->n_to * sizeof(not_owned[0]) + 1);
    size_t here_count = 0;
    size_t not_owned_count = 0;
    for (size_t i = 0; i < route->n_to; i++) {
        struct jid to;
        if (!str_is_utf8(wire_str(route->to[i]))
                || jid_split(wire_str(route->to[i]), &to) != ERR_OK) {
            return ERR_INVALID;
        }
        unsigned shard = shard_of(shards, to.bare);
        if (shard_is_owned(shards, shard)) {
            here[here_count++] = to.full;
        } else {
            not_owned[not_owned_count++] = shard;
        }
    }
    struct origin origin = origin_of_wire(route->origin);
    reply(many, link, route->request, not_owned, not_owned_count);
    /* It copies before anybody's turn: what a turn sends to many takes this arena. */
    entity_on_route_many(many->router->entities, &origin, &stanza, here, here_count);
    return ERR_OK;
}

/* ---- what became of them */

static bool is_listed(const Wire__RouteManyReply *reply, unsigned shard)
{
    for (size_t i = 0; i < reply->n_not_owned; i++) {
        if (reply->not_owned[i] == shard) {
            return true;
        }
    }
    return false;
}

void route_many_on_reply(
        struct route_many *many, struct link_peer *link, const Wire__RouteManyReply *reply)
{
    const struct peer *peer = peers_get(many->router->peers, link);
    struct frame *frame;
    DL_FOREACH(many->frames, frame)
    {
        if (frame->request == reply->request) {
            break;
        }
    }
    if (!frame || frame->peer != peer) {
        return;
    }
    for (size_t i = 0; i < frame->count; i++) {
        frame->recipients[i].is_done =
                frame->recipients[i].is_done || !is_listed(reply, frame->recipients[i].shard);
    }
    give_up(many, frame); /* what is left of it */
}

void route_many_on_peer_dead(struct route_many *many, struct link_peer *link)
{
    const struct peer *peer = peers_get(many->router->peers, link);
    struct frame *frame;
    struct frame *next;
    DL_FOREACH_SAFE(many->frames, frame, next)
    {
        if (frame->peer == peer) {
            give_up(many, frame);
        }
    }
}

/* A former home may answer late or never; what comes later must not overtake. */
void route_many_on_map(struct route_many *many)
{
    struct frame *frame;
    struct frame *next;
    DL_FOREACH_SAFE(many->frames, frame, next)
    {
        size_t left = 0;
        for (size_t i = 0; i < frame->count; i++) {
            struct recipient *recipient = &frame->recipients[i];
            const char *node = shard_owner_node(many->router->shards, recipient->shard);
            bool is_there = node && strcmp(node, link_peer_node(frame->peer->link)) == 0;
            if (!recipient->is_done && !is_there) {
                send_single(many, &frame->origin, &frame->stanza, recipient);
            }
            left += recipient->is_done ? 0 : 1;
        }
        if (left == 0) {
            frame_destroy(many, frame);
        }
    }
}

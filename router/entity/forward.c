/* From the sender's entity to the home of the recipient: a mailbox of this router, or a Route to
 * another one. A durable part is followed until it is decided, wherever the recipient's shard goes
 * meanwhile (P5). */
#include "chassis/base/mem.h"
#include "proto/xmpp/stanza_error.h"
#include "router/entity/entity.h"
#include "router/entity/posts.h"
#include "router/entity/send.h"
#include "router/entity/sessions.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/turn.h"

struct part {
    struct arena arena; /* holds the part and its stanza */
    struct entity_ref *ref;
    struct origin origin;
    struct stanza stanza;
    unsigned shard;   /* of the recipient */
    bool is_appended; /* in a commit group of this router */
    /* In a list of its sender. */
    struct part *next;
    struct part **prev;
};

static void on_part_decided(void *context, enum err err);

static void enter(struct part **list, struct part *part)
{
    part->next = *list;
    part->prev = list;
    if (part->next) {
        part->next->prev = &part->next;
    }
    *list = part;
}

static void leave(struct part *part)
{
    if (part->prev) {
        *part->prev = part->next;
        if (part->next) {
            part->next->prev = part->prev;
        }
        part->prev = NULL;
        part->next = NULL;
    }
}

static void part_destroy(struct part *part)
{
    (void)entity_ref_take(part->ref);
    struct arena arena = part->arena;
    arena_fini(&arena);
}

void forward_forget(struct entity *entity)
{
    while (entity->routed) {
        leave(entity->routed);
    }
    while (entity->posted) {
        leave(entity->posted);
    }
    while (entity->held) { /* nobody else has it; its edge repeats it */
        struct part *part = entity->held;
        leave(part);
        part_destroy(part);
    }
}

static void on_part_appended(void *context)
{
    struct part *part = context;
    struct entity *entity = entity_ref_find(part->ref);
    part->is_appended = true;
    if (entity) {
        inputs_part_appended(entity, part->origin.session, part->origin.counter);
    }
}

static unsigned home_shard(const struct router *router, struct str to)
{
    struct jid jid;
    return shard_of(router->shards, jid_split(to, &jid) == ERR_OK ? jid.bare : to);
}

static void route_part(struct entity *entity, struct part *part)
{
    enter(&entity->routed, part);
    egress_route(entity->router->egress, &part->origin, &part->stanza, on_part_decided, part);
}

static bool has_for(const struct part *list, unsigned shard)
{
    for (const struct part *part = list; part; part = part->next) {
        if (part->shard == shard) {
            return true;
        }
    }
    return false;
}

/* The oldest first. */
static struct part *find_held(const struct entity *entity, unsigned shard)
{
    struct part *oldest = NULL;
    for (struct part *part = entity->held; part; part = part->next) {
        oldest = part->shard == shard ? part : oldest;
    }
    return oldest;
}

/* What they waited behind is decided, or goes to the next home in front of them. */
static void release_held(struct entity *entity, unsigned shard)
{
    struct part *part;
    while ((part = find_held(entity, shard)) != NULL && !has_for(entity->posted, shard)) {
        leave(part);
        route_part(entity, part);
    }
}

static void post_local(struct entity_table *table, struct part *part)
{
    struct jid to;
    if (jid_split(part->stanza.to, &to) != ERR_OK) {
        on_part_decided(part, ERR_OK);
        return;
    }
    const struct router *router = entity_table_router(table);
    if (settings_find_component(router->settings, to.domain)) {
        entity_on_route(table, &part->origin, &part->stanza, on_part_decided, part);
        return;
    }
    struct entity *entity = entity_get(table, to.bare);
    if ((int64_t)entity->mailbox.count >= entity->router->settings->max_mailbox) {
        entity_on_route(table, &part->origin, &part->stanza, on_part_decided, part); /* refuses */
        return;
    }
    struct item *item = item_create(ITEM_ROUTE, &part->stanza, 0);
    item->origin = part->origin;
    item->done = on_part_decided;
    item->appended = on_part_appended;
    item->context = part;
    entity_post(entity, item);
}

/* P3: the shard may have come to us while older parts still wait in egress; it hands them to this
 * router in their order, and newer ones queue there behind them. Or it is leaving while older parts
 * are at work here: those may have to go to its next home, and newer ones behind them. */
static void send_part(struct entity *entity, struct part *part)
{
    bool is_here = shard_is_owned(entity->router->shards, part->shard)
            && !has_for(entity->held, part->shard);
    if (is_here && !has_for(entity->routed, part->shard)) {
        enter(&entity->posted, part);
        post_local(entity->router->entities, part);
    } else if (!is_here && has_for(entity->posted, part->shard)) {
        enter(&entity->held, part);
    } else {
        route_part(entity, part);
    }
}

/* From here, the home of the session, and into its queue: so the error is as safe as what it says.
 * A subscription stanza goes out with the bare JID: its error goes to the session that sent it. */
static void answer_failed(struct entity *entity, const struct part *part)
{
    struct stanza failed = part->stanza;
    const struct stanza *stanza = &failed;
    struct resource *sender = entity_find_session(entity, part->origin.session);
    if (sender && str_equal(failed.from, entity->bare)) {
        failed.from = sender->full;
    }
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, stanza);
    struct stanza_error error = { .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    turn_reply_error(&turn, stanza, &error);
    bool is_for_session = sender && !sender->is_closing && turn.effects
            && str_equal(turn.effects->stanza.to, sender->full);
    if (is_for_session) {
        send_to_session(entity, sender, &turn.effects->stanza);
    } else {
        effects_apply(&turn);
    }
    arena_fini(&arena);
}

static void on_part_decided(void *context, enum err err)
{
    struct part *part = context;
    struct entity *entity = entity_ref_find(part->ref);
    unsigned shard = part->shard;
    leave(part);
    if (!entity) {
        part_destroy(part); /* the edge repeats to the next home of the sender */
        return;
    }
    if (err == ERR_FENCED) { /* the recipient has moved: its next home is asked */
        if (part->is_appended) {
            part->is_appended = false;
            part->origin.is_repeat = true; /* it may have been written before that was fenced */
            inputs_part_fenced(entity, part->origin.session, part->origin.counter);
        }
        route_part(entity, part);
        release_held(entity, shard);
        return;
    }
    if (err != ERR_OK) {
        answer_failed(entity, part);
        inputs_part_answered(entity, part->origin.session, part->origin.counter);
    } else {
        inputs_part_done(entity, part->origin.session, part->origin.counter);
    }
    part_destroy(part);
    release_held(entity, shard);
}

static struct part *part_create(
        struct entity *entity, const struct origin *origin, const struct stanza *stanza)
{
    struct arena arena;
    arena_init(&arena, sizeof(struct part) + stanza_bytes(stanza) + 512);
    struct part *part = ARENA_NEW(&arena, struct part);
    stanza_dup(&arena, stanza, &part->stanza);
    part->ref = entity_ref_create(entity);
    part->shard = home_shard(entity->router, stanza->to);
    part->origin = *origin;
    part->arena = arena;
    return part;
}

void forward_kept(struct entity *entity,
        const struct origin *origin,
        const struct stanza *stanza,
        struct input_work *work)
{
    if (work) {
        work->pending++;
        work->unappended++;
        work->is_durable = true;
    }
    send_part(entity, part_create(entity, origin, stanza));
}

void forward_stanza(struct entity *entity,
        const struct origin *origin,
        const struct stanza *stanza,
        struct input_work *work)
{
    static const struct origin none;
    struct router *router = entity->router;
    if (work) {
        bool is_durable = work->is_durable || !router->settings->is_routed;
        forward_kept(entity, origin, stanza, work);
        work->is_durable = is_durable;
    } else if (shard_is_owned(router->shards, home_shard(router, stanza->to))) {
        entity_on_route(router->entities, origin ? origin : &none, stanza, NULL, NULL);
    } else {
        egress_route(router->egress, origin ? origin : &none, stanza, NULL, NULL);
    }
}

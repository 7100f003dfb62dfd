/* What a component has sent: from anybody at its domain, to accounts, components and hosts here. A
 * message is its edge's until the recipient's home is done with it. */
#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "router/entity/component.h"
#include "router/entity/entity.h"
#include "router/pipeline.h"
#include "router/router.h"
#include "router/shard.h"

struct component_part {
    struct component_part *prev, *next;
    struct components *components; /* NULL: they are gone */
    struct component *component;
    struct arena arena; /* holds it, too */
    struct origin origin;
    struct stanza stanza;
    unsigned shard; /* of the recipient */
    bool is_routed; /* in egress' hands */
};

/* ---- parts that are followed */

static void part_destroy(struct component_part *part)
{
    if (part->components) {
        DL_DELETE(part->components->parts, part);
    }
    struct arena arena = part->arena;
    arena_fini(&arena);
}

void component_parts_forget(struct components *components)
{
    while (components->parts) {
        struct component_part *part = components->parts;
        DL_DELETE(components->parts, part);
        part->components = NULL; /* whoever has it still calls back */
    }
}

static struct resource *part_connection(const struct component_part *part)
{
    return component_find_session(part->component, part->origin.session);
}

static void input_done(struct component *component, struct id128 session, uint32_t counter)
{
    struct resource *connection = component_find_session(component, session);
    struct input_work *work = connection ? resource_find_work(connection, counter) : NULL;
    if (work && work->pending > 0) {
        work->pending--;
        component_mark_dirty(component->components);
    }
}

/* Certainly not kept: the edge repeats no more of it than its counter (P5). */
static void answer_failed(const struct component_part *part)
{
    const struct resource *connection = part_connection(part);
    component_answer_error(part->components, &part->stanza, STANZA_ERROR_INTERNAL_SERVER_ERROR);
    egress_answered(part->components->router->egress,
            connection->edge,
            connection->session,
            connection->handled,
            part->origin.counter);
}

static void on_part_decided(void *context, enum err err)
{
    struct component_part *part = context;
    struct components *components = part->components;
    if (!components || !part_connection(part)) {
        part_destroy(part); /* the edge repeats to the component's next home */
        return;
    }
    if (err == ERR_FENCED) { /* the recipient has moved: its next home is asked */
        part->is_routed = true;
        part->origin.is_repeat = 1; /* it may have been written before that was fenced */
        egress_route(
                components->router->egress, &part->origin, &part->stanza, on_part_decided, part);
        return;
    }
    struct component *component = part->component;
    struct origin origin = part->origin;
    if (err != ERR_OK) {
        answer_failed(part);
    }
    part_destroy(part);
    input_done(component, origin.session, origin.counter);
}

/* P3: as in forward.c. */
static bool has_older_routed(const struct components *components, unsigned shard)
{
    const struct component_part *part;
    DL_FOREACH(components->parts, part)
    {
        if (part->is_routed && part->shard == shard) {
            return true;
        }
    }
    return false;
}

static struct component_part *part_create(
        struct component *component, const struct origin *origin, const struct stanza *stanza)
{
    struct arena arena;
    arena_init(&arena, sizeof(struct component_part) + stanza_bytes(stanza) + 512);
    struct component_part *part = ARENA_NEW(&arena, struct component_part);
    stanza_dup(&arena, stanza, &part->stanza);
    part->components = component->components;
    part->component = component;
    part->origin = *origin;
    part->arena = arena;
    return part;
}

static void forward_kept_part(struct component_part *part, bool is_here)
{
    struct router *router = part->components->router;
    DL_APPEND(part->components->parts, part);
    part->is_routed = !is_here;
    if (is_here) {
        entity_on_route(router->entities, &part->origin, &part->stanza, on_part_decided, part);
    } else {
        egress_route(router->egress, &part->origin, &part->stanza, on_part_decided, part);
    }
}

/* Messages, and what subscriptions are made of. */
static bool is_followed(const struct stanza *stanza)
{
    switch ((int)stanza->type) {
    case STANZA_TYPE_SUBSCRIBE:
    case STANZA_TYPE_SUBSCRIBED:
    case STANZA_TYPE_UNSUBSCRIBE:
    case STANZA_TYPE_UNSUBSCRIBED: return true;
    default: return stanza_is_durable(stanza);
    }
}

static void forward(struct component *component,
        struct input_work *work,
        const struct origin *origin,
        const struct stanza *stanza)
{
    struct router *router = component->components->router;
    struct jid to;
    struct str bare = jid_split(stanza->to, &to) == ERR_OK ? to.bare : stanza->to;
    unsigned shard = shard_of(router->shards, bare);
    bool is_here = shard_is_owned(router->shards, shard)
            && !has_older_routed(component->components, shard);
    if (is_followed(stanza)) {
        struct component_part *part = part_create(component, origin, stanza);
        part->shard = shard;
        work->pending++;
        forward_kept_part(part, is_here);
    } else if (is_here) {
        entity_on_route(router->entities, origin, stanza, NULL, NULL);
    } else {
        egress_route(router->egress, origin, stanza, NULL, NULL);
    }
}

/* ---- to a host */

/* Whoever asks has no account here: an entity that lives as long as the question. Only what is
 * told to everybody is answered (C29). */
static void ask_host(struct component *component, const struct stanza *stanza)
{
    struct router *router = component->components->router;
    struct jid from;
    struct jid to;
    if (jid_split(stanza->from, &from) != ERR_OK || jid_split(stanza->to, &to) != ERR_OK) {
        return;
    }
    struct entity guest = { .router = router, .bare = from.bare, .domain = to.domain };
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, &guest, stanza);
    if (pipeline_iq(&turn, TO_HOST_BY_OTHERS) == VERDICT_REJECT) {
        turn_reply_error(&turn, stanza, &turn.error);
    }
    for (const struct effect *effect = turn.effects; effect; effect = effect->next) {
        if (effect->kind == EFFECT_ROUTE) {
            component_route(component->components, &effect->stanza);
        } else if (effect->kind == EFFECT_AUDIT) {
            effects_write_audit(&guest, &effect->audit);
        }
    }
    arena_fini(&arena);
}

static void to_host(struct component *component, const struct stanza *stanza)
{
    struct jid to;
    bool is_request = stanza->type == STANZA_TYPE_GET || stanza->type == STANZA_TYPE_SET;
    bool is_to_host = jid_split(stanza->to, &to) == ERR_OK && jid_is_bare(&to);
    if (stanza->kind == STANZA_IQ && is_request && is_to_host) {
        ask_host(component, stanza);
    } else if (stanza->kind != STANZA_PRESENCE) {
        component_answer_error(component->components, stanza, STANZA_ERROR_SERVICE_UNAVAILABLE);
    }
}

/* ---- the turn */

static void run(struct component *component,
        struct input_work *work,
        const struct origin *origin,
        const struct stanza *stanza)
{
    const struct settings *settings = component->components->router->settings;
    struct jid to;
    if (!pipeline_is_well_made(stanza) || jid_split(stanza->to, &to) != ERR_OK) {
        component_answer_error(component->components, stanza, STANZA_ERROR_BAD_REQUEST);
    } else if (!settings_is_served(settings, to.domain)) {
        component_answer_error(component->components, stanza, STANZA_ERROR_REMOTE_SERVER_NOT_FOUND);
    } else if (to.local.len == 0 && settings_find_host(settings, to.domain)) {
        to_host(component, stanza);
    } else {
        forward(component, work, origin, stanza);
    }
}

void component_take_input(struct component *component,
        struct resource *connection,
        uint32_t counter,
        const struct stanza *stanza)
{
    struct input_work *work = resource_find_work(connection, counter);
    const struct origin origin = { .session = connection->session, .counter = counter };
    ASSERT(work);
    work->pending = 1; /* the turn itself */
    if (stanza) {
        run(component, work, &origin, stanza);
    }
    input_done(component, origin.session, counter);
}

/* Carries out what a turn asked for, in order. */
#include "chassis/log.h"
#include "chassis/loop.h"
#include "router/entity/data_request.h"
#include "router/entity/entity.h"
#include "router/entity/fanout.h"
#include "router/entity/send.h"
#include "router/entity/sessions.h"
#include "router/lifecycle.h"
#include "router/pipeline.h"
#include "router/router.h"

void effects_begin(
        struct turn *turn, struct arena *arena, struct entity *entity, const struct stanza *stanza)
{
    turn_init(turn, arena, entity, stanza);
    turn->settings = entity->router->settings;
    turn->host = settings_find_host(turn->settings, entity->domain);
    turn->wall_us = loop_wall_us(entity->router->loop);
}

static void apply_route(struct entity *entity, const struct stanza *stanza)
{
    struct jid to;
    if (jid_split(stanza->to, &to) != ERR_OK) {
        return;
    }
    if (str_equal(to.bare, entity->bare)) {
        routes_deliver_volatile(entity, stanza);
    } else if (settings_has_somebody(entity->router->settings, &to)) {
        forward_stanza(entity, NULL, stanza, NULL);
    }
}

/* Contacts at domains that are not served learn nothing, until there is federation. */
static void apply_route_kept(struct turn *turn, const struct stanza *stanza)
{
    struct entity *entity = turn->entity;
    struct jid to;
    if (jid_split(stanza->to, &to) != ERR_OK
            || !settings_has_somebody(entity->router->settings, &to)) {
        return;
    }
    /* An answer of the server's own is not the stanza it answers. */
    struct origin origin = turn->session ? turn->origin : (struct origin){ .part = 0 };
    origin.part = turn->parts++ & INT32_MAX;
    struct input_work *work =
            turn->session ? resource_find_work(turn->session, origin.counter) : NULL;
    forward_kept(entity, &origin, stanza, work);
}

/* The row says that it is deleted: what is left is the erasure's business. */
static void apply_account_removed(struct turn *turn)
{
    struct entity *entity = turn->entity;
    pipeline_account_removed(turn);
    entity->account = (struct account_row){ .state = ACCOUNT_DELETED };
    entity->is_log_open = false;
    entity->state = ENTITY_UNKNOWN;
    sessions_kick_all(entity, STREAM_ERROR_NOT_AUTHORIZED, STR("Account removed"));
    roster_clear(&entity->roster);
    data_forget_key(entity);
    lifecycle_poke(entity->router->lifecycle);
}

void effects_write_audit(const struct entity *entity, const struct turn_audit *audit)
{
    log_info("audit",
            "administrator's command",
            log_jid("by", entity->bare),
            log_cstr("command", audit->command),
            log_jid("target", audit->target),
            log_cstr("outcome", audit->outcome));
}

static void apply(struct turn *turn, const struct effect *effect)
{
    struct entity *entity = turn->entity;
    struct resource *resource = entity_find_session(entity, effect->session);
    bool is_there = resource && !resource->is_closing;
    switch (effect->kind) {
    case EFFECT_ROUTE: apply_route(entity, &effect->stanza); break;
    case EFFECT_ROUTE_KEPT: apply_route_kept(turn, &effect->stanza); break;
    case EFFECT_ROUTE_MANY: fanout_send(entity, effect); break;
    case EFFECT_DELIVER:
        if (is_there) {
            send_to_session(entity, resource, &effect->stanza);
        }
        break;
    case EFFECT_KICK:
        if (is_there) {
            sessions_kick(entity, resource, effect->condition, effect->text);
        }
        break;
    case EFFECT_SESSION_CHANGED:
        if (is_there) {
            sessions_changed(entity, resource);
        }
        break;
    case EFFECT_ACCOUNT_REMOVED: apply_account_removed(turn); break;
    case EFFECT_AUDIT: effects_write_audit(entity, &effect->audit); break;
    }
}

void effects_apply(struct turn *turn)
{
    while (turn->effects) { /* an effect may add others */
        const struct effect *effect = turn->effects;
        turn->effects = effect->next;
        if (!turn->effects) {
            turn->effects_end = &turn->effects;
        }
        apply(turn, effect);
    }
}

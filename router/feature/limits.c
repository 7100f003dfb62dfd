/* What one account may send: stanzas and bytes over all of its sessions (C21), and messages to
 * people it has nothing to do with (HOSTILE-INPUTS 4.1).
 *
 * Over the rate a stanza comes back with policy-violation. To read the sockets slower instead would
 * hold up the account's mailbox, and with it what others send to it. With the
 * defaults a single connection does not get here: its edge reads it slower before.
 *
 * Strangers are counted, not messages: who talks to somebody for an evening is not who writes to a
 * thousand people once. A stranger is nobody who wrote lately, nobody written to lately, no contact
 * in either direction. */
#include "chassis/base/mem.h"
#include "router/entity/entity.h"
#include "router/entity/quotas.h"
#include "router/entity/strangers.h"
#include "router/feature.h"
#include "router/settings.h"

/* The end of a presence is never refused: it would stay. */
static bool is_over_rate(struct turn *turn)
{
    struct entity *entity = turn->entity;
    const struct stanza *stanza = turn->stanza;
    int64_t bytes = (int64_t)(stanza->id.len + stanza->children.len); /* not its addresses */
    if (stanza->kind == STANZA_PRESENCE && stanza->type == STANZA_TYPE_UNAVAILABLE) {
        return false;
    }
    return !entity_take_quota(entity, QUOTA_STANZAS, 1)
            || !entity_take_quota(entity, QUOTA_BYTES, bytes)
            || !entity_take_host_quota(entity, turn->host);
}

static bool is_talk(const struct turn *turn)
{
    return turn->stanza->kind == STANZA_MESSAGE && turn->stanza->type != STANZA_TYPE_ERROR
            && turn->settings->quotas[QUOTA_STRANGERS].cost_ns > 0;
}

/* `other` of an account served here; services are nobody's contacts. */
static bool is_stranger(const struct turn *turn, const struct jid *other)
{
    const struct entity *entity = turn->entity;
    return other->local.len > 0 && !str_equal(other->bare, entity->bare)
            && !(roster_flags(&entity->roster, other->bare)
                    & (ROSTER_FROM | ROSTER_TO | ROSTER_PENDING_IN))
            && !strangers_has(entity->strangers, other->bare);
}

static void remember(struct entity *entity, struct str bare)
{
    if (!entity->strangers) {
        entity->strangers = MEM_NEW(struct strangers);
    }
    strangers_add(entity->strangers, bare);
}

static enum verdict see_outbound(struct turn *turn)
{
    if (is_over_rate(turn)) {
        return turn_reject(turn, STANZA_ERROR_POLICY_VIOLATION, STR("Too much at once"));
    }
    if (!is_talk(turn) || !settings_find_host(turn->settings, turn->to.domain)
            || !is_stranger(turn, &turn->to)) {
        return VERDICT_PASS;
    }
    if (!entity_take_quota(turn->entity, QUOTA_STRANGERS, 1)) {
        return turn_reject(turn,
                STANZA_ERROR_POLICY_VIOLATION,
                STR("Messages to too many people who are no contacts"));
    }
    remember(turn->entity, turn->to.bare);
    return VERDICT_PASS;
}

/* Answering is free. */
static enum verdict see_inbound(struct turn *turn)
{
    struct entity *entity = turn->entity;
    if (is_talk(turn) && entity->account.id != 0 && is_stranger(turn, &turn->from)) {
        remember(entity, turn->from.bare);
    }
    return VERDICT_PASS;
}

const struct feature feature_limits = {
    .name = "limits",
    .specs = { { "RFC 6120", "§13.12" } },
    .on_outbound = see_outbound,
    .on_inbound = see_inbound,
};

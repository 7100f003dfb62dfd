/* Message Carbons, XEP-0280 1.0.1: on and off for each session, and copies of what the account's
 * other sessions send. Copies of what arrives belong to its delivery (router/entity/carbons.c). */
#include "router/entity/carbons.h"

#include "chassis/base/buf.h"
#include "router/entity/entity.h"
#include "router/feature.h"

static enum verdict set_carbons(struct turn *turn, const struct iq *iq, bool is_wanted)
{
    if (!turn->session) { /* §4.1: not a client of this account */
        return turn_reject(turn, STANZA_ERROR_NOT_ALLOWED, STR_NULL);
    }
    if (turn->session->has_carbons != is_wanted) {
        turn->session->has_carbons = is_wanted;
        turn_session_changed(turn, turn->session);
    }
    turn_reply_result(turn, iq->stanza, STR_NULL);
    return VERDICT_HANDLED;
}

static enum verdict answer_enable(struct turn *turn, const struct iq *iq)
{
    return set_carbons(turn, iq, true);
}

static enum verdict answer_disable(struct turn *turn, const struct iq *iq)
{
    return set_carbons(turn, iq, false);
}

static bool wants_copy(const struct turn *turn, const struct resource *session)
{
    return session->has_carbons && session != turn->session && !session->is_closing;
}

static bool has_others(const struct turn *turn)
{
    for (const struct resource *to = turn->entity->resources; to; to = to->next) {
        if (wants_copy(turn, to)) {
            return true;
        }
    }
    return false;
}

/* What goes to the own account comes back to its sessions as a message or as a received copy. */
static bool is_to_self(const struct turn *turn)
{
    return turn->to.full.len == 0 || str_equal(turn->to.bare, turn->entity->bare);
}

static enum verdict copy_sent(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    if (stanza->kind != STANZA_MESSAGE || !has_others(turn) || is_to_self(turn)
            || !carbons_is_eligible(turn->entity, stanza, true)) {
        return VERDICT_PASS;
    }
    struct buf children;
    buf_init(&children, 0);
    struct stanza copy;
    carbons_wrap(turn->entity, stanza, true, &children, &copy);
    copy.children = str_dup(turn->arena, copy.children);
    for (const struct resource *to = turn->entity->resources; to; to = to->next) {
        if (wants_copy(turn, to)) {
            copy.to = to->full;
            turn_deliver(turn, to, &copy);
        }
    }
    buf_fini(&children);
    return VERDICT_PASS;
}

const struct feature feature_carbons = {
    .name = "carbons",
    .specs = { { "XEP-0280", "1.0.1" } },
    .advertises = { NS_CARBONS, NS_CARBONS_RULES },
    .advertises_account = { NS_CARBONS, NS_CARBONS_RULES },
    .iq = {
        { IQ_SET, TO_ACCOUNT, NS_CARBONS, "enable", answer_enable },
        { IQ_SET, TO_ACCOUNT, NS_CARBONS, "disable", answer_disable },
    },
    .on_outbound = copy_sent,
};

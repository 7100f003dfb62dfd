/* Presence without subscriptions, RFC 6121 §4: a session says that it is available, and the
 * account's other sessions see it. Directed presence is routed like any stanza. Without a roster
 * there is nothing to subscribe to: a request gets feature-not-implemented from the sender's own
 * server (RFC 6120 §8.3.3.3), so that its user learns it instead of waiting; one that arrives is
 * ignored as for an account that does not exist (RFC 6121 §8.5.1). */
#include "router/entity/entity.h"
#include "router/entity/notices.h"
#include "router/feature.h"

#define MAX_PRESENCE_BYTES 16384 /* kept as long as the session lives */

/* The account's own presence from `from` to another of its sessions. */
static struct stanza presence_of(const struct resource *from, const struct resource *to)
{
    return (struct stanza){
        .kind = STANZA_PRESENCE,
        .from = from->full,
        .to = to->full,
        .children = from->presence,
        .child_count = from->presence_child_count,
        .priority = from->priority,
    };
}

/* To every available resource of the account, the sender included (RFC 6121 §4.2.2, §4.4.2,
 * §4.5.2). */
static void broadcast(struct turn *turn, const struct stanza *stanza)
{
    for (const struct resource *to = turn->entity->resources; to; to = to->next) {
        if (to->is_available && !to->is_closing) {
            struct stanza copy = *stanza;
            copy.to = to->full;
            turn_deliver(turn, to, &copy);
        }
    }
}

/* The new one learns who else is there (what its server's probe would bring, RFC 6121 §4.2.2). */
static void tell_others_presence(struct turn *turn)
{
    for (const struct resource *from = turn->entity->resources; from; from = from->next) {
        if (from->is_available && !from->is_closing && from != turn->session) {
            struct stanza presence = presence_of(from, turn->session);
            presence.children = str_dup(turn->arena, presence.children);
            turn_deliver(turn, turn->session, &presence);
        }
    }
}

static enum verdict become_available(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    if (stanza->children.len > MAX_PRESENCE_BYTES) {
        return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR("Presence is too large"));
    }
    bool is_initial = !turn->session->is_available;
    turn->session->is_available = true;
    turn->session->priority = (int8_t)stanza->priority;
    resource_set_presence(turn->session, stanza->children, stanza->child_count);
    broadcast(turn, stanza);
    if (is_initial) {
        tell_others_presence(turn);
        notices_requests(turn, turn->session);
    }
    turn_session_changed(turn, turn->session);
    return VERDICT_HANDLED;
}

static enum verdict become_unavailable(struct turn *turn)
{
    if (turn->session->is_available) {
        broadcast(turn, turn->stanza);
        turn->session->is_available = false;
        resource_set_presence(turn->session, STR_NULL, 0);
        turn_session_changed(turn, turn->session);
    }
    return VERDICT_HANDLED;
}

static enum verdict see_outbound(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    if (stanza->kind != STANZA_PRESENCE) {
        return VERDICT_PASS;
    }
    switch ((int)stanza->type) {
    case STANZA_TYPE_NONE: return turn->to.full.len ? VERDICT_PASS : become_available(turn);
    case STANZA_TYPE_UNAVAILABLE:
        return turn->to.full.len ? VERDICT_PASS : become_unavailable(turn);
    case STANZA_TYPE_ERROR: return turn->to.full.len ? VERDICT_PASS : VERDICT_HANDLED;
    default: return turn_reject(turn, STANZA_ERROR_FEATURE_NOT_IMPLEMENTED, STR_NULL);
    }
}

/* The server speaks for a session that went without a word (RFC 6121 §4.5.3). */
static void on_close(struct turn *turn, struct resource *session)
{
    if (!session->is_available) {
        return;
    }
    session->is_available = false;
    struct stanza unavailable = {
        .kind = STANZA_PRESENCE,
        .type = STANZA_TYPE_UNAVAILABLE,
        .from = str_dup(turn->arena, session->full),
    };
    broadcast(turn, &unavailable);
}

const struct feature feature_presence = {
    .name = "presence",
    .specs = { { "RFC 6121", "§4" } },
    .on_outbound = see_outbound,
    .on_session_close = on_close,
};

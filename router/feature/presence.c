/* Presence, RFC 6121 §4: who is there, told to the account's own sessions, to its subscribers and
 * to whom a session wants (directed presence); probes for those the account is subscribed to. Every
 * session's end is told once, by whichever router is its home then. */
#include "router/entity/blocklist.h"
#include "router/entity/entity.h"
#include "router/entity/notices.h"
#include "router/feature.h"
#include "router/settings.h"

#define MAX_PRESENCE_BYTES 16384 /* kept as long as the session lives */

/* ---- recipients */

struct recipients {
    struct str *to;
    size_t count;
};

/* XEP-0191 §3.3: nothing leaves for whom the account has blocked. */
static bool is_blocked(const struct turn *turn, struct str to)
{
    const struct blocklist *list = turn->entity->blocklist;
    struct jid jid;
    return list && jid_split(to, &jid) == ERR_OK && blocklist_matches(list, &jid);
}

/* Contacts whose subscription has one of `flags`, and room for `extra` more. */
static struct recipients contacts_with(const struct turn *turn, unsigned flags, size_t extra)
{
    const struct roster_item *item = turn->entity->roster.items;
    size_t most = HASH_COUNT(turn->entity->roster.items) + extra;
    struct recipients list = { .to = arena_alloc(turn->arena, (most + 1) * sizeof(struct str)) };
    for (; item; item = item->hh.next) {
        if ((item->flags & flags) && !is_blocked(turn, item->jid)) {
            list.to[list.count++] = item->jid;
        }
    }
    return list;
}

static bool is_subscriber(const struct turn *turn, struct str to)
{
    struct jid jid;
    return jid_split(to, &jid) == ERR_OK
            && (roster_flags(&turn->entity->roster, jid.bare) & ROSTER_FROM);
}

/* To every available session of the account, the sender included (§4.2.2, §4.4.2, §4.5.2). */
static void tell_own(struct turn *turn, const struct stanza *stanza)
{
    for (const struct resource *to = turn->entity->resources; to; to = to->next) {
        if (to->is_available && !to->is_closing) {
            struct stanza copy = *stanza;
            copy.to = to->full;
            turn_deliver(turn, to, &copy);
        }
    }
}

static void tell_many(struct turn *turn, const struct stanza *stanza, struct recipients list)
{
    struct stanza copy = *stanza;
    copy.to = STR_NULL;
    if (list.count > 0) {
        turn_route_many(turn, &copy, list.to, list.count);
    }
}

/* ---- available */

/* The new one learns who else is there (what its server's probe would bring, §4.2.2). */
static void tell_others_presence(struct turn *turn)
{
    for (const struct resource *from = turn->entity->resources; from; from = from->next) {
        if (from->is_available && !from->is_closing && from != turn->session) {
            struct stanza presence = notices_presence_of(from, turn->session->full);
            presence.children = str_dup(turn->arena, presence.children);
            turn_deliver(turn, turn->session, &presence);
        }
    }
}

/* §4.3.1: answers come to the session that asks. */
static void probe_contacts(struct turn *turn)
{
    struct stanza probe = {
        .kind = STANZA_PRESENCE,
        .type = STANZA_TYPE_PROBE,
        .from = turn->session->full,
    };
    tell_many(turn, &probe, contacts_with(turn, ROSTER_TO, 0));
}

static enum verdict become_available(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    struct resource *session = turn->session;
    if (stanza->children.len > MAX_PRESENCE_BYTES) {
        return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR("Presence is too large"));
    }
    bool is_initial = !session->is_initialised;
    session->is_available = true;
    session->is_initialised = true;
    session->priority = (int8_t)stanza->priority;
    resource_set_presence(session, stanza->children, stanza->child_count);
    tell_own(turn, stanza);
    tell_many(turn, stanza, contacts_with(turn, ROSTER_FROM, 0));
    if (is_initial) {
        tell_others_presence(turn);
        probe_contacts(turn);
        notices_requests(turn, session);
    }
    turn_session_changed(turn, session);
    return VERDICT_HANDLED;
}

/* ---- unavailable */

/* Subscribers have seen a session that was available; whoever it sent presence to directly has seen
 * it anyway, and hears it only once (§4.6.3). */
static void tell_gone(struct turn *turn, struct resource *session, const struct stanza *stanza)
{
    bool was_seen = session->is_available || session->is_adopted;
    struct recipients list =
            contacts_with(turn, was_seen ? ROSTER_FROM : 0, session->directed_count);
    struct str at = STR_NULL;
    while (resource_next_directed(session, &at)) {
        if ((!was_seen || !is_subscriber(turn, at)) && !is_blocked(turn, at)) {
            list.to[list.count++] = str_dup(turn->arena, at);
        }
    }
    if (was_seen) {
        tell_own(turn, stanza);
    }
    tell_many(turn, stanza, list);
    session->is_available = false;
    session->is_initialised = false;
    session->is_adopted = false;
    resource_set_presence(session, STR_NULL, 0);
    resource_clear_directed(session);
}

static enum verdict become_unavailable(struct turn *turn)
{
    struct resource *session = turn->session;
    if (session->is_available || session->is_adopted || session->directed_count > 0) {
        tell_gone(turn, session, turn->stanza);
        turn_session_changed(turn, session);
    }
    return VERDICT_HANDLED;
}

/* The server speaks for a session that went without a word (§4.5.3). */
static void on_close(struct turn *turn, struct resource *session)
{
    struct stanza unavailable = {
        .kind = STANZA_PRESENCE,
        .type = STANZA_TYPE_UNAVAILABLE,
        .from = str_dup(turn->arena, session->full),
    };
    if (session->is_available || session->is_adopted || session->directed_count > 0) {
        tell_gone(turn, session, &unavailable);
    }
}

/* A session whose end was told already is back: its edge had only been out of reach. What its
 * client had said of itself is forgotten. */
static void on_open(struct turn *turn, struct resource *session)
{
    if (session->is_available && turn->entity->knows_sessions) {
        struct stanza presence = notices_presence_of(session, STR_NULL);
        tell_own(turn, &presence);
        tell_many(turn, &presence, contacts_with(turn, ROSTER_FROM, 0));
    }
}

/* ---- directed, §4.6 */

static enum verdict see_directed(struct turn *turn)
{
    struct resource *session = turn->session;
    bool is_known = str_equal(turn->to.bare, turn->entity->bare) || turn->to.local.len == 0
            || (session->is_available && is_subscriber(turn, turn->to.bare));
    size_t before = session->directed_count;
    if (turn->stanza->type == STANZA_TYPE_UNAVAILABLE) {
        resource_remove_directed(session, turn->to.full);
    } else if (!is_known && !resource_has_directed(session, turn->to.full)) {
        if ((int64_t)before >= turn->settings->max_directed) { /* C36 */
            return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR("To too many addresses"));
        }
        resource_add_directed(session, turn->to.full);
    }
    if (session->directed_count != before) {
        turn_session_changed(turn, session);
    }
    return VERDICT_PASS;
}

static enum verdict see_outbound(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    if (stanza->kind != STANZA_PRESENCE) {
        return VERDICT_PASS;
    }
    bool is_directed = turn->to.full.len > 0;
    switch ((int)stanza->type) {
    case STANZA_TYPE_NONE: return is_directed ? see_directed(turn) : become_available(turn);
    case STANZA_TYPE_UNAVAILABLE:
        return is_directed ? see_directed(turn) : become_unavailable(turn);
    default: return is_directed ? VERDICT_PASS : VERDICT_HANDLED;
    }
}

/* ---- probes, §4.3.2 */

static void answer_probe(struct turn *turn, const struct stanza *answer)
{
    struct stanza copy = *answer;
    copy.to = turn->from.full;
    turn_route(turn, &copy);
}

/* Sessions that `from` may see; true: there was one. */
static bool answer_available(struct turn *turn, bool is_subscribed)
{
    bool has_any = false;
    for (const struct resource *at = turn->entity->resources; at; at = at->next) {
        bool is_shown = is_subscribed || resource_has_directed(at, turn->from.full)
                || resource_has_directed(at, turn->from.bare);
        if (at->is_available && !at->is_closing && is_shown) {
            struct stanza presence = notices_presence_of(at, turn->from.full);
            presence.children = str_dup(turn->arena, presence.children);
            answer_probe(turn, &presence);
            has_any = true;
        }
    }
    return has_any;
}

/* Strangers get the answer of an account that does not exist (C09). */
static enum verdict see_inbound(struct turn *turn)
{
    if (turn->stanza->kind != STANZA_PRESENCE || turn->stanza->type != STANZA_TYPE_PROBE
            || turn->from.full.len == 0) {
        return VERDICT_PASS;
    }
    bool is_subscribed = str_equal(turn->from.bare, turn->entity->bare)
            || (roster_flags(&turn->entity->roster, turn->from.bare) & ROSTER_FROM);
    bool is_off = turn->entity->account.state == ACCOUNT_DISABLED;
    if (!is_off
            && !answer_available(turn, is_subscribed)) { /* it may come back: keep its contacts */
        struct stanza answer = {
            .kind = STANZA_PRESENCE,
            .type = is_subscribed ? STANZA_TYPE_UNAVAILABLE : STANZA_TYPE_UNSUBSCRIBED,
            .from = turn->entity->bare,
        };
        answer_probe(turn, &answer);
    }
    return VERDICT_HANDLED;
}

/* ---- blocked, and let in again: XEP-0191 §3.3, §3.4 */

static void show_or_hide(struct turn *turn, struct str to, bool is_hidden)
{
    if (is_hidden) {
        notices_hide(turn, to);
    } else {
        notices_show(turn, to);
    }
}

static bool has_directed(const struct turn *turn, struct str to)
{
    for (const struct resource *at = turn->entity->resources; at; at = at->next) {
        if (!at->is_closing && resource_has_directed(at, to)) {
            return true;
        }
    }
    return false;
}

static void on_block_changed(
        struct turn *turn, struct str text, bool is_hidden, const struct element *request)
{
    (void)request;
    struct jid jid;
    if (jid_split(text, &jid) != ERR_OK) {
        return;
    }
    bool is_domain = jid.local.len == 0 && jid.resource.len == 0;
    const struct roster_item *item = turn->entity->roster.items;
    for (; is_domain && item; item = item->hh.next) {
        struct jid contact;
        if ((item->flags & ROSTER_FROM) && jid_split(item->jid, &contact) == ERR_OK
                && str_equal(contact.domain, jid.domain)) {
            show_or_hide(turn, item->jid, is_hidden);
        }
    }
    bool may_see = is_subscriber(turn, text) || (is_hidden && has_directed(turn, text));
    if (!is_domain && may_see) {
        show_or_hide(turn, text, is_hidden);
    }
}

const struct feature feature_presence = {
    .name = "presence",
    .specs = { { "RFC 6121", "§4" } },
    .on_outbound = see_outbound,
    .on_inbound = see_inbound,
    .on_session_open = on_open,
    .on_session_close = on_close,
    .on_block_changed = on_block_changed,
};

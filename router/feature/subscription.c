/* Subscriptions, RFC 6121 §3: the four stanzas in both directions by the table of Appendix A. A
 * change is committed before anybody hears of it; a stanza that comes again after a crash is known
 * by its origin and has its effects again, but changes nothing. */
#include "router/entity/entity.h"
#include "router/entity/notices.h"
#include "router/entity/quotas.h"
#include "router/entity/subscription_state.h"
#include "router/feature.h"
#include "router/settings.h"

#define MAX_REQUEST_BYTES 4096 /* of a request that waits; a longer one is kept without content */

static bool is_subscription(const struct stanza *stanza)
{
    if (stanza->kind != STANZA_PRESENCE) {
        return false;
    }
    switch ((int)stanza->type) {
    case STANZA_TYPE_SUBSCRIBE:
    case STANZA_TYPE_SUBSCRIBED:
    case STANZA_TYPE_UNSUBSCRIBE:
    case STANZA_TYPE_UNSUBSCRIBED: return true;
    default: return false;
    }
}

static bool is_repeat(const struct turn *turn, const struct roster_item *item)
{
    static const struct id128 nobody;
    return item && !id128_equal(turn->origin.session, nobody)
            && id128_equal(item->origin.session, turn->origin.session)
            && item->origin.counter == turn->origin.counter
            && item->origin.part == turn->origin.part;
}

/* The item of `jid` with other flags; name, groups and request stay. */
static struct roster_item changed_item(
        const struct turn *turn, const struct roster_item *item, struct str jid, unsigned flags)
{
    struct roster_item next = { .jid = jid, .flags = flags, .origin = turn->origin };
    if (item) {
        next.name = item->name;
        next.groups = item->groups;
        next.request = flags & ROSTER_PENDING_IN ? item->request : STR_NULL;
    }
    return next;
}

static bool is_full(const struct turn *turn, const struct roster_item *item, unsigned flags)
{
    bool is_listed = item && (item->flags & ROSTER_LISTED);
    return (flags & ROSTER_LISTED) && !is_listed
            && (int64_t)turn->entity->roster.listed >= turn->settings->roster_max_items;
}

static void push_if_seen(struct turn *turn)
{
    const struct roster_item *item = turn->change->item;
    if (subscription_is_visible(turn->change->before, item->flags)) {
        notices_push(turn, item);
    }
}

/* Temporary: whoever asked may ask again (G01). */
static void reply_store_error(struct turn *turn, const struct stanza *request)
{
    struct stanza_error error = { .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    turn_reply_error(turn, request, &error);
}

/* ---- outbound */

/* To the contact with bare addresses (§3.1.2), and what the contact may see from now on. */
static void pass_on(struct turn *turn, const struct stanza *stanza, unsigned before)
{
    struct stanza copy = *stanza;
    copy.from = turn->entity->bare;
    copy.to = turn->to.bare;
    turn_route_kept(turn, &copy);
    if (stanza->type == STANZA_TYPE_SUBSCRIBED) {
        notices_show(turn, turn->to.bare); /* §3.1.5 */
    } else if (stanza->type == STANZA_TYPE_UNSUBSCRIBED && (before & ROSTER_FROM)) {
        notices_hide(turn, turn->to.bare); /* §3.2.2 */
    }
}

static void after_outbound(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err != ERR_OK) {
        reply_store_error(turn, request);
        return;
    }
    push_if_seen(turn);
    if (subscription_outbound(turn->change->before, request->type).is_passed_on) {
        pass_on(turn, request, turn->change->before);
    }
}

/* C12: so many requests in an hour, however they end. */
static bool may_ask(struct turn *turn)
{
    return entity_take_quota(turn->entity, QUOTA_SUBSCRIPTIONS, 1);
}

/* Nobody answers at a domain that is not served: nothing would ever end the asking. */
static bool is_in_vain(const struct turn *turn)
{
    bool is_asking = turn->stanza->type == STANZA_TYPE_SUBSCRIBE
            || turn->stanza->type == STANZA_TYPE_SUBSCRIBED;
    return is_asking && !settings_is_served(turn->settings, turn->to.domain);
}

/* A crash came between the change and its effects. Who was only approved in advance hears nothing.
 */
static void repeat_outbound(struct turn *turn, const struct roster_item *item)
{
    if (turn->stanza->type != STANZA_TYPE_SUBSCRIBED || (item->flags & ROSTER_FROM)) {
        pass_on(turn, turn->stanza, ROSTER_FROM);
    }
}

static enum verdict change_outbound(struct turn *turn)
{
    const struct roster_item *item = roster_find(&turn->entity->roster, turn->to.bare);
    unsigned before = item ? item->flags : 0;
    if (is_repeat(turn, item)) {
        repeat_outbound(turn, item);
        return VERDICT_HANDLED;
    }
    struct subscription_step step = subscription_outbound(before, turn->stanza->type);
    if (turn->stanza->type == STANZA_TYPE_SUBSCRIBE && !may_ask(turn)) {
        return turn_reject(turn, STANZA_ERROR_POLICY_VIOLATION, STR("Too many requests"));
    }
    if (is_full(turn, item, step.flags)) {
        return turn_reject(turn, STANZA_ERROR_RESOURCE_CONSTRAINT, STR("The roster is full"));
    }
    if (step.flags != before) {
        struct roster_item next = changed_item(turn, item, turn->to.bare, step.flags);
        return turn_wait_change_roster(turn, &next, after_outbound);
    }
    if (step.is_passed_on) {
        pass_on(turn, turn->stanza, before);
    }
    return VERDICT_HANDLED;
}

static enum verdict see_outbound(struct turn *turn)
{
    if (!is_subscription(turn->stanza)) {
        return VERDICT_PASS;
    }
    if (turn->to.full.len == 0) {
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR("To whom?"));
    }
    if (turn->to.local.len == 0 && settings_find_host(turn->settings, turn->to.domain)) {
        return VERDICT_PASS; /* the server itself is nobody's contact */
    }
    if (str_equal(turn->to.bare, turn->entity->bare)) {
        return VERDICT_HANDLED; /* one's own devices see each other anyway (§3.1.2) */
    }
    if (is_in_vain(turn)) {
        return turn_reject(turn, STANZA_ERROR_REMOTE_SERVER_NOT_FOUND, STR_NULL);
    }
    return change_outbound(turn);
}

/* ---- inbound */

/* A request to whoever is there (§3.1.3), everything else to those who watch the roster, in front
 * of the push (§3.1.6, §3.2.3, §3.3.3). */
static void deliver(struct turn *turn, const struct stanza *stanza)
{
    struct stanza copy = *stanza;
    copy.from = turn->from.bare;
    copy.to = turn->entity->bare;
    bool is_request = stanza->type == STANZA_TYPE_SUBSCRIBE;
    for (const struct resource *to = turn->entity->resources; to; to = to->next) {
        if (!to->is_closing && (is_request ? to->is_available : to->is_interested)) {
            turn_deliver(turn, to, &copy);
        }
    }
}

static void answer(struct turn *turn)
{
    struct str to = turn->from.bare;
    notices_subscription(turn, STANZA_TYPE_SUBSCRIBED, to);
    notices_show(turn, to);
}

static void after_inbound(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err != ERR_OK) {
        reply_store_error(turn, request);
        return;
    }
    unsigned before = turn->change->before;
    struct subscription_step step = subscription_inbound(before, request->type);
    if (step.is_passed_on) {
        deliver(turn, request);
    }
    push_if_seen(turn);
    if (step.is_auto_answer) {
        answer(turn);
    }
    if (request->type == STANZA_TYPE_UNSUBSCRIBE && (before & ROSTER_FROM)) {
        notices_hide(turn, turn->from.bare); /* §3.3.3 */
    }
}

/* A crash came between the change and its effects. */
static void repeat_inbound(struct turn *turn, const struct roster_item *item)
{
    deliver(turn, turn->stanza);
    if (turn->stanza->type == STANZA_TYPE_SUBSCRIBE && (item->flags & ROSTER_FROM)) {
        answer(turn);
    } else if (turn->stanza->type == STANZA_TYPE_UNSUBSCRIBE) {
        notices_hide(turn, turn->from.bare);
    }
}

/* Kept whole, so that it can be shown at every login until it is answered (§3.1.3). */
static struct str pack_request(struct turn *turn)
{
    struct stanza copy = *turn->stanza;
    copy.from = turn->from.bare;
    copy.to = turn->entity->bare;
    if (stanza_bytes(&copy) > MAX_REQUEST_BYTES) {
        copy = (struct stanza){
            .kind = STANZA_PRESENCE, .type = STANZA_TYPE_SUBSCRIBE, .from = copy.from, .to = copy.to
        };
    }
    return notices_pack(turn, &copy);
}

/* Strangers cannot fill the store: hidden items are limited as listed ones are. */
static bool has_room(const struct turn *turn, const struct roster_item *item)
{
    const struct roster *roster = &turn->entity->roster;
    size_t hidden = HASH_COUNT(roster->items) - roster->listed;
    return item || (int64_t)hidden < turn->settings->roster_max_items;
}

static enum verdict change_inbound(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    const struct roster_item *item = roster_find(&turn->entity->roster, turn->from.bare);
    unsigned before = item ? item->flags : 0;
    if (is_repeat(turn, item)) {
        repeat_inbound(turn, item);
        return VERDICT_HANDLED;
    }
    struct subscription_step step = subscription_inbound(before, stanza->type);
    if (step.flags == before) {
        if (step.is_auto_answer) {
            answer(turn);
        }
        return VERDICT_HANDLED;
    }
    if (!has_room(turn, item)) {
        return VERDICT_HANDLED;
    }
    struct roster_item next = changed_item(turn, item, turn->from.bare, step.flags);
    if (stanza->type == STANZA_TYPE_SUBSCRIBE && step.is_passed_on) {
        next.request = pack_request(turn);
    }
    return turn_wait_change_roster(turn, &next, after_inbound);
}

/* A request went out with the bare JID: what went wrong with it concerns whoever watches the
 * roster.
 */
static enum verdict see_error(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    unsigned flags = roster_flags(&turn->entity->roster, turn->from.bare);
    if (stanza->kind != STANZA_PRESENCE || stanza->type != STANZA_TYPE_ERROR
            || !jid_is_bare(&turn->to) || !(flags & ROSTER_PENDING_OUT)) {
        return VERDICT_PASS;
    }
    deliver(turn, stanza);
    return VERDICT_HANDLED;
}

/* Nobody learns from the answer whether the account exists (C09): there is none. */
static enum verdict see_inbound(struct turn *turn)
{
    if (!is_subscription(turn->stanza)) {
        return see_error(turn);
    }
    bool is_for_nobody = turn->entity->account.state != ACCOUNT_ACTIVE
            || turn->entity->account.id == 0 || turn->from.full.len == 0
            || str_equal(turn->from.bare, turn->entity->bare);
    return is_for_nobody ? VERDICT_HANDLED : change_inbound(turn);
}

const struct feature feature_subscription = {
    .name = "subscription",
    .specs = { { "RFC 6121", "§3" } },
    .on_outbound = see_outbound,
    .on_inbound = see_inbound,
};

/* The contact list, RFC 6121 §2: get with versions (§2.6), set, remove, pushes. */
#include "router/entity/roster.h"

#include "chassis/base/buf.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity.h"
#include "router/entity/notices.h"
#include "router/feature.h"
#include "router/settings.h"

/* ---- get */

static struct str version_text(const struct turn *turn)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%lld", (long long)turn->entity->roster.version);
    return str_dup(turn->arena, str_from(text, (size_t)len));
}

static void become_interested(struct turn *turn)
{
    if (turn->session && !turn->session->is_interested) {
        turn->session->is_interested = true;
        turn_session_changed(turn, turn->session);
    }
}

/* §2.6.3: an empty result, then what the client has missed, as pushes; nothing if its version is
 * the current one. False: the whole list has to come. */
static bool answer_with_deltas(struct turn *turn, const struct iq *iq)
{
    const struct roster *roster = &turn->entity->roster;
    struct roster_delta deltas[ROSTER_MAX_DELTAS];
    size_t count = 0;
    int64_t version;
    if (!turn->session || !str_to_i64(element_attribute(iq->payload, STR("ver")), &version)
            || !roster_deltas(roster, version, deltas, &count)) {
        return false;
    }
    turn_reply_result(turn, iq->stanza, STR_NULL);
    for (size_t i = 0; i < count; i++) {
        notices_push_delta(turn, turn->session, &deltas[i]);
    }
    return true;
}

static enum verdict answer_get(struct turn *turn, const struct iq *iq)
{
    const struct roster *roster = &turn->entity->roster;
    bool has_ver = element_has_attribute(iq->payload, STR("ver"));
    struct str version = version_text(turn);
    become_interested(turn);
    if (has_ver && answer_with_deltas(turn, iq)) {
        return VERDICT_HANDLED;
    }
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "query", NS_ROSTER);
    if (has_ver) {
        xml_attr(&xml, "ver", version);
    }
    xml_end_open(&xml);
    for (const struct roster_item *item = roster->items; item; item = item->hh.next) {
        if (item->flags & ROSTER_LISTED) {
            roster_item_write(&xml, item);
        }
    }
    xml_close(&xml, "query");
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
    return VERDICT_HANDLED;
}

/* ---- set */

static enum verdict reject_length(struct turn *turn)
{
    return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR("A name is empty or too long"));
}

static bool has_group(struct str groups, struct str group)
{
    struct roster_item item = { .groups = groups };
    struct str at = STR_NULL;
    while (roster_next_group(&item, &at)) {
        if (str_equal(at, group)) {
            return true;
        }
    }
    return false;
}

/* §2.3.3: a doubled group is a bad request, an empty or overlong one is not acceptable (C10). */
static enum verdict read_groups(
        struct turn *turn, const struct element *element, struct str *groups_out)
{
    const struct settings *settings = turn->settings;
    enum verdict verdict = VERDICT_PASS;
    int64_t count = 0;
    struct buf groups;
    buf_init(&groups, 0);
    XML_FOREACH_CHILD(child, element) {
        if (!element_is(child, NS_ROSTER, "group")) {
            continue;
        }
        if (child->text.len == 0 || (int64_t)child->text.len > settings->roster_max_name_bytes
                || ++count > settings->roster_max_groups) {
            verdict = reject_length(turn);
            break;
        }
        if (has_group(buf_view(&groups), child->text)) {
            verdict = turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR("A group comes twice"));
            break;
        }
        buf_append_str(&groups, child->text);
        buf_append_char(&groups, '\0');
    }
    *groups_out = str_dup(turn->arena, buf_view(&groups));
    buf_fini(&groups);
    return verdict;
}

/* What a set may change; subscriptions, `ask` and `approved` are not the client's (§2.1.2). */
static enum verdict read_item(
        struct turn *turn, const struct element *element, struct roster_item *wish)
{
    struct jid jid;
    if (jid_parse(turn->arena, element_attribute(element, STR("jid")), &jid) != ERR_OK) {
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR("The item has no valid JID"));
    }
    if (str_equal(jid.bare, turn->entity->bare)) {
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR("Nobody is his own contact"));
    }
    wish->jid = jid.bare;
    wish->name = element_attribute(element, STR("name"));
    if ((int64_t)wish->name.len > turn->settings->roster_max_name_bytes) {
        return reject_length(turn);
    }
    return read_groups(turn, element, &wish->groups);
}

static void reply_store_error(struct turn *turn, const struct stanza *request)
{
    struct stanza_error error = { .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    turn_reply_error(turn, request, &error);
}

static void after_set(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err != ERR_OK) {
        reply_store_error(turn, request);
        return;
    }
    notices_push(turn, turn->change->item);
    turn_reply_result(turn, request, STR_NULL);
}

static enum verdict put(struct turn *turn, struct roster_item *wish)
{
    const struct roster *roster = &turn->entity->roster;
    const struct roster_item *former = roster_find(roster, wish->jid);
    bool is_listed = former && (former->flags & ROSTER_LISTED);
    size_t bytes = roster->bytes + roster_item_bytes(wish);
    bytes -= is_listed ? roster_item_bytes(former) : 0;
    bool is_full = !is_listed && (int64_t)roster->listed >= turn->settings->roster_max_items;
    if (is_full || (int64_t)bytes > turn->settings->roster_max_bytes) {
        return turn_reject(
                turn, STANZA_ERROR_RESOURCE_CONSTRAINT, STR("The roster is full")); /* C11 */
    }
    wish->flags = (former ? former->flags : 0) | ROSTER_LISTED;
    if (former) {
        wish->request = former->request;
        wish->origin = former->origin;
    }
    return turn_wait_change_roster(turn, wish, after_set);
}

/* §2.5.2: whoever is removed loses both subscriptions. */
static void after_remove(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err != ERR_OK) {
        reply_store_error(turn, request);
        return;
    }
    unsigned before = turn->change->before;
    struct str to = turn->change->item->jid;
    if (before & (ROSTER_TO | ROSTER_PENDING_OUT)) {
        notices_subscription(turn, STANZA_TYPE_UNSUBSCRIBE, to);
    }
    if (before & (ROSTER_FROM | ROSTER_PENDING_IN)) {
        notices_subscription(turn, STANZA_TYPE_UNSUBSCRIBED, to);
    }
    if (before & ROSTER_FROM) {
        notices_hide(turn, to);
    }
    notices_push(turn, turn->change->item);
    turn_reply_result(turn, request, STR_NULL);
}

static enum verdict remove_item(struct turn *turn, const struct roster_item *wish)
{
    if (!(roster_flags(&turn->entity->roster, wish->jid) & ROSTER_LISTED)) {
        return turn_reject(turn, STANZA_ERROR_ITEM_NOT_FOUND, STR_NULL);
    }
    struct roster_item gone = { .jid = wish->jid };
    return turn_wait_change_roster(turn, &gone, after_remove);
}

static enum verdict answer_set(struct turn *turn, const struct iq *iq)
{
    const struct element *element = iq->payload->first_child;
    if (!element || element->next || !element_is(element, NS_ROSTER, "item")) {
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR("One item is needed"));
    }
    struct roster_item wish = { .flags = 0 };
    enum verdict verdict = read_item(turn, element, &wish);
    if (verdict != VERDICT_PASS) {
        return verdict;
    }
    bool is_remove = str_equal(element_attribute(element, STR("subscription")), STR("remove"));
    return is_remove ? remove_item(turn, &wish) : put(turn, &wish);
}

/* ---- others (§2.1.5, C13): the same answer for every account, and for those that do not exist */

static enum verdict see_inbound(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    bool is_foreign = stanza->kind == STANZA_IQ
            && (stanza->type == STANZA_TYPE_GET || stanza->type == STANZA_TYPE_SET)
            && jid_is_bare(&turn->to) && str_equal(stanza->payload_ns, STR(NS_ROSTER))
            && !str_equal(turn->from.bare, turn->entity->bare);
    return is_foreign ? turn_reject(turn, STANZA_ERROR_FORBIDDEN, STR_NULL) : VERDICT_PASS;
}

/* Contacts keep no subscription to somebody who is gone. */
static void on_removed(struct turn *turn)
{
    const struct roster_item *item = turn->entity->roster.items;
    for (; item; item = item->hh.next) {
        struct str to = str_dup(turn->arena, item->jid);
        if (item->flags & (ROSTER_TO | ROSTER_PENDING_OUT)) {
            notices_subscription(turn, STANZA_TYPE_UNSUBSCRIBE, to);
        }
        if (item->flags & (ROSTER_FROM | ROSTER_PENDING_IN)) {
            notices_subscription(turn, STANZA_TYPE_UNSUBSCRIBED, to);
        }
    }
}

const struct feature feature_roster = {
    .name = "roster",
    .specs = { { "RFC 6121", "§2" } },
    .iq = {
        { IQ_GET, TO_ACCOUNT, NS_ROSTER, "query", answer_get },
        { IQ_SET, TO_ACCOUNT, NS_ROSTER, "query", answer_set },
    },
    .on_inbound = see_inbound,
    .on_account_removed = on_removed,
};

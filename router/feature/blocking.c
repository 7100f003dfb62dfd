/* Blocking Command, XEP-0191 1.3: the list and its changes, and the stanzas it stops. What presence
 * has to say when an address is blocked or let in again is its feature's business
 * (on_block_changed). */
#include "chassis/base/buf.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/blocklist.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/settings.h"

/* ---- stanzas */

/* The own account and its server stay within reach, whatever the list says: a blocked domain may be
 * the own one. */
static bool is_own(const struct turn *turn, const struct jid *jid)
{
    return str_equal(jid->bare, turn->entity->bare) || str_equal(jid->bare, turn->entity->domain);
}

static bool is_blocked(const struct turn *turn, const struct jid *jid)
{
    return turn->entity->blocklist && jid->full.len && !is_own(turn, jid)
            && blocklist_matches(turn->entity->blocklist, jid);
}

static enum verdict stop_outbound(struct turn *turn)
{
    if (!is_blocked(turn, &turn->to)) {
        return VERDICT_PASS;
    }
    (void)turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR_NULL);
    turn->error.type = "cancel"; /* §3.3: what was sent is not sent again */
    turn->error.extra_xml = STR("<blocked xmlns='" NS_BLOCKING_ERRORS "'/>");
    return VERDICT_REJECT;
}

/* §3.3: the user appears offline, or not to exist. What is not to be answered is dropped by
 * turn_reply_error: errors, results. */
static enum verdict stop_inbound(struct turn *turn)
{
    if (!is_blocked(turn, &turn->from)) {
        return VERDICT_PASS;
    }
    if (turn->stanza->kind == STANZA_PRESENCE) {
        return VERDICT_HANDLED;
    }
    return turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL);
}

/* ---- the list */

static void write_item(struct buf *xml, struct str jid)
{
    xml_open(xml, "item", NULL);
    xml_attr(xml, "jid", jid);
    xml_end_empty(xml);
}

static enum verdict answer_list(struct turn *turn, const struct iq *iq)
{
    const struct blocklist *list = turn->entity->blocklist;
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "blocklist", NS_BLOCKING);
    xml_end_open(&xml);
    for (size_t i = 0; i < blocklist_count(list); i++) {
        write_item(&xml, blocklist_at(list, i));
    }
    xml_close(&xml, "blocklist");
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
    if (turn->session && !turn->session->has_blocklist) {
        turn->session->has_blocklist = true;
        turn_session_changed(turn, turn->session);
    }
    return VERDICT_HANDLED;
}

/* The addresses a request names, prepared. */
struct named {
    struct str *jids;
    const struct element **items; /* of the request */
    size_t count;
};

static bool named_has(const struct named *named, struct str jid)
{
    for (size_t i = 0; i < named->count; i++) {
        if (str_equal(named->jids[i], jid)) {
            return true;
        }
    }
    return false;
}

static size_t count_children(const struct element *parent)
{
    size_t count = 0;
    XML_FOREACH_CHILD(child, parent) {
        count++;
    }
    return count;
}

static enum stanza_condition read_items(
        struct turn *turn, const struct element *payload, struct named *named_out)
{
    size_t max = count_children(payload);
    if ((int64_t)max > turn->settings->blocking_max_items) {
        return STANZA_ERROR_RESOURCE_CONSTRAINT;
    }
    struct named named = {
        .jids = arena_calloc(turn->arena, (max + 1) * sizeof(struct str)),
        .items = arena_calloc(turn->arena, (max + 1) * sizeof(struct element *)),
    };
    XML_FOREACH_CHILD(item, payload) {
        struct jid jid;
        if (!element_is(item, NS_BLOCKING, "item")) {
            return STANZA_ERROR_BAD_REQUEST;
        }
        if (jid_parse(turn->arena, element_attribute(item, STR("jid")), &jid) != ERR_OK) {
            return STANZA_ERROR_JID_MALFORMED;
        }
        if (!named_has(&named, jid.full)) {
            named.items[named.count] = item;
            named.jids[named.count++] = jid.full;
        }
    }
    *named_out = named;
    return STANZA_ERROR_NONE;
}

static bool is_block(const struct element *payload)
{
    return element_is(payload, NS_BLOCKING, "block");
}

/* What the list will be, in its stored form; false: as it is. */
static bool write_list(
        const struct turn *turn, bool is_blocking, const struct named *named, struct buf *out)
{
    const struct blocklist *list = turn->entity->blocklist;
    size_t kept = 0;
    size_t added = 0;
    for (size_t i = 0; i < blocklist_count(list); i++) {
        struct str jid = blocklist_at(list, i);
        bool is_gone = !is_blocking && (named->count == 0 || named_has(named, jid));
        if (!is_gone) {
            buf_append_str(out, jid);
            buf_append_char(out, '\n');
            kept++;
        }
    }
    for (size_t i = 0; is_blocking && i < named->count; i++) {
        if (!blocklist_has(list, named->jids[i])) {
            buf_append_str(out, named->jids[i]);
            buf_append_char(out, '\n');
            added++;
        }
    }
    return added > 0 || kept != blocklist_count(list);
}

/* ---- a change */

/* §3.3: to all that have asked for the list, the one that changes it included. */
static void push(struct turn *turn, const struct stanza *request)
{
    struct stanza stanza = {
        .kind = STANZA_IQ,
        .type = STANZA_TYPE_SET,
        .id = request->id,
        .from = turn->entity->bare,
        .payload_ns = STR(NS_BLOCKING),
        .payload_name = request->payload_name,
        .child_count = 1,
        .children = request->children,
    };
    struct buf id;
    buf_init(&id, 0);
    buf_append_literal(&id, "push-");
    buf_append_str(&id, request->id);
    stanza.id = str_dup(turn->arena, buf_view(&id));
    buf_fini(&id);
    for (const struct resource *to = turn->entity->resources; to; to = to->next) {
        if (to->has_blocklist && !to->is_closing) {
            stanza.to = to->full;
            turn_deliver(turn, to, &stanza);
        }
    }
}

/* What was let in by "all" is no list of the request. */
static void tell_presence(struct turn *turn, bool is_blocking, const struct named *named)
{
    const struct blocklist *list = turn->entity->blocklist;
    bool is_all = !is_blocking && named->count == 0;
    size_t count = is_all ? blocklist_count(list) : named->count;
    for (size_t i = 0; i < count; i++) {
        struct str jid = is_all ? str_dup(turn->arena, blocklist_at(list, i)) : named->jids[i];
        if (blocklist_has(list, jid) != is_blocking) {
            feature_tell_block_changed(turn, jid, is_blocking, is_all ? NULL : named->items[i]);
        }
    }
}

static void finish_change(struct turn *turn,
        const struct stanza *request,
        bool is_blocking,
        const struct named *named)
{
    struct buf stored;
    buf_init(&stored, 0);
    if (write_list(turn, is_blocking, named, &stored)) {
        tell_presence(turn, is_blocking, named);
        entity_set_blocklist(turn->entity, buf_view(&stored));
    }
    buf_fini(&stored);
    turn_reply_result(turn, request, STR_NULL);
    push(turn, request);
}

static void after_change(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err != ERR_OK) {
        struct stanza_error error = { .condition = err == ERR_LIMIT
                    ? STANZA_ERROR_RESOURCE_CONSTRAINT
                    : STANZA_ERROR_INTERNAL_SERVER_ERROR };
        turn_reply_error(turn, request, &error);
        return;
    }
    const struct element *payload = turn_parse_children(turn);
    struct named named;
    if (payload && read_items(turn, payload, &named) == STANZA_ERROR_NONE) {
        finish_change(turn, request, is_block(payload), &named);
    }
}

static enum verdict answer_change(struct turn *turn, const struct iq *iq)
{
    bool is_blocking = is_block(iq->payload);
    struct named named;
    enum stanza_condition wrong = read_items(turn, iq->payload, &named);
    if (wrong == STANZA_ERROR_NONE && is_blocking && named.count == 0) {
        wrong = STANZA_ERROR_BAD_REQUEST;
    }
    if (wrong != STANZA_ERROR_NONE) {
        return turn_reject(turn, wrong, STR_NULL);
    }
    struct buf stored;
    buf_init(&stored, 0);
    bool is_changed = write_list(turn, is_blocking, &named, &stored);
    struct account_datum *item = ARENA_NEW(turn->arena, struct account_datum);
    item->value = str_dup(turn->arena, buf_view(&stored));
    buf_fini(&stored);
    if (!is_changed) {
        finish_change(turn, iq->stanza, is_blocking, &named);
        return VERDICT_HANDLED;
    }
    size_t items = blocklist_count(turn->entity->blocklist) + (is_blocking ? named.count : 0);
    if (is_blocking && (int64_t)items > turn->settings->blocking_max_items) { /* C11 */
        return turn_reject(turn, STANZA_ERROR_RESOURCE_CONSTRAINT, STR_NULL);
    }
    struct turn_data_limits limits = { 1, turn->settings->blocking_max_bytes };
    return turn_wait_store_data(turn, ACCOUNT_DATA_BLOCKLIST, item, 1, limits, after_change);
}

const struct feature feature_blocking = {
    .name = "blocking",
    .specs = { { "XEP-0191", "1.3" } },
    .advertises = { NS_BLOCKING },
    .advertises_account = { NS_BLOCKING },
    .iq = {
        { IQ_GET, TO_ACCOUNT, NS_BLOCKING, "blocklist", answer_list },
        { IQ_SET, TO_ACCOUNT, NS_BLOCKING, "block", answer_change },
        { IQ_SET, TO_ACCOUNT, NS_BLOCKING, "unblock", answer_change },
    },
    .on_outbound = stop_outbound,
    .on_inbound = stop_inbound,
};

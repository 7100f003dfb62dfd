/* Roster pushes, subscription stanzas and presences as effects. */
#include "router/entity/notices.h"

#include "proto/wire/wire.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity.h"
#include "router/entity/resource.h"
#include "router/entity/roster.h"

/* ---- pushes */

static struct stanza push_of(
        struct turn *turn, const struct roster_item *item, int64_t roster_version)
{
    struct buf xml;
    struct buf id;
    char version[32];
    int len = snprintf(version, sizeof(version), "%lld", (long long)roster_version);
    struct str ver = str_from(version, (size_t)len);
    buf_init(&xml, 0);
    xml_open(&xml, "query", NS_ROSTER);
    xml_attr(&xml, "ver", ver);
    xml_end_open(&xml);
    roster_item_write(&xml, item);
    xml_close(&xml, "query");
    buf_init(&id, 0);
    buf_append_literal(&id, "push-");
    buf_append_str(&id, ver);
    struct stanza push = {
        .kind = STANZA_IQ,
        .type = STANZA_TYPE_SET,
        .id = str_dup(turn->arena, buf_view(&id)),
        .payload_ns = STR(NS_ROSTER),
        .payload_name = STR("query"),
        .child_count = 1,
        .children = str_dup(turn->arena, buf_view(&xml)),
    };
    buf_fini(&id);
    buf_fini(&xml);
    return push;
}

void notices_push(struct turn *turn, const struct roster_item *item)
{
    struct stanza push = push_of(turn, item, turn->entity->roster.version);
    for (const struct resource *to = turn->entity->resources; to; to = to->next) {
        if (to->is_interested && !to->is_closing) {
            push.to = to->full;
            turn_deliver(turn, to, &push);
        }
    }
}

void notices_push_delta(
        struct turn *turn, const struct resource *to, const struct roster_delta *delta)
{
    struct roster_item gone = { .jid = delta->jid };
    struct stanza push = push_of(turn, delta->item ? delta->item : &gone, delta->version);
    push.to = to->full;
    turn_deliver(turn, to, &push);
}

/* ---- requests that wait */

struct str notices_pack(struct turn *turn, const struct stanza *stanza)
{
    struct buf packed;
    buf_init(&packed, 0);
    wire_stanza_pack(&packed, stanza);
    struct str copy = str_dup(turn->arena, buf_view(&packed));
    buf_fini(&packed);
    return copy;
}

void notices_requests(struct turn *turn, const struct resource *to)
{
    const struct roster_item *item = turn->entity->roster.items;
    for (; item; item = item->hh.next) {
        struct stanza request;
        if ((item->flags & ROSTER_PENDING_IN)
                && wire_stanza_unpack(turn->arena, item->request, &request) == ERR_OK) {
            turn_deliver(turn, to, &request);
        }
    }
}

/* ---- to contacts */

void notices_subscription(struct turn *turn, enum stanza_type type, struct str to)
{
    struct stanza stanza = {
        .kind = STANZA_PRESENCE,
        .type = type,
        .from = turn->entity->bare,
        .to = to,
    };
    turn_route_kept(turn, &stanza);
}

struct stanza notices_presence_of(const struct resource *from, struct str to)
{
    return (struct stanza){
        .kind = STANZA_PRESENCE,
        .from = from->full,
        .to = to,
        .children = from->presence,
        .child_count = from->presence_child_count,
        .priority = from->priority,
    };
}

void notices_show(struct turn *turn, struct str to)
{
    for (const struct resource *from = turn->entity->resources; from; from = from->next) {
        if (from->is_available && !from->is_closing) {
            struct stanza presence = notices_presence_of(from, to);
            turn_route_kept(turn, &presence);
        }
    }
}

void notices_hide(struct turn *turn, struct str to)
{
    for (const struct resource *from = turn->entity->resources; from; from = from->next) {
        if (from->is_available && !from->is_closing) {
            struct stanza presence = {
                .kind = STANZA_PRESENCE,
                .type = STANZA_TYPE_UNAVAILABLE,
                .from = from->full,
                .to = to,
            };
            turn_route_kept(turn, &presence);
        }
    }
}

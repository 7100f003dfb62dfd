/* Builds the stanza and hands it to its home, here or elsewhere. */
#include "router/host_message.h"

#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity_table.h"
#include "router/router.h"
#include "router/shard.h"

void host_message_send(struct router *router,
        const struct host_message *message,
        egress_route_done done,
        void *context)
{
    bool has_subject = message->subject.len > 0;
    struct buf xml;
    buf_init(&xml, 0);
    if (has_subject) {
        xml_text_element(&xml, "subject", NULL, message->subject);
    }
    xml_text_element(&xml, "body", NULL, message->body);
    const struct stanza stanza = {
        .kind = STANZA_MESSAGE,
        .type = message->type,
        .flags = STANZA_HAS_BODY,
        .from = message->host,
        .to = message->to,
        .payload_ns = STR(NS_CLIENT),
        .payload_name = has_subject ? STR("subject") : STR("body"),
        .child_count = has_subject ? 2 : 1,
        .children = buf_view(&xml),
    };
    if (shard_is_owned(router->shards, shard_of(router->shards, message->to))) {
        entity_on_route(router->entities, &message->origin, &stanza, done, context);
    } else {
        egress_route(router->egress, &message->origin, &stanza, done, context);
    }
    buf_fini(&xml);
}

/* Last Activity, XEP-0012 2.0: of the server (§5) and of the own account. How long somebody has
 * been away is not kept; who may see an account's presence learns whether it is here. Whoever may
 * not learns no more than of an account that does not exist (C09), and his question reaches no
 * client: its answer would tell that it is online (§4, §8). */
#include "chassis/base/buf.h"
#include "chassis/loop.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/contacts.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/router.h"

static void reply_seconds(struct turn *turn, const struct iq *iq, int64_t seconds)
{
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "%lld", (long long)seconds);
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "query", NS_LAST);
    xml_attr(&xml, "seconds", buf_view(&text));
    xml_end_empty(&xml);
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
    buf_fini(&text);
}

static enum verdict answer_host(struct turn *turn, const struct iq *iq)
{
    const struct router *router = turn->entity->router;
    reply_seconds(turn, iq, (loop_now_ms(router->loop) - router->started_ms) / 1000);
    return VERDICT_HANDLED;
}

static bool is_here(const struct entity *entity)
{
    for (const struct resource *one = entity->resources; one; one = one->next) {
        if (one->is_available && !one->is_closing) {
            return true;
        }
    }
    return false;
}

/* §3: 0 as long as a session is there. */
static enum verdict answer_account(struct turn *turn, const struct iq *iq)
{
    bool may_see = entity_is_contact(turn->entity, turn->from.bare);
    if (!may_see || !(turn->session || is_here(turn->entity))) {
        return turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL);
    }
    reply_seconds(turn, iq, 0);
    return VERDICT_HANDLED;
}

static enum verdict protect_client(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    bool asks_client = stanza->kind == STANZA_IQ && stanza->type == STANZA_TYPE_GET
            && turn->to.resource.len && str_equal(stanza->payload_ns, STR(NS_LAST));
    if (asks_client && !entity_is_contact(turn->entity, turn->from.bare)) {
        return turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL);
    }
    return VERDICT_PASS;
}

const struct feature feature_last = {
    .name = "last",
    .specs = { { "XEP-0012", "2.0" } },
    .advertises = { NS_LAST },
    .advertises_account = { NS_LAST },
    .iq = {
        { IQ_GET, TO_HOST | TO_HOST_BY_OTHERS, NS_LAST, "query", answer_host },
        { IQ_GET, TO_ACCOUNT | TO_ACCOUNT_BY_OTHERS, NS_LAST, "query", answer_account },
    },
    .on_inbound = protect_client,
};

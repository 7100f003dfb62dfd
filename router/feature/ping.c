/* XMPP Ping, XEP-0199 2.0.1: the host and the account answer for themselves. */
#include "router/feature.h"

static enum verdict answer_ping(struct turn *turn, const struct iq *iq)
{
    turn_reply_result(turn, iq->stanza, STR_NULL);
    return VERDICT_HANDLED;
}

const struct feature feature_ping = {
    .name = "ping",
    .specs = { { "XEP-0199", "2.0.1" } },
    .advertises = { NS_PING },
    .advertises_account = { NS_PING },
    .iq = { { IQ_GET, TO_HOST | TO_HOST_BY_OTHERS | TO_ACCOUNT, NS_PING, "ping", answer_ping } },
};

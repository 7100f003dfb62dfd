/* Router to router: small news, each to everybody. */
#include "router/cluster.h"

#include "chassis/loop.h"
#include "proto/xmpp/jid.h"
#include "router/announcer.h"
#include "router/egress.h"
#include "router/entity/entity_table.h"
#include "router/lifecycle.h"
#include "router/peers.h"
#include "router/router.h"
#include "router/shard.h"

#define LOAD_SOON_MS  1000
#define LOAD_AGAIN_MS 10000 /* who has come up since */

static bool is_live_router(const struct peer *peer)
{
    return peer->role == LINK_ROLE_ROUTER && !peer->is_dead;
}

static void tell_routers(struct router *router, const Wire__Envelope *envelope)
{
    for (size_t i = 0; i < router->peers->count; i++) {
        const struct peer *peer = router->peers->items[i];
        if (is_live_router(peer)) {
            egress_envelope(router->egress, peer->link, envelope);
        }
    }
}

/* This router reads the account again, if it is its home. */
static void account_changed(struct router *router, struct str bare, bool end_sessions)
{
    if (!shard_is_held(router->shards, shard_of(router->shards, bare))) {
        return;
    }
    entity_on_account_changed(router->entities, bare);
    lifecycle_poke(router->lifecycle);
    if (end_sessions) {
        entity_on_end_sessions(router->entities, bare);
    }
}

void cluster_tell_account_changed(struct router *router, struct str bare, bool end_sessions)
{
    Wire__AccountChanged message = WIRE__ACCOUNT_CHANGED__INIT;
    message.bare = wire_bytes(bare);
    message.end_sessions = end_sessions;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ACCOUNT_CHANGED;
    envelope.account_changed = &message;
    tell_routers(router, &envelope);
    account_changed(router, bare, end_sessions);
}

void cluster_announce(struct router *router, struct str host, struct str subject, struct str text)
{
    Wire__Announcement message = WIRE__ANNOUNCEMENT__INIT;
    message.host = wire_bytes(host);
    message.subject = wire_bytes(subject);
    message.text = wire_bytes(text);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ANNOUNCEMENT;
    envelope.announcement = &message;
    tell_routers(router, &envelope);
    announcer_begin(router->announcer, host, subject, text);
}

static enum err on_announcement(struct router *router, const Wire__Announcement *message)
{
    struct str host = wire_str(message->host);
    struct str subject = wire_str(message->subject);
    struct str text = wire_str(message->text);
    if (!settings_find_host(router->settings, host) || !str_is_utf8(subject) || !str_is_utf8(text)
            || text.len == 0) {
        return ERR_INVALID;
    }
    announcer_begin(router->announcer, host, subject, text);
    return ERR_OK;
}

enum err cluster_on_news(struct router *router, struct peer *peer, const Wire__Envelope *envelope)
{
    if (envelope->verb_case == WIRE__ENVELOPE__VERB_ROUTER_LOAD) {
        peer->online_accounts = envelope->router_load->online_accounts;
        return ERR_OK;
    }
    if (envelope->verb_case == WIRE__ENVELOPE__VERB_ANNOUNCEMENT) {
        return on_announcement(router, envelope->announcement);
    }
    const Wire__AccountChanged *message = envelope->account_changed;
    struct str bare = wire_str(message->bare);
    struct jid jid;
    if (!str_is_utf8(bare) || jid_split(bare, &jid) != ERR_OK || !jid_is_bare(&jid)) {
        return ERR_INVALID;
    }
    account_changed(router, bare, message->end_sessions);
    return ERR_OK;
}

void cluster_tell_load(struct router *router)
{
    uint64_t online = entity_count_online(router->entities);
    int64_t since_ms = loop_now_ms(router->loop) - router->told_online_ms;
    bool is_due = since_ms >= (online != router->told_online ? LOAD_SOON_MS : LOAD_AGAIN_MS);
    if (!is_due) {
        return;
    }
    router->told_online = online;
    router->told_online_ms = loop_now_ms(router->loop);
    Wire__RouterLoad message = WIRE__ROUTER_LOAD__INIT;
    message.online_accounts = online;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ROUTER_LOAD;
    envelope.router_load = &message;
    tell_routers(router, &envelope);
}

uint64_t cluster_count_online(const struct router *router)
{
    uint64_t count = entity_count_online(router->entities);
    for (size_t i = 0; i < router->peers->count; i++) {
        const struct peer *peer = router->peers->items[i];
        count += is_live_router(peer) ? peer->online_accounts : 0;
    }
    return count;
}

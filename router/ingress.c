/* A table says which role may say what; a handler checks the content and hands over. */
#include "router/ingress.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "router/cluster.h"
#include "router/commit.h"
#include "router/egress.h"
#include "router/entity/components.h"
#include "router/entity/entity_table.h"
#include "router/host_caps.h"
#include "router/ingress_internal.h"
#include "router/log_client.h"
#include "router/peers.h"
#include "router/route_many.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/signer.h"
#include "router/stanza_check.h"

#define NOTE_EVERY_MS 60000 /* a violation is logged so often for each peer */
#define RECORD_BLOCK  8192
#define MAX_TAG       1000 /* a resource still, with what is put behind it */
#define MAX_RESUME_ID 4000 /* XEP-0198 §5 */

static struct metric_family metric_violations = {
    .name = "bus_violations_total",
    .help = "Records dropped because the peer must not send them.",
    .label = "reason",
};
static struct metric metric_unknown =
        METRIC_COUNTER_INIT("bus_unknown_total", "Records of verbs unknown here.", NULL);

/* ---- what may not be */

void ingress_violation(struct ingress *ingress, struct peer *peer, const char *reason)
{
    metric_family_add(&metric_violations, reason, 1);
    int64_t now = loop_now_ms(ingress->router->loop);
    if (peer->violation_noted_ms != 0 && now - peer->violation_noted_ms < NOTE_EVERY_MS) {
        return;
    }

    peer->violation_noted_ms = now;
    log_warn("ingress",
            "a peer broke the rules of the bus",
            log_cstr("peer", link_peer_node(peer->link)),
            log_cstr("role", link_role_name(peer->role)),
            log_cstr("reason", reason));
}

/* One answer a turn: a burst for a shard that has moved says the same a thousand times. */
static void tell_not_owner(struct ingress *ingress, struct peer *peer, unsigned shard)
{
    for (size_t i = 0; i < ingress->told_count; i++) {
        if (ingress->told[i].peer == peer && ingress->told[i].shard == shard) {
            return;
        }
    }

    if (ingress->told_count < INGRESS_MAX_NOT_OWNER) {
        ingress->told[ingress->told_count++] = (struct not_owner){ peer, shard };
        loop_defer(ingress->router->loop, LOOP_PHASE_REAP, &ingress->forget);
    }
    egress_not_owner(ingress->router->egress, peer->link, shard);
}

static void on_forget(void *context)
{
    struct ingress *ingress = context;
    ingress->told_count = 0;
}

static bool is_owned(const struct ingress *ingress, struct str bare, unsigned *shard_out)
{
    const struct shard_table *shards = ingress->router->shards;
    *shard_out = shard_of(shards, bare);
    return shard_is_owned(shards, *shard_out);
}

bool ingress_is_component(const struct ingress *ingress, struct str bare)
{
    return settings_find_component(ingress->router->settings, bare) != NULL;
}

/* New work for an account or a component: false after having said that its home is elsewhere. */
bool ingress_accept_work(struct ingress *ingress, struct peer *peer, struct str bare)
{
    unsigned shard;
    if (!stanza_check_bare(bare) && !ingress_is_component(ingress, bare)) {
        ingress_violation(ingress, peer, "address");
        return false;
    }
    if (!is_owned(ingress, bare, &shard)) {
        tell_not_owner(ingress, peer, shard);
        return false;
    }

    return true;
}

/* Components have sessions, but nothing that clients negotiate. */
static bool is_accounts(struct ingress *ingress, struct peer *peer, struct str bare)
{
    if (ingress_is_component(ingress, bare)) {
        ingress_violation(ingress, peer, "address");
        return false;
    }
    return true;
}

/* What ends work: also while the shard is being handed over. */
static bool accept_end(struct ingress *ingress, struct peer *peer, struct str bare)
{
    if (!stanza_check_bare(bare) && !ingress_is_component(ingress, bare)) {
        ingress_violation(ingress, peer, "address");
        return false;
    }

    const struct shard_table *shards = ingress->router->shards;
    unsigned shard = shard_of(shards, bare);
    if (!shard_is_held(shards, shard)) {
        tell_not_owner(ingress, peer, shard);
        return false;
    }
    return true;
}

/* ---- what asks for an answer: the status is the answer */

Wire__Status ingress_work_status(struct ingress *ingress, struct peer *peer, struct str bare)
{
    unsigned shard;
    if (!stanza_check_bare(bare)) {
        ingress_violation(ingress, peer, "address");
        return WIRE__STATUS__STATUS_INVALID;
    }

    return is_owned(ingress, bare, &shard) ? WIRE__STATUS__STATUS_OK
                                           : WIRE__STATUS__STATUS_NOT_OWNER;
}

bool ingress_has_grant(
        const struct ingress *ingress, const struct peer *peer, struct str bare, struct str grant)
{
    struct str edge = str_from_cstr(link_peer_node(peer->link));
    int64_t now_s = loop_wall_us(ingress->router->loop) / 1000000;
    return signer_grant_is_valid(ingress->router->signer, bare, edge, grant, now_s);
}

/* ---- sessions */

static bool resource_is_prepared(struct ingress *ingress, struct str resource)
{
    struct str prepared;
    return resource.len == 0
            || (jid_prepare_resource(&ingress->arena, resource, &prepared) == ERR_OK
                    && str_equal(prepared, resource));
}

static void on_bind(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Bind *bind = envelope->bind;
    struct router *router = ingress->router;
    const char *edge = link_peer_node(peer->link);
    Wire__Status status = ingress_work_status(ingress, peer, wire_str(bind->bare));
    if (status == WIRE__STATUS__STATUS_OK
            && !ingress_has_grant(ingress, peer, wire_str(bind->bare), wire_str(bind->grant))) {
        ingress_violation(ingress, peer, "grant"); /* F04 */
        status = WIRE__STATUS__STATUS_NOT_AUTHORIZED;
    }
    if (status == WIRE__STATUS__STATUS_OK
            && (bind->tag.len > MAX_TAG || !resource_is_prepared(ingress, wire_str(bind->tag))
                    || !resource_is_prepared(ingress, wire_str(bind->resource)))) {
        ingress_violation(ingress, peer, "resource");
        status = WIRE__STATUS__STATUS_INVALID;
    }
    if (status == WIRE__STATUS__STATUS_OK) {
        entity_on_bind(router->entities, edge, bind);
        return;
    }

    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.request = bind->request;
    reply.status = status;
    egress_bind_reply(router->egress, edge, &reply);
}

/* The handshake is checked at the component's home, so that edges know no secret. */
static void on_component_bind(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__ComponentBind *bind = envelope->component_bind;
    struct router *router = ingress->router;
    struct str domain = wire_str(bind->domain);
    unsigned shard;
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.request = bind->request;
    reply.status = WIRE__STATUS__STATUS_NOT_FOUND;
    if (ingress_is_component(ingress, domain)) {
        if (is_owned(ingress, domain, &shard)) {
            components_on_bind(router->components, link_peer_node(peer->link), bind);
            return;
        }
        reply.status = WIRE__STATUS__STATUS_NOT_OWNER;
    }
    egress_bind_reply(router->egress, link_peer_node(peer->link), &reply);
}

static bool is_sound_stanza(const struct ingress *ingress,
        const Wire__Input *input,
        const struct stanza *stanza,
        struct str bare)
{
    struct str answer_from = wire_str(input->answer_from);
    if (ingress_is_component(ingress, bare)) {
        return answer_from.len == 0 && stanza_check_component(stanza, bare);
    }
    return stanza_check_input(stanza, bare)
            && (answer_from.len == 0 || stanza_check_answer(stanza, answer_from));
}

static void on_input(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Input *input = envelope->input;
    struct router *router = ingress->router;
    const char *edge = link_peer_node(peer->link);
    struct str bare = wire_str(input->bare);
    if (!ingress_accept_work(ingress, peer, bare)) {
        return;
    }

    struct stanza stanza = { 0 };
    bool is_sound = input->is_answered
            ? input->stanza == NULL && input->answer_from.len == 0
            : input->stanza != NULL && wire_stanza_get(input->stanza, &stanza) == ERR_OK
                    && is_sound_stanza(ingress, input, &stanza, bare);
    if (!is_sound) {
        /* Its counter would leave a hole: the session cannot go on (F09). */
        ingress_violation(ingress, peer, "stanza");
        egress_kick(router->egress,
                edge,
                wire_id(input->session),
                bare,
                STREAM_ERROR_INTERNAL_SERVER_ERROR,
                STR(""));
        return;
    }

    if (ingress_is_component(ingress, bare)) {
        components_on_input(router->components, edge, input, &stanza);
    } else {
        entity_on_input(router->entities, edge, input, &stanza);
    }
}

static void on_enable(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Enable *enable = envelope->enable;
    struct str bare = wire_str(enable->bare);
    if (is_accounts(ingress, peer, bare) && ingress_accept_work(ingress, peer, bare)) {
        entity_on_enable(ingress->router->entities, link_peer_node(peer->link), enable);
    }
}

static void on_resume(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Resume *resume = envelope->resume;
    struct router *router = ingress->router;
    const char *edge = link_peer_node(peer->link);
    Wire__Status status = ingress_work_status(ingress, peer, wire_str(resume->bare));
    if (status == WIRE__STATUS__STATUS_OK
            && !ingress_has_grant(ingress, peer, wire_str(resume->bare), wire_str(resume->grant))) {
        ingress_violation(ingress, peer, "grant"); /* F04 */
        status = WIRE__STATUS__STATUS_NOT_AUTHORIZED;
    }
    if (status == WIRE__STATUS__STATUS_OK && resume->resume_id.len > MAX_RESUME_ID) {
        status = WIRE__STATUS__STATUS_NOT_FOUND;
    }
    if (status == WIRE__STATUS__STATUS_OK) {
        entity_on_resume(
                router->entities, edge, resume, signer_grant_issued_us(wire_str(resume->grant)));
        return;
    }

    Wire__ResumeReply reply = WIRE__RESUME_REPLY__INIT;
    reply.request = resume->request;
    reply.status = status;
    egress_resume_reply(router->egress, edge, &reply);
}

static void on_acked(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Acked *acked = envelope->acked;
    struct str bare = wire_str(acked->bare);
    if (is_accounts(ingress, peer, bare) && accept_end(ingress, peer, bare)) {
        entity_on_acked(ingress->router->entities, link_peer_node(peer->link), acked);
    }
}

static void on_client_state(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__ClientState *state = envelope->client_state;
    struct str bare = wire_str(state->bare);
    if (is_accounts(ingress, peer, bare) && ingress_accept_work(ingress, peer, bare)) {
        entity_on_client_state(ingress->router->entities, link_peer_node(peer->link), state);
    }
}

static void on_close(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Close *close = envelope->close;
    if (!ingress_accept_work(ingress, peer, wire_str(close->bare))) {
        return;
    }
    if (ingress_is_component(ingress, wire_str(close->bare))) {
        components_on_close(ingress->router->components, link_peer_node(peer->link), close);
    } else {
        entity_on_close(ingress->router->entities, link_peer_node(peer->link), close);
    }
}

static void on_delivered(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Delivered *delivered = envelope->delivered;
    if (!accept_end(ingress, peer, wire_str(delivered->bare))) {
        return;
    }
    if (ingress_is_component(ingress, wire_str(delivered->bare))) {
        components_on_delivered(ingress->router->components, link_peer_node(peer->link), delivered);
    } else {
        entity_on_delivered(ingress->router->entities, link_peer_node(peer->link), delivered);
    }
}

static void on_session_gone(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__SessionGone *gone = envelope->session_gone;
    if (!accept_end(ingress, peer, wire_str(gone->bare))) {
        return;
    }
    if (ingress_is_component(ingress, wire_str(gone->bare))) {
        components_on_session_gone(ingress->router->components, link_peer_node(peer->link), gone);
    } else {
        entity_on_session_gone(ingress->router->entities, link_peer_node(peer->link), gone);
    }
}

/* ---- routers */

static void on_shard_map(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    (void)peer;
    shard_on_map(ingress->router->shards, envelope->shard_map);
}

static void on_not_owner(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    egress_on_not_owner(ingress->router->egress, peer->link, envelope->not_owner);
}

struct route_answer {
    struct router *router; /* the answer may come when ingress is gone */
    struct peer *peer;
    uint64_t peer_boot;
    uint64_t request;
    unsigned shard;
};

static void answer_route(const struct route_answer *answer, Wire__Status status)
{
    struct router *router = answer->router;
    if (answer->peer->is_dead || answer->peer->boot_epoch != answer->peer_boot) {
        return; /* request numbers of a new incarnation mean other routes */
    }
    if (status != WIRE__STATUS__STATUS_OK && status != WIRE__STATUS__STATUS_REFUSED) {
        refusals_add(&answer->peer->refusals,
                shard_count(router->shards),
                answer->shard,
                answer->request);
    }

    Wire__RouteReply reply = WIRE__ROUTE_REPLY__INIT;
    reply.request = answer->request;
    reply.status = status;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ROUTE_REPLY;
    envelope.route_reply = &reply;
    egress_envelope(router->egress, answer->peer->link, &envelope);
}

static Wire__Status route_status(enum err err)
{
    switch ((int)err) {
    case ERR_OK: return WIRE__STATUS__STATUS_OK;
    case ERR_FENCED: return WIRE__STATUS__STATUS_NOT_OWNER;
    case ERR_DENIED: return WIRE__STATUS__STATUS_REFUSED;
    default: return WIRE__STATUS__STATUS_TEMPORARY;
    }
}

static void on_routed(void *context, enum err err)
{
    struct route_answer *answer = context;
    answer_route(answer, route_status(err));
    free(answer);
}

static void on_route(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Route *route = envelope->route;
    struct router *router = ingress->router;
    struct stanza stanza;
    struct jid to;
    if (route->origin == NULL || route->stanza == NULL
            || wire_stanza_get(route->stanza, &stanza) != ERR_OK
            || jid_split(stanza.to, &to) != ERR_OK) {
        ingress_violation(ingress, peer, "stanza");
        return;
    }

    struct route_answer answer = { router, peer, peer->boot_epoch, route->request, 0 };
    bool is_at_home = is_owned(ingress, to.bare, &answer.shard);
    bool is_behind =
            route->request != 0 && refusals_is_behind(peer->refusals, answer.shard, route->request);
    if (!is_at_home || is_behind) {
        if (route->request != 0) {
            answer_route(&answer, WIRE__STATUS__STATUS_NOT_OWNER);
        }
        return;
    }

    struct origin origin = origin_of_wire(route->origin);
    origin.is_repeat = route->is_repeat ? 1 : 0;
    if (route->request == 0) {
        entity_on_route(router->entities, &origin, &stanza, NULL, NULL);
        return;
    }

    struct route_answer *kept = MEM_NEW(struct route_answer);
    *kept = answer;
    entity_on_route(router->entities, &origin, &stanza, on_routed, kept);
}

static void on_news(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    if (cluster_on_news(ingress->router, peer, envelope) != ERR_OK) {
        ingress_violation(ingress, peer, "address");
    }
}

static void on_route_many(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    if (route_many_on_route(ingress->router->many, peer->link, envelope->route_many) != ERR_OK) {
        ingress_violation(ingress, peer, "stanza");
    }
}

static void on_route_many_reply(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    route_many_on_reply(ingress->router->many, peer->link, envelope->route_many_reply);
}

static void on_route_reply(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    egress_on_route_reply(ingress->router->egress, peer->link, envelope->route_reply);
}

/* ---- archive-svc */

static void on_append_reply(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    commit_on_reply(ingress->router->commit, peer, envelope->append_reply);
}

static void on_log_reply(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    (void)peer;
    log_client_on_envelope(ingress->router->log, envelope);
}

/* ---- who may say what (F04) */

struct verb {
    enum link_role role;
    void (*handle)(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);
};

/* clang-format off */
static const struct verb verbs[] = {
    [WIRE__ENVELOPE__VERB_AUTH_LOOKUP]     = { LINK_ROLE_EDGE, ingress_on_auth_lookup },
    [WIRE__ENVELOPE__VERB_AUTH_VERIFY]     = { LINK_ROLE_EDGE, ingress_on_auth_verify },
    [WIRE__ENVELOPE__VERB_AUTH_PLAIN]      = { LINK_ROLE_EDGE, ingress_on_auth_plain },
    [WIRE__ENVELOPE__VERB_AUTH_TOKEN]      = { LINK_ROLE_EDGE, ingress_on_auth_token },
    [WIRE__ENVELOPE__VERB_AUTH_UPGRADE]    = { LINK_ROLE_EDGE, ingress_on_auth_upgrade },
    [WIRE__ENVELOPE__VERB_REGISTER]        = { LINK_ROLE_EDGE, ingress_on_register },
    [WIRE__ENVELOPE__VERB_BIND]            = { LINK_ROLE_EDGE, on_bind },
    [WIRE__ENVELOPE__VERB_COMPONENT_BIND]  = { LINK_ROLE_EDGE, on_component_bind },
    [WIRE__ENVELOPE__VERB_ANNOUNCE]        = { LINK_ROLE_EDGE, ingress_on_announce },
    [WIRE__ENVELOPE__VERB_INPUT]           = { LINK_ROLE_EDGE, on_input },
    [WIRE__ENVELOPE__VERB_CLOSE]           = { LINK_ROLE_EDGE, on_close },
    [WIRE__ENVELOPE__VERB_DELIVERED]       = { LINK_ROLE_EDGE, on_delivered },
    [WIRE__ENVELOPE__VERB_SESSION_GONE]    = { LINK_ROLE_EDGE, on_session_gone },
    [WIRE__ENVELOPE__VERB_ACKED]           = { LINK_ROLE_EDGE, on_acked },
    [WIRE__ENVELOPE__VERB_ENABLE]          = { LINK_ROLE_EDGE, on_enable },
    [WIRE__ENVELOPE__VERB_RESUME]          = { LINK_ROLE_EDGE, on_resume },
    [WIRE__ENVELOPE__VERB_CLIENT_STATE]    = { LINK_ROLE_EDGE, on_client_state },
    [WIRE__ENVELOPE__VERB_SHARD_MAP]       = { LINK_ROLE_ROUTER, on_shard_map },
    [WIRE__ENVELOPE__VERB_NOT_OWNER]       = { LINK_ROLE_ROUTER, on_not_owner },
    [WIRE__ENVELOPE__VERB_ROUTE]           = { LINK_ROLE_ROUTER, on_route },
    [WIRE__ENVELOPE__VERB_ROUTE_REPLY]     = { LINK_ROLE_ROUTER, on_route_reply },
    [WIRE__ENVELOPE__VERB_ACCOUNT_CHANGED] = { LINK_ROLE_ROUTER, on_news },
    [WIRE__ENVELOPE__VERB_ROUTER_LOAD]     = { LINK_ROLE_ROUTER, on_news },
    [WIRE__ENVELOPE__VERB_ANNOUNCEMENT]    = { LINK_ROLE_ROUTER, on_news },
    [WIRE__ENVELOPE__VERB_ROUTE_MANY]      = { LINK_ROLE_ROUTER, on_route_many },
    [WIRE__ENVELOPE__VERB_ROUTE_MANY_REPLY] = { LINK_ROLE_ROUTER, on_route_many_reply },
    [WIRE__ENVELOPE__VERB_APPEND_REPLY]    = { LINK_ROLE_ARCHIVE, on_append_reply },
    [WIRE__ENVELOPE__VERB_LOG_OPEN_REPLY]  = { LINK_ROLE_ARCHIVE, on_log_reply },
    [WIRE__ENVELOPE__VERB_LOG_READ_REPLY]  = { LINK_ROLE_ARCHIVE, on_log_reply },
    [WIRE__ENVELOPE__VERB_LOG_ERASE_REPLY] = { LINK_ROLE_ARCHIVE, on_log_reply },
};
/* clang-format on */

static void on_record(void *context, struct link_peer *link, uint64_t boot_epoch, struct str record)
{
    struct router *router = context;
    struct ingress *ingress = router->ingress;
    if (ingress == NULL) {
        return; /* being taken down */
    }

    struct peer *peer = peers_get(router->peers, link);
    peer->boot_epoch = boot_epoch;
    peer->is_dead = false;
    arena_reset(&ingress->arena);
    const Wire__Envelope *envelope;
    if (wire_unpack(&ingress->arena, record, &envelope) != ERR_OK) {
        metric_add(&metric_unknown, 1); /* a newer neighbour, or noise */
        return;
    }

    size_t verb = (size_t)envelope->verb_case;
    if (verb >= sizeof(verbs) / sizeof(verbs[0]) || verbs[verb].handle == NULL
            || verbs[verb].role != peer->role) {
        ingress_violation(ingress, peer, "verb");
        return;
    }
    verbs[verb].handle(ingress, peer, envelope);
}

/* ---- peers come and go */

static void on_up(void *context, struct link_peer *link, uint64_t boot_epoch)
{
    struct router *router = context;
    if (router->ingress == NULL) {
        return;
    }

    struct peer *peer = peers_get(router->peers, link);
    peer->is_up = true;
    peer->is_dead = false;
    peer->boot_epoch = boot_epoch;
    if (peer->role == LINK_ROLE_ARCHIVE) {
        peer->unwell_since_ms = 0; /* what is frozen does not come */
        commit_on_peer_change(router->commit);
        log_client_on_peer_change(router->log);
        return;
    }

    shard_tell(router->shards, peer);
    host_caps_tell(router, peer);
    if (peer->lost_boot != 0 && peer->lost_boot == boot_epoch) {
        egress_not_owner(router->egress, link, WIRE_ALL_SHARDS); /* it was only out of reach */
    }
    peer->lost_boot = 0;
    egress_on_room(router->egress, link);
}

static void on_dead(struct router *router, struct peer *peer)
{
    log_info("ingress",
            "a peer is gone",
            log_cstr("peer", link_peer_node(peer->link)),
            log_cstr("role", link_role_name(peer->role)));
    egress_on_peer_dead(router->egress, peer->link);
    route_many_on_peer_dead(router->many, peer->link);
    peer->owed_append = 0;
    if (peer->role == LINK_ROLE_EDGE) {
        peer->lost_boot = peer->boot_epoch;
        entity_on_edge_dead(router->entities, link_peer_node(peer->link));
        components_on_edge_dead(router->components, link_peer_node(peer->link));
    }
}

static void on_down(void *context, struct link_peer *link, uint64_t boot_epoch, bool is_dead)
{
    struct router *router = context;
    if (router->ingress == NULL) {
        return;
    }

    struct peer *peer = peers_get(router->peers, link);
    if (peer->is_up) {
        peer->down_since_ms = loop_now_ms(router->loop);
    }
    peer->is_up = false;
    peer->is_dead = is_dead;
    peer->boot_epoch = boot_epoch;
    if (is_dead) {
        on_dead(router, peer);
    }
    if (peer->role == LINK_ROLE_ARCHIVE) {
        commit_on_peer_change(router->commit);
        log_client_on_peer_change(router->log);
    }
}

static void on_room(void *context, struct link_peer *link)
{
    struct router *router = context;
    if (router->ingress == NULL) {
        return;
    }

    struct peer *peer = peers_get(router->peers, link);
    egress_on_room(router->egress, link);
    commit_on_room(router->commit);
    shard_tell(router->shards, peer); /* one may have been dropped for want of room */
    host_caps_tell(router, peer);
}

const struct link_handlers ingress_link_handlers = {
    .on_record = on_record,
    .on_up = on_up,
    .on_down = on_down,
    .on_room = on_room,
};

void ingress_on_map(struct ingress *ingress)
{
    egress_on_map(ingress->router->egress);
    route_many_on_map(ingress->router->many);
}

enum err ingress_create(struct router *router, struct ingress **ingress_out)
{
    struct ingress *ingress = MEM_NEW(struct ingress);
    ingress->router = router;
    arena_init(&ingress->arena, RECORD_BLOCK);
    ingress->forget = (struct loop_task){ .run = on_forget, .context = ingress };
    metric_register(&metric_unknown);
    *ingress_out = ingress;
    return ERR_OK;
}

void ingress_destroy(struct ingress *ingress)
{
    if (ingress == NULL) {
        return;
    }

    loop_task_cancel(ingress->router->loop, &ingress->forget);
    arena_fini(&ingress->arena);
    free(ingress);
}

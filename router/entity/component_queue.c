/* What is sent to a component. A message is its router's until the component's kernel has it; the
 * sender's home, and with it the sender's client, hears of it then. */
#include <utlist.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "router/entity/component.h"
#include "router/router.h"
#include "router/shard.h"

#define MAX_BYTES ((size_t)32 << 20) /* waiting and sent, of one component */
#define MAX_SENT  1000               /* messages it has not taken; an edge remembers more */
#define RETRY_MS  100

static struct metric_family stanzas = {
    .name = "component_stanzas_total",
    .help = "Stanzas for components, by what became of them",
    .label = "result",
};

static void on_timer(struct timer *timer, void *context);

void component_queue_init(struct component *component)
{
    timer_init(&component->timer, on_timer, component);
    origins_init(&component->origins);
    metric_family_add(&stanzas, "sent", 0);
    metric_family_add(&stanzas, "repeated", 0);
    metric_family_add(&stanzas, "refused", 0);
    metric_family_add(&stanzas, "not-connected", 0);
}

/* ---- answers */

void component_route(struct components *components, const struct stanza *stanza)
{
    static const struct origin none;
    struct router *router = components->router;
    struct jid to;
    if (jid_split(stanza->to, &to) != ERR_OK || !settings_is_served(router->settings, to.domain)) {
        return;
    }
    if (shard_is_owned(router->shards, shard_of(router->shards, to.bare))) {
        entity_on_route(router->entities, &none, stanza, NULL, NULL);
    } else {
        egress_route(router->egress, &none, stanza, NULL, NULL);
    }
}

void component_answer_error(
        struct components *components, const struct stanza *stanza, enum stanza_condition condition)
{
    if (!stanza_may_be_answered_with_error(stanza)) {
        return;
    }
    const struct stanza_error error = { .condition = condition };
    struct stanza reply;
    struct buf children;
    buf_init(&children, 0);
    stanza_error_write(&children, &error);
    stanza_init_reply(&reply, stanza, STANZA_TYPE_ERROR);
    reply.flags = STANZA_HAS_ERROR;
    reply.payload_ns = STR(NS_CLIENT);
    reply.payload_name = STR("error");
    reply.child_count = 1;
    reply.children = buf_view(&children);
    component_route(components, &reply);
    buf_fini(&children);
}

/* ---- deliveries */

/* Stanzas of the server's own, like the answer to a subscription, have none. */
static bool has_origin(const struct origin *origin)
{
    return !id128_is_zero(origin->session);
}

/* The same for each repeat, wherever it comes from, and never 0. */
static int64_t id_of(const struct origin *origin)
{
    if (!has_origin(origin)) { /* each is another one */
        return (int64_t)(random_u64() >> 1) | 1;
    }
    const struct {
        uint64_t hi, lo;
        uint32_t counter, part;
    } key = { origin->session.hi, origin->session.lo, origin->counter, origin->part };
    uint64_t hash = str_hash(str_from(&key, sizeof(key)));
    int64_t id = (int64_t)(hash & INT64_MAX);
    return id ? id : 1;
}

static void add_waiter(struct component_delivery *delivery, entity_route_done done, void *context)
{
    struct component_waiter *waiter = ARENA_NEW(&delivery->arena, struct component_waiter);
    waiter->done = done;
    waiter->context = context;
    LL_APPEND(delivery->waiters, waiter);
}

/* It is in no list any more. */
static void finish(struct component *component, struct component_delivery *delivery, enum err err)
{
    component->count--;
    component->bytes -= delivery->bytes;
    for (struct component_waiter *waiter = delivery->waiters; waiter; waiter = waiter->next) {
        waiter->done(waiter->context, err);
    }
    struct arena arena = delivery->arena;
    arena_fini(&arena);
}

static struct component_delivery *create(
        struct component *component, const struct stanza *stanza, int64_t id)
{
    struct arena arena;
    arena_init(&arena, sizeof(struct component_delivery) + stanza_bytes(stanza) + 512);
    struct component_delivery *delivery = ARENA_NEW(&arena, struct component_delivery);
    stanza_dup(&arena, stanza, &delivery->stanza);
    delivery->bytes = sizeof(*delivery) + stanza_bytes(stanza);
    delivery->id = id;
    delivery->arena = arena;
    component->count++;
    component->bytes += delivery->bytes;
    return delivery;
}

static struct component_delivery *find(const struct component *component, int64_t id)
{
    struct component_delivery *delivery = NULL;
    DL_SEARCH_SCALAR(component->sent, delivery, id, id);
    if (!delivery) {
        DL_SEARCH_SCALAR(component->waiting, delivery, id, id);
    }
    return delivery;
}

static void unlist_sent(struct component *component, struct component_delivery *delivery)
{
    DL_DELETE(component->sent, delivery);
    component->sent_count--;
    delivery->sent_to = (struct id128){ 0, 0 };
}

/* ---- time */

static void arm(struct component *component)
{
    struct router *router = component->components->router;
    int64_t now_ms = loop_now_ms(router->loop);
    int64_t due_ms = 0;
    if (component->waiting) {
        due_ms = component_connection(component) ? now_ms + RETRY_MS : component->wait_until_ms;
    }
    if (component->sent) {
        int64_t late_ms = component->sent->sent_ms + router->settings->component_timeout_ms;
        due_ms = due_ms == 0 || late_ms < due_ms ? late_ms : due_ms;
    }
    if (due_ms != 0) {
        timer_start(loop_timers(router->loop),
                &component->timer,
                due_ms > now_ms ? due_ms - now_ms : 0);
    } else {
        timer_stop(&component->timer);
    }
}

/* It reads nothing: its senders' clients wait for their acks (C22). */
static void end_if_stuck(struct component *component)
{
    struct router *router = component->components->router;
    const struct component_delivery *oldest = component->sent;
    if (!oldest
            || loop_now_ms(router->loop) - oldest->sent_ms
                    < router->settings->component_timeout_ms) {
        return;
    }
    struct resource *connection = component_find_session(component, oldest->sent_to);
    if (connection) { /* also one that was told to end and does not */
        log_warn("component",
                "component takes nothing",
                log_str("domain", component->domain),
                log_cstr("edge", connection->edge));
        egress_kick(router->egress,
                connection->edge,
                connection->session,
                component->domain,
                STREAM_ERROR_CONNECTION_TIMEOUT,
                STR("takes no messages"));
        component_lose(component, connection);
    }
}

static void on_timer(struct timer *timer, void *context)
{
    (void)timer;
    struct component *component = context;
    end_if_stuck(component);
    component_queue_flush(component);
}

/* ---- sending */

/* Broadcasts would bring an error each; who joins a room waits for an answer. A repeat is answered
 * again, from the home of its sender: this answer may be lost with that home (P5). */
static void answer_if_awaited(struct component *component,
        const struct origin *origin,
        const struct stanza *stanza,
        enum stanza_condition condition)
{
    struct jid to;
    bool is_awaited = stanza->kind != STANZA_PRESENCE
            || (jid_split(stanza->to, &to) == ERR_OK && !jid_is_bare(&to));
    if (!is_awaited) {
        return;
    }
    if (has_origin(origin)) {
        origins_add(&component->origins, origin, ORIGIN_REFUSED);
    }
    component_answer_error(component->components, stanza, condition);
}

/* RFC 6120 §8.3.3.17: it is known, and cannot be reached. */
static void fail_waiting(struct component *component)
{
    while (component->waiting) {
        struct component_delivery *delivery = component->waiting;
        DL_DELETE(component->waiting, delivery);
        metric_family_add(&stanzas, "not-connected", 1);
        answer_if_awaited(component,
                &delivery->origin,
                &delivery->stanza,
                STANZA_ERROR_REMOTE_SERVER_TIMEOUT);
        finish(component, delivery, ERR_OK);
    }
}

static void note_sent(
        struct component *component, struct resource *connection, struct component_delivery *first)
{
    DL_DELETE(component->waiting, first);
    metric_family_add(&stanzas, "sent", 1);
    if (first->id == 0) {
        finish(component, first, ERR_OK);
        return;
    }
    first->sent_to = connection->session;
    first->sent_ms = loop_now_ms(component->components->router->loop);
    DL_APPEND(component->sent, first);
    component->sent_count++;
}

/* In order; false: the connection is gone. */
static bool send_waiting(struct component *component, struct resource *connection)
{
    const struct egress_target target = {
        .session = connection->session,
        .bare = component->domain,
    };
    while (component->waiting && component->sent_count < MAX_SENT) {
        struct component_delivery *first = component->waiting;
        enum err err = egress_deliver(component->components->router->egress,
                connection->edge,
                &first->stanza,
                first->id,
                &target,
                1);
        if (err == ERR_UNAVAILABLE) {
            return false;
        }
        if (err != ERR_OK) {
            break; /* its link is full: in a moment */
        }
        note_sent(component, connection, first);
    }
    return true;
}

void component_queue_flush(struct component *component)
{
    if (component->is_flushing) {
        return; /* an answer to what is being refused came back to us */
    }
    component->is_flushing = true;
    struct resource *connection = component_connection(component);
    if (connection && !send_waiting(component, connection)) {
        component_lose(component, connection);
        connection = NULL;
    }
    bool is_waiting = loop_now_ms(component->components->router->loop) < component->wait_until_ms;
    if (!connection && !is_waiting) {
        fail_waiting(component);
    }
    component->is_flushing = false;
    arm(component);
}

void component_queue_return(struct component *component, struct id128 session)
{
    struct component_delivery *delivery = component->sent ? component->sent->prev : NULL;
    while (delivery) { /* from the newest: each in front of the one before */
        struct component_delivery *older = delivery == component->sent ? NULL : delivery->prev;
        if (id128_equal(delivery->sent_to, session)) {
            unlist_sent(component, delivery);
            DL_PREPEND(component->waiting, delivery);
            metric_family_add(&stanzas, "repeated", 1);
        }
        delivery = older;
    }
}

void component_queue_delivered(
        struct component *component, struct id128 session, const int64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct component_delivery *delivery = NULL;
        DL_SEARCH_SCALAR(component->sent, delivery, id, ids[i]);
        if (delivery && id128_equal(delivery->sent_to, session)) {
            unlist_sent(component, delivery);
            finish(component, delivery, ERR_OK);
        }
    }
    component_queue_flush(component);
}

void component_queue_drop(struct component *component)
{
    timer_stop(&component->timer);
    while (component->sent) {
        struct component_delivery *delivery = component->sent;
        unlist_sent(component, delivery);
        finish(component, delivery, ERR_FENCED);
    }
    while (component->waiting) {
        struct component_delivery *delivery = component->waiting;
        DL_DELETE(component->waiting, delivery);
        finish(component, delivery, ERR_FENCED);
    }
    origins_fini(&component->origins);
    origins_init(&component->origins);
}

/* ---- the door */

static bool has_room(const struct component *component, const struct stanza *stanza)
{
    const struct settings *settings = component->components->router->settings;
    return (int64_t)component->count < settings->max_mailbox
            && component->bytes + stanza_bytes(stanza) <= MAX_BYTES;
}

/* A repeat waits with the first one, or is answered like it. */
static void join(struct component *component, int64_t id, entity_route_done done, void *context)
{
    struct component_delivery *first = find(component, id);
    if (first) {
        add_waiter(first, done, context);
    } else {
        done(context, id == ORIGIN_REFUSED ? ERR_DENIED : ERR_OK);
    }
}

static void refuse(struct component *component,
        const struct origin *origin,
        const struct stanza *stanza,
        entity_route_done done,
        void *context)
{
    metric_family_add(&stanzas, "refused", 1);
    answer_if_awaited(component, origin, stanza, STANZA_ERROR_RESOURCE_CONSTRAINT);
    if (done) {
        done(context, ERR_OK);
    }
}

void components_on_route(struct components *components,
        const struct origin *origin,
        const struct stanza *stanza,
        entity_route_done done,
        void *context)
{
    struct jid to;
    struct component *component =
            jid_split(stanza->to, &to) == ERR_OK ? component_find(components, to.domain) : NULL;
    int64_t id = 0;
    if (!component) {
        if (done) {
            done(context, ERR_OK);
        }
        return;
    }
    static const struct origin none;
    const struct origin known = done ? *origin : none;
    if (has_origin(&known) && origins_find(&component->origins, &known, &id)) {
        join(component, id, done, context);
        return;
    }
    if (!has_room(component, stanza)) {
        refuse(component, &known, stanza, done, context);
        return;
    }
    struct component_delivery *delivery = create(component, stanza, done ? id_of(&known) : 0);
    delivery->origin = known;
    if (has_origin(&known)) {
        origins_add(&component->origins, &known, delivery->id);
    }
    if (done) {
        add_waiter(delivery, done, context);
    }
    DL_APPEND(component->waiting, delivery);
    component_queue_flush(component);
}

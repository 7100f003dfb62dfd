/* The components of this process, their secrets, and who is connected. The newest connection is
 * the one in use. */
#include "router/entity/components.h"

#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "router/entity/component.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/signer.h"

#define SHA1_BYTES   20
#define ASK_AGAIN_MS 200
#define MAX_ID       64

static struct metric_family binds = {
    .name = "component_binds_total",
    .help = "Components that wanted to connect, by what became of it",
    .label = "result",
};
static struct metric connected = METRIC_GAUGE_INIT(
        "components_connected", "Components at home here that are connected", NULL);

/* ---- finding */

struct component *component_find(struct components *components, struct str domain)
{
    for (size_t i = 0; i < components->count; i++) {
        if (str_equal(components->items[i].domain, domain)) {
            return &components->items[i];
        }
    }
    return NULL;
}

struct resource *component_connection(const struct component *component)
{
    for (struct resource *at = component->connections; at; at = at->next) {
        if (!at->is_lost && !at->is_closing) {
            return at;
        }
    }
    return NULL;
}

struct resource *component_find_session(const struct component *component, struct id128 session)
{
    for (struct resource *at = component->connections; at; at = at->next) {
        if (id128_equal(at->session, session)) {
            return at;
        }
    }
    return NULL;
}

static void count_connected(const struct components *components)
{
    int64_t count = 0;
    for (size_t i = 0; i < components->count; i++) {
        count += component_connection(&components->items[i]) ? 1 : 0;
    }
    metric_set(&connected, count);
}

/* ---- the end of the turn */

void component_mark_dirty(struct components *components)
{
    loop_defer(components->router->loop, LOOP_PHASE_STORE, &components->flush_task);
}

static void remove_connection(struct component *component, struct resource *connection)
{
    LL_DELETE(component->connections, connection);
    resource_destroy(connection);
}

static void settle(struct component *component, struct resource *connection)
{
    struct egress *egress = component->components->router->egress;
    resource_advance(connection);
    if (resource_may_tell_handled(connection)) {
        connection->handled_sent = connection->handled;
        egress_handled(egress,
                connection->edge,
                connection->session,
                connection->handled,
                WIRE__SWITCH__SWITCH_NOT_SAID);
    }
    if (connection->is_closing && !connection->works) {
        if (connection->owes_close_reply) {
            egress_close_reply(
                    egress, connection->edge, connection->session, connection->close_attach);
        }
        remove_connection(component, connection);
    }
}

static void on_flush(void *context)
{
    struct components *components = context;
    for (size_t i = 0; i < components->count; i++) {
        struct component *component = &components->items[i];
        struct resource *connection;
        struct resource *next;
        LL_FOREACH_SAFE(component->connections, connection, next)
        {
            settle(component, connection);
        }
    }
    count_connected(components);
}

/* ---- the handshake (XEP-0114 §3) */

static bool is_answer(struct str secret, struct str stream_id, struct str handshake)
{
    uint8_t hash[SHA1_BYTES];
    char hex[2 * SHA1_BYTES + 1];
    struct buf joined;
    buf_init(&joined, 0);
    buf_append_str(&joined, stream_id);
    buf_append_str(&joined, secret);
    digest_hash(DIGEST_SHA1, buf_view(&joined), hash);
    buf_fini_secret(&joined);
    for (size_t i = 0; i < sizeof(hash); i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    return str_equal_secret(str_from(hex, 2 * sizeof(hash)), handshake);
}

static bool knows_secret(const struct component *component, const Wire__ComponentBind *bind)
{
    struct str rest = component->secrets;
    bool is_known = false;
    while (rest.len > 0 && bind->stream_id.len > 0 && bind->stream_id.len <= MAX_ID) {
        struct str secret = str_trim(str_cut(&rest, '\n'));
        is_known |= secret.len > 0
                && is_answer(secret, wire_str(bind->stream_id), wire_str(bind->handshake));
    }
    return is_known;
}

static void answer(struct components *components,
        const char *edge,
        uint64_t request,
        Wire__Status status,
        const struct resource *connection)
{
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    static const struct id128 none;
    Wire__Id id = WIRE_ID_INIT(connection ? connection->session : none);
    reply.request = request;
    reply.status = status;
    struct buf token;
    buf_init(&token, 0);
    if (connection) {
        const struct signer_session session = {
            .session = connection->session,
            .full = connection->full,
            .edge = str_from_cstr(edge),
            .attach = 1,
        };
        signer_token(components->router->signer, &session, &token);
        reply.session = &id;
        reply.full = wire_bytes(connection->full);
        reply.token = wire_bytes(buf_view(&token));
    }
    egress_bind_reply(components->router->egress, edge, &reply);
    buf_fini(&token);
}

/* ---- connections */

/* Its stream is to end; what it has sent before is still taken. */
static void end_former(struct component *component, struct resource *former)
{
    log_warn("component",
            "replaced by a newer connection",
            log_str("domain", component->domain),
            log_cstr("edge", former->edge));
    former->is_lost = true;
    egress_kick(component->components->router->egress,
            former->edge,
            former->session,
            component->domain,
            STREAM_ERROR_CONFLICT,
            STR("Replaced by a new connection"));
}

static void add_connection(struct component *component, struct resource *connection)
{
    LL_PREPEND(component->connections, connection);
    count_connected(component->components);
    component_queue_flush(component);
}

/* The time it was made comes first, so that any home knows which of two is the newer one. */
static struct resource *create_connection(struct component *component, const char *edge)
{
    char name[2 * 16 + 1];
    (void)snprintf(name,
            sizeof(name),
            "%016" PRIx64 "%016" PRIx64,
            (uint64_t)loop_wall_us(component->components->router->loop),
            random_u64());
    return resource_create(id128_random(), edge, component->domain, str_from_cstr(name));
}

void components_on_bind(
        struct components *components, const char *edge, const Wire__ComponentBind *bind)
{
    struct component *component = component_find(components, wire_str(bind->domain));
    if (!component || !knows_secret(component, bind)) {
        metric_family_add(&binds, component ? "not-authorized" : "unknown", 1);
        answer(components,
                edge,
                bind->request,
                component ? WIRE__STATUS__STATUS_NOT_AUTHORIZED : WIRE__STATUS__STATUS_NOT_FOUND,
                NULL);
        return;
    }
    metric_family_add(&binds, "ok", 1);
    struct resource *former = component_connection(component);
    if (former) {
        end_former(component, former);
    }
    struct resource *connection = create_connection(component, edge);
    connection->is_told = true;
    resource_set_handled(connection, 0);
    answer(components, edge, bind->request, WIRE__STATUS__STATUS_OK, connection);
    add_connection(component, connection);
}

void component_lose(struct component *component, struct resource *connection)
{
    const struct router *router = component->components->router;
    bool is_news = !connection->is_closing;
    connection->is_closing = true;
    if (is_news && !component_connection(component)) {
        component->wait_until_ms = loop_now_ms(router->loop) + router->settings->component_wait_ms;
    }
    component_queue_return(component, connection->session);
    component_queue_flush(component);
    component_mark_dirty(component->components);
}

/* ---- what edges say of them */

static void ask_announce(struct component *component, const char *edge)
{
    struct router *router = component->components->router;
    int64_t now_ms = loop_now_ms(router->loop);
    if (component->asked_ms == 0 || now_ms - component->asked_ms >= ASK_AGAIN_MS) {
        component->asked_ms = now_ms;
        egress_ask_announce(router->egress, edge, component->shard);
    }
}

static bool is_newer(const struct resource *connection, struct str full)
{
    struct str own = connection->full;
    return own.len == full.len && memcmp(own.ptr, full.ptr, full.len) > 0;
}

static void adopt(struct component *component,
        const char *edge,
        struct str resource,
        const Wire__Announce *announce)
{
    struct resource *connection =
            resource_create(wire_id(announce->session), edge, component->domain, resource);
    connection->is_told = true;
    resource_set_handled(connection, announce->handled);
    struct resource *other = component_connection(component);
    if (other && is_newer(other, connection->full)) {
        end_former(component, connection);
        LL_APPEND(component->connections, connection);
        return;
    }
    if (other) {
        end_former(component, other);
    }
    add_connection(component, connection);
}

/* What it was sent may be lost, or the word that it has it: the edge knows. */
static void announce_again(
        struct component *component, struct resource *connection, const Wire__Announce *announce)
{
    resource_set_handled(connection, announce->handled);
    if (counter_is_after(connection->handled, announce->handled)) {
        connection->handled_sent = announce->handled;
        component_mark_dirty(component->components);
    }
    component_queue_return(component, connection->session);
    component_queue_flush(component);
}

void components_on_announce(
        struct components *components, const char *edge, const Wire__Announce *announce)
{
    struct jid jid;
    struct component *component = jid_split(wire_str(announce->full), &jid) == ERR_OK
            ? component_find(components, jid.domain)
            : NULL;
    if (!component) {
        return;
    }
    struct resource *connection = component_find_session(component, wire_id(announce->session));
    if (!connection) {
        adopt(component, edge, jid.resource, announce);
    } else if (connection->is_closing || strcmp(connection->edge, edge) != 0) {
        ask_announce(component, edge); /* again when it is gone */
    } else {
        announce_again(component, connection, announce);
    }
}

/* NULL: nobody speaks for that session from there (F04). */
static struct resource *find_speaker(struct component *component, const char *edge, Wire__Id *id)
{
    struct resource *connection = component_find_session(component, wire_id(id));
    bool is_its = connection && strcmp(connection->edge, edge) == 0;
    return is_its ? connection : NULL;
}

void components_on_input(struct components *components,
        const char *edge,
        const Wire__Input *input,
        const struct stanza *stanza)
{
    struct component *component = component_find(components, wire_str(input->bare));
    struct resource *connection = component ? find_speaker(component, edge, input->session) : NULL;
    if (!component) {
        return;
    }
    if (!connection || connection->is_closing) {
        ask_announce(component, edge);
        return;
    }
    switch (resource_take_input(connection, input->counter)) {
    case RESOURCE_TAKEN:
        component_take_input(
                component, connection, input->counter, input->is_answered ? NULL : stanza);
        break;
    case RESOURCE_IN_WORK: break;
    case RESOURCE_REPEATED:
        connection->handled_sent = input->counter - 1;
        component_mark_dirty(components);
        break;
    case RESOURCE_GAP: ask_announce(component, edge); break;
    }
}

void components_on_close(struct components *components, const char *edge, const Wire__Close *close)
{
    struct component *component = component_find(components, wire_str(close->bare));
    struct resource *connection = component ? find_speaker(component, edge, close->session) : NULL;
    if (!connection) {
        egress_close_reply(
                components->router->egress, edge, wire_id(close->session), close->attach);
        return;
    }
    connection->owes_close_reply = true;
    connection->close_attach = close->attach;
    component_lose(component, connection);
}

void components_on_delivered(
        struct components *components, const char *edge, const Wire__Delivered *delivered)
{
    struct component *component = component_find(components, wire_str(delivered->bare));
    if (component && find_speaker(component, edge, delivered->session)) {
        component_queue_delivered(
                component, wire_id(delivered->session), delivered->ids, delivered->n_ids);
    }
}

void components_on_session_gone(
        struct components *components, const char *edge, const Wire__SessionGone *gone)
{
    struct component *component = component_find(components, wire_str(gone->bare));
    struct resource *connection = component ? find_speaker(component, edge, gone->session) : NULL;
    if (connection) {
        component_lose(component, connection);
    }
}

void components_on_edge_dead(struct components *components, const char *edge)
{
    for (size_t i = 0; i < components->count; i++) {
        struct component *component = &components->items[i];
        struct resource *connection;
        LL_FOREACH(component->connections, connection)
        {
            if (strcmp(connection->edge, edge) == 0) {
                connection->owes_close_reply = false;
                component_lose(component, connection);
            }
        }
    }
}

/* ---- shards */

void components_on_shard_gained(struct components *components, unsigned shard)
{
    const struct router *router = components->router;
    for (size_t i = 0; i < components->count; i++) {
        if (components->items[i].shard == shard) { /* its edge is about to announce it */
            components->items[i].wait_until_ms =
                    loop_now_ms(router->loop) + router->settings->component_wait_ms;
        }
    }
}

static void drop(struct component *component)
{
    while (component->connections) {
        remove_connection(component, component->connections);
    }
    component_queue_drop(component);
}

void components_drop_shard(struct components *components, unsigned shard)
{
    for (size_t i = 0; i < components->count; i++) {
        if (components->items[i].shard == shard) {
            drop(&components->items[i]);
        }
    }
    count_connected(components);
}

/* ---- for operators */

void components_report(const struct components *components, const char *separator, struct buf *out)
{
    for (size_t i = 0; i < components->count; i++) {
        const struct component *component = &components->items[i];
        const struct resource *connection;
        LL_FOREACH(component->connections, connection)
        {
            /* Domains and node names hold nothing that JSON would have to escape. */
            buf_printf(out,
                    "%s\n{\"jid\":\"%.*s\",\"state\":\"%s\",\"edge\":\"%s\",\"available\":true"
                    ",\"handled\":%u,\"sm\":false,\"component\":true,\"waiting\":%zu,\"unconfirmed\":%zu}",
                    separator,
                    STR_ARG(connection->full),
                    connection->is_lost || connection->is_closing ? "closing" : "attached",
                    connection->edge,
                    connection->handled,
                    component->count - component->sent_count,
                    component->sent_count);
            separator = ",";
        }
    }
}

/* ---- life */

static enum err fail(struct str domain, struct str why)
{
    log_error("component",
            "component cannot be served",
            log_str("domain", domain),
            log_str("why", why));
    return ERR_INVALID;
}

static enum err open_component(
        struct components *components, const struct component_setting *setting)
{
    struct router *router = components->router;
    if (settings_find_host(router->settings, setting->domain)
            || component_find(components, setting->domain)) {
        return fail(setting->domain, STR("it is there twice, or a host"));
    }
    struct buf secret;
    struct buf why;
    buf_init(&secret, 0);
    buf_init(&why, 0);
    enum err err = config_read_secret(setting->secret_file.ptr, &secret, &why);
    if (err != ERR_OK) {
        err = fail(setting->domain, buf_view(&why));
    } else {
        struct component *component = &components->items[components->count++];
        component->components = components;
        component->domain = str_dup(&components->arena, setting->domain);
        component->secrets = str_dup(&components->arena, buf_view(&secret));
        component->shard = jid_shard(component->domain, router->settings->shards);
        component_queue_init(component);
    }
    buf_fini(&why);
    buf_fini_secret(&secret);
    return err;
}

enum err components_create(struct router *router, struct components **components_out)
{
    const struct settings *settings = router->settings;
    struct components *components = MEM_NEW(struct components);
    components->router = router;
    components->items = mem_calloc(settings->component_count + 1, sizeof(struct component));
    components->flush_task = (struct loop_task){ .run = on_flush, .context = components };
    arena_init(&components->arena, 0);
    metric_register(&connected);
    enum err err = ERR_OK;
    for (size_t i = 0; i < settings->component_count && err == ERR_OK; i++) {
        err = open_component(components, &settings->components[i]);
    }
    *components_out = components;
    return err;
}

void components_destroy(struct components *components)
{
    if (!components) {
        return;
    }
    component_parts_forget(components);
    for (size_t i = 0; i < components->count; i++) {
        struct component *component = &components->items[i];
        drop(component);
        origins_fini(&component->origins);
        secret_wipe((void *)(uintptr_t)component->secrets.ptr, component->secrets.len);
    }
    loop_task_cancel(components->router->loop, &components->flush_task);
    arena_fini(&components->arena);
    free(components->items);
    free(components);
}

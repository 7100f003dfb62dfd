/* JSON by hand: the shapes are flat and hold nothing but node names and numbers. */
#include "router/operator.h"

#include "chassis/base/encoding.h"
#include "proto/xmpp/jid.h"
#include "router/auth.h"
#include "router/entity/entity_table.h"
#include "router/lifecycle.h"
#include "router/reseal.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/store/tombstone_name.h"
#include "router/vault.h"

static void (*begin_drain)(void *router);

static const char *shard_state(const struct router *router, unsigned shard)
{
    if (shard_is_owned(router->shards, shard)) {
        return "owned";
    }
    if (shard_is_held(router->shards, shard)) {
        return "releasing";
    }

    return shard_owner_node(router->shards, shard) == NULL ? "free" : "elsewhere";
}

static void on_shards(
        void *context, const struct http_request *request, struct http_response *response)
{
    (void)request;
    const struct router *router = context;
    struct buf *out = &response->body;
    buf_printf(out,
            "{\"node\":\"%s\",\"version\":%llu,\"shards\":[",
            router->node,
            (unsigned long long)shard_map_version(router->shards));
    for (unsigned i = 0; i < shard_count(router->shards); i++) {
        const char *owner = shard_owner_node(router->shards, i);
        buf_printf(out,
                "%s{\"shard\":%u,\"owner\":\"%s\",\"epoch\":%llu,\"state\":\"%s\"}",
                i > 0 ? "," : "",
                i,
                owner ? owner : "",
                (unsigned long long)shard_listed_epoch(router->shards, i),
                shard_state(router, i));
    }
    buf_append_literal(out, "]}\n");
}

static void on_sessions(
        void *context, const struct http_request *request, struct http_response *response)
{
    (void)request;
    struct router *router = context;
    entity_report_sessions(router->entities, &response->body);
}

/* Sent to every router: the home of the account acts. */
static void on_account_changed(
        void *context, const struct http_request *request, struct http_response *response)
{
    struct router *router = context;
    struct jid jid;
    struct str bare = str_trim(request->body);
    if (!str_is_utf8(bare) || jid_split(bare, &jid) != ERR_OK || !jid_is_bare(&jid)) {
        response->status = 400;
        buf_append_literal(&response->body, "{\"error\":\"the body is not a bare JID\"}\n");
        return;
    }

    auth_on_account_changed(router->auth, bare);
    bool is_home = shard_is_owned(router->shards, shard_of(router->shards, bare));
    if (is_home) {
        entity_on_account_changed(router->entities, bare);
        lifecycle_poke(router->lifecycle);
    }
    buf_printf(&response->body, "{\"home\":%s}\n", is_home ? "true" : "false");
}

static void write_name_hash(struct buf *out, struct str keys, size_t i, struct str bare)
{
    uint8_t hash[TOMBSTONE_NAME_BYTES];
    tombstone_name(keys, i, bare, hash);
    buf_append_literal(out, "\"");
    hex_encode(out, str_from(hash, sizeof(hash)));
    buf_append_literal(out, "\"");
}

/* Whoever makes an account without a router asks one under which hashes the name may be blocked:
 * the keys of tombstones stay here. */
static void on_name_hash(
        void *context, const struct http_request *request, struct http_response *response)
{
    const struct router *router = context;
    struct jid jid;
    struct str bare = str_trim(request->body);
    if (!str_is_utf8(bare) || jid_split(bare, &jid) != ERR_OK || !jid_is_bare(&jid)) {
        response->status = 400;
        buf_append_literal(&response->body, "{\"error\":\"the body is not a bare JID\"}\n");
        return;
    }

    struct str keys = vault_name_keys(router->vault);
    buf_append_literal(&response->body, "{\"hash\":"); /* the newest, for an older starlingctl */
    write_name_hash(&response->body, keys, 0, bare);
    buf_append_literal(&response->body, ",\"hashes\":[");
    for (size_t i = 0; i < tombstone_keys(keys); i++) {
        buf_append_str(&response->body, i > 0 ? STR(",") : STR_NULL);
        write_name_hash(&response->body, keys, i, bare);
    }
    buf_append_literal(&response->body, "]}\n");
}

/* The policy for inactive accounts, now. */
static void on_sweep(
        void *context, const struct http_request *request, struct http_response *response)
{
    (void)request;
    struct router *router = context;
    lifecycle_sweep(router->lifecycle);
    response->status = 202;
    buf_append_literal(&response->body, "{\"state\":\"sweeping\"}\n");
}

static void on_drain(
        void *context, const struct http_request *request, struct http_response *response)
{
    (void)request;
    struct router *router = context;
    begin_drain(router);
    response->status = 202;
    buf_append_literal(&response->body, "{\"state\":\"draining\"}\n");
}

static void on_storage(
        void *context, const struct http_request *request, struct http_response *response)
{
    (void)request;
    const struct router *router = context;
    reseal_report(router->reseal, &response->body);
}

void operator_open(struct router *router, void (*drain)(void *router))
{
    struct http_server *http = service_http(router->service);
    begin_drain = drain;
    http_server_route(http, "GET", "/v1/shards", true, on_shards, router);
    http_server_route(http, "GET", "/v1/sessions", true, on_sessions, router);
    http_server_route(http, "GET", "/v1/storage", true, on_storage, router);
    http_server_route(http, "POST", "/v1/account-changed", true, on_account_changed, router);
    http_server_route(http, "POST", "/v1/name-hash", true, on_name_hash, router);
    http_server_route(http, "POST", "/v1/sweep-accounts", true, on_sweep, router);
    http_server_route(http, "POST", "/v1/drain", true, on_drain, router);
}

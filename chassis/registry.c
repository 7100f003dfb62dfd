/* Who is there: our own entry in Redis, renewed before its lease ends, and everybody else's. */
#include "chassis/registry.h"

#include "chassis/base/map.h"
#include "chassis/base/mem.h"
#include "chassis/link_address.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/redis.h"
#include "chassis/service.h"
#include "chassis/service_config.h"

enum {
    DEFAULT_REFRESH_MS = 2000,
    DEFAULT_TTL_MS = 10000,
    NODES_MAX = 4096, /* a bound on what a broken Redis can make us remember */
    NUMBER_BYTES = 24,
};

/* The names stand in a set, since looking for keys would walk over every session. */
#define KEY_PREFIX "node:"
#define INDEX_KEY  "nodes"

struct node_entry {
    char *name;
    char *bus_address, *http_address;
    enum link_role role;
    uint64_t boot_epoch;
    bool is_static;
    bool is_seen; /* in the round under way */
    UT_hash_handle hh;
};

struct registry {
    struct loop *loop;
    struct redis *redis; /* NULL: static peers only */
    struct link *link;
    struct registry_options options;
    char *node, *bus_address, *http_address;
    struct node_entry *nodes;
    struct timer refresh;
    size_t pending; /* replies of the round under way */
    bool is_round_broken;
    bool has_left, is_closed;
};

/* ---- what we know */

static struct node_entry *find_node(struct registry *registry, struct str name)
{
    struct node_entry *entry;
    HASH_FIND(hh, registry->nodes, name.ptr, name.len, entry);
    return entry;
}

static void forget_node(struct registry *registry, struct node_entry *entry)
{
    HASH_DEL(registry->nodes, entry);
    free(entry->name);
    free(entry->bus_address);
    free(entry->http_address);
    free(entry);
}

static void set_text(char **text, struct str value)
{
    free(*text);
    *text = str_to_cstr(value);
}

static bool is_to_be_dialled(const struct registry *registry, const struct node_entry *entry)
{
    return (registry->options.dial_roles & 1u << entry->role) != 0;
}

struct node_facts {
    struct str name, role, epoch, bus_address, http_address;
};

/* Entries are written by processes that hold the Redis password, still nothing is taken on trust:
 * who answers at the address must prove itself to the link. */
static void learn_node(struct registry *registry, const struct node_facts *facts, bool is_static)
{
    enum link_role role;
    uint64_t epoch = 0;
    struct link_address address;
    if (!link_node_name_is_valid(facts->name)
            || str_equal(facts->name, str_from_cstr(registry->node))
            || link_role_parse(facts->role, &role) != ERR_OK
            || (!is_static && !str_to_u64(facts->epoch, &epoch))
            || link_address_parse(facts->bus_address, &address) != ERR_OK) {
        return;
    }
    struct node_entry *entry = find_node(registry, facts->name);
    if (!entry) {
        if (HASH_COUNT(registry->nodes) >= NODES_MAX) {
            return;
        }
        entry = MEM_NEW(struct node_entry);
        entry->name = str_to_cstr(facts->name);
        HASH_ADD_KEYPTR(hh, registry->nodes, entry->name, facts->name.len, entry);
    }
    entry->is_static |= is_static;
    entry->is_seen = true;
    entry->role = role;
    entry->boot_epoch = epoch;
    set_text(&entry->bus_address, facts->bus_address);
    set_text(&entry->http_address, facts->http_address);
    if (is_to_be_dialled(registry, entry)) {
        (void)link_dial(registry->link, entry->name, role, entry->bus_address);
    }
}

static void add_static_peers(struct registry *registry, const struct link_config *bus)
{
    for (size_t i = 0; bus && i < bus->peers.count; i++) {
        struct link_static_peer peer;
        if (link_static_peer_parse(str_from_cstr(bus->peers.items[i]), &peer) == ERR_OK) {
            const struct node_facts facts = { .name = peer.node,
                .role = str_from_cstr(link_role_name(peer.role)),
                .bus_address = peer.address };
            learn_node(registry, &facts, true);
        }
    }
}

/* ---- our own entry */

static struct str node_key(struct buf *key, struct str name)
{
    buf_clear(key);
    buf_append_literal(key, KEY_PREFIX);
    buf_append_str(key, name);
    return buf_view(key);
}

static void write_own_entry(struct registry *registry)
{
    struct buf key;
    char epoch[NUMBER_BYTES], ttl[NUMBER_BYTES];
    buf_init(&key, 0);
    struct str name = node_key(&key, str_from_cstr(registry->node));
    snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)registry->options.boot_epoch);
    snprintf(ttl, sizeof(ttl), "%lld", (long long)registry->options.ttl_ms);
    const struct str set[] = {
        STR("HSET"),
        name,
        STR("role"),
        str_from_cstr(link_role_name(registry->options.role)),
        STR("epoch"),
        str_from_cstr(epoch),
        STR("bus"),
        str_from_cstr(registry->bus_address),
        STR("http"),
        str_from_cstr(registry->http_address),
    };
    const struct str expire[] = { STR("PEXPIRE"), name, str_from_cstr(ttl) };
    redis_command(registry->redis, set, sizeof(set) / sizeof(set[0]), NULL, NULL);
    const struct str list[] = { STR("SADD"), STR(INDEX_KEY), str_from_cstr(registry->node) };
    redis_command(registry->redis, expire, 3, NULL, NULL);
    redis_command(registry->redis, list, 3, NULL, NULL);
    buf_fini(&key);
}

/* ---- a round: SMEMBERS for the names, HGETALL for each, then forget who was not there */

static void free_registry(struct registry *registry)
{
    while (registry->nodes) {
        forget_node(registry, registry->nodes);
    }
    free(registry->node);
    free(registry->bus_address);
    free(registry->http_address);
    free(registry);
}

/* A static peer stays known; so does everybody while Redis does not answer; and whoever the link
 * reaches is there, whatever a Redis that has lost its data says (P6). */
static bool is_kept(const struct registry *registry, const struct node_entry *entry)
{
    const struct link_peer *peer = link_find_peer(registry->link, entry->name);
    return entry->is_seen || entry->is_static || (peer && link_peer_is_up(peer));
}

static void forget_the_unseen(struct registry *registry)
{
    struct node_entry *entry = registry->nodes;
    while (entry) {
        struct node_entry *next = entry->hh.next;
        if (!is_kept(registry, entry)) {
            log_info("registry", "node has left", log_cstr("peer", entry->name));
            if (is_to_be_dialled(registry, entry)) {
                link_forget(registry->link, entry->name);
            }
            forget_node(registry, entry);
        }
        entry = next;
    }
}

static void end_of_reply(struct registry *registry, bool is_good)
{
    registry->is_round_broken |= !is_good;
    if (--registry->pending > 0) {
        return;
    }
    if (registry->is_closed) {
        free_registry(registry);
    } else if (!registry->is_round_broken) {
        forget_the_unseen(registry);
    }
}

static void remove_from_index(struct registry *registry, struct str name)
{
    const struct str remove[] = { STR("SREM"), STR(INDEX_KEY), name };
    redis_command(registry->redis, remove, 3, NULL, NULL);
}

struct node_read {
    struct registry *registry;
    char *name;
};

static void on_node(void *context, enum err err, const struct redis_value *reply)
{
    struct node_read *read = context;
    struct registry *registry = read->registry;
    struct node_facts facts = { .name = str_from_cstr(read->name) };
    bool is_good = err == ERR_OK && reply->type == REDIS_ARRAY;

    for (size_t i = 0; is_good && i + 1 < reply->count; i += 2) {
        struct str field = redis_value_at(reply, i).text;
        struct str value = redis_value_at(reply, i + 1).text;
        if (str_equal(field, STR("role"))) {
            facts.role = value;
        } else if (str_equal(field, STR("epoch"))) {
            facts.epoch = value;
        } else if (str_equal(field, STR("bus"))) {
            facts.bus_address = value;
        } else if (str_equal(field, STR("http"))) {
            facts.http_address = value;
        }
    }
    if (is_good && !registry->is_closed) {
        if (reply->count == 0) { /* the lease has ended; a living node lists itself again */
            remove_from_index(registry, facts.name);
        } else {
            learn_node(registry, &facts, false);
        }
    }
    free(read->name);
    free(read);
    end_of_reply(registry, is_good);
}

static void read_node(struct registry *registry, struct str name)
{
    if (!link_node_name_is_valid(name) || registry->pending > NODES_MAX) {
        return;
    }
    struct buf key;
    buf_init(&key, 0);
    struct node_read *read = MEM_NEW(struct node_read);
    const struct str get[] = { STR("HGETALL"), node_key(&key, name) };
    read->registry = registry;
    read->name = str_to_cstr(name);
    registry->pending++;
    redis_command(registry->redis, get, 2, on_node, read);
    buf_fini(&key);
}

static void on_names(void *context, enum err err, const struct redis_value *reply)
{
    struct registry *registry = context;
    bool is_good = err == ERR_OK && reply->type == REDIS_ARRAY;
    for (size_t i = 0; is_good && !registry->is_closed && i < reply->count; i++) {
        read_node(registry, redis_value_at(reply, i).text);
    }
    end_of_reply(registry, is_good);
}

static void refresh(struct registry *registry)
{
    if (registry->pending > 0) {
        return; /* the last round is not over */
    }
    if (!registry->has_left) {
        write_own_entry(registry);
    }
    for (struct node_entry *entry = registry->nodes; entry; entry = entry->hh.next) {
        entry->is_seen = false;
    }
    registry->is_round_broken = false;
    const struct str names[] = { STR("SMEMBERS"), STR(INDEX_KEY) };
    registry->pending++;
    redis_command(registry->redis, names, 2, on_names, registry);
}

static void on_refresh(struct timer *timer, void *context)
{
    struct registry *registry = context;
    refresh(registry);
    timer_start(loop_timers(registry->loop), timer, registry->options.refresh_ms);
}

/* ---- opening and closing */

enum err registry_open(struct loop *loop,
        struct redis *redis,
        struct link *link,
        const struct link_config *bus,
        const struct registry_options *options,
        struct registry **registry_out)
{
    if (!link_node_name_is_valid(str_from_cstr(options->node))) {
        return ERR_INVALID;
    }
    struct registry *registry = MEM_NEW(struct registry);
    registry->loop = loop;
    registry->redis = redis;
    registry->link = link;
    registry->options = *options;
    registry->node = str_to_cstr(str_from_cstr(options->node));
    registry->bus_address = str_to_cstr(str_from_cstr(options->bus_address));
    registry->http_address = str_to_cstr(str_from_cstr(options->http_address));
    if (registry->options.refresh_ms == 0) {
        registry->options.refresh_ms = DEFAULT_REFRESH_MS;
    }
    if (registry->options.ttl_ms == 0) {
        registry->options.ttl_ms = DEFAULT_TTL_MS;
    }
    timer_init(&registry->refresh, on_refresh, registry);
    add_static_peers(registry, bus);
    if (redis) {
        timer_start(loop_timers(loop), &registry->refresh, 0);
    }
    *registry_out = registry;
    return ERR_OK;
}

enum err registry_open_service(struct service_context *service,
        struct redis *redis,
        struct link *link,
        const struct registry_options *options,
        struct registry **registry_out)
{
    const struct config *config = service_config(service);
    const struct http_config *http = config_get(config, &config_section_http);
    unsigned port = (unsigned)http_server_port(service_http(service));
    struct buf http_address;
    buf_init(&http_address, 0);
    buf_printf(&http_address, "%s:%u", http->address, port);
    buf_append_char(&http_address, '\0');
    struct registry_options own = *options;
    own.node = service_node_name(service);
    own.boot_epoch = service_boot_epoch(service);
    own.bus_address = link_address(link);
    own.http_address = http_address.data;
    enum err err = registry_open(service_loop(service),
            redis,
            link,
            config_get(config, &config_section_bus),
            &own,
            registry_out);
    buf_fini(&http_address);
    return err;
}

void registry_leave(struct registry *registry)
{
    if (!registry->redis || registry->has_left) {
        return;
    }
    struct buf key;
    buf_init(&key, 0);
    const struct str del[] = { STR("DEL"), node_key(&key, str_from_cstr(registry->node)) };
    redis_command(registry->redis, del, 2, NULL, NULL);
    remove_from_index(registry, str_from_cstr(registry->node));
    buf_fini(&key);
    registry->has_left = true;
}

void registry_close(struct registry *registry)
{
    if (!registry) {
        return;
    }
    timer_stop(&registry->refresh);
    registry->is_closed = true;
    if (registry->pending == 0) {
        free_registry(registry);
    } /* else with the last reply; redis_close answers all */
}

void registry_each(struct registry *registry,
        void (*fn)(void *context,
                const char *node,
                const char *role,
                uint64_t boot_epoch,
                const char *bus_address,
                const char *http_address),
        void *context)
{
    fn(context,
            registry->node,
            link_role_name(registry->options.role),
            registry->options.boot_epoch,
            registry->bus_address,
            registry->http_address);
    for (const struct node_entry *entry = registry->nodes; entry; entry = entry->hh.next) {
        fn(context,
                entry->name,
                link_role_name(entry->role),
                entry->boot_epoch,
                entry->bus_address,
                entry->http_address);
    }
}

/* The registry over a real link and, instead of Redis, a hash table with its few commands. */
#include "chassis/registry.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "chassis/redis.h"

/* ---- a Redis of one's own: answers come in the order of the commands, at the end of the turn */

enum {
    KEYS_MAX = 8,
    PENDING_MAX = 64,
};

struct fake_hash {
    char name[32];
    char fields[8][64]; /* role, X, epoch, X, bus, X, http, X */
};

static struct {
    struct fake_hash nodes[KEYS_MAX];
    bool is_down;
    size_t pending;
    struct {
        redis_done done;
        void *context;
        char verb[16];
        char key[64];
    } queue[PENDING_MAX];
} fake;

static struct fake_hash *find_hash(const char *name, bool make)
{
    for (size_t i = 0; i < KEYS_MAX; i++) {
        if (strcmp(fake.nodes[i].name, name) == 0) {
            return &fake.nodes[i];
        }
    }
    for (size_t i = 0; make && i < KEYS_MAX; i++) {
        if (!fake.nodes[i].name[0]) {
            snprintf(fake.nodes[i].name, sizeof(fake.nodes[i].name), "%s", name);
            return &fake.nodes[i];
        }
    }
    return NULL;
}

void redis_command(
        struct redis *redis, const struct str *args, size_t count, redis_done done, void *context)
{
    char key[64];
    (void)redis;
    snprintf(key, sizeof(key), STR_FMT, STR_ARG(args[1]));
    if (str_equal(args[0], STR("HSET"))) {
        struct fake_hash *hash = find_hash(key + 5, true);
        for (size_t i = 2; i < count; i++) {
            snprintf(hash->fields[i - 2], sizeof(hash->fields[0]), STR_FMT, STR_ARG(args[i]));
        }
    } else if (str_equal(args[0], STR("DEL"))) {
        struct fake_hash *hash = find_hash(key + 5, false);
        if (hash) {
            hash->name[0] = '\0';
        }
    }
    if (done) {
        assert_true(fake.pending < PENDING_MAX);
        fake.queue[fake.pending].done = done;
        fake.queue[fake.pending].context = context;
        snprintf(fake.queue[fake.pending].verb,
                sizeof(fake.queue[0].verb),
                STR_FMT,
                STR_ARG(args[0]));
        snprintf(fake.queue[fake.pending].key, sizeof(fake.queue[0].key), "%s", key);
        fake.pending++;
    }
}

struct redis_value redis_value_at(const struct redis_value *array, size_t index)
{
    const char *const *texts = array->opaque;
    return (struct redis_value){ .type = REDIS_STRING, .text = str_from_cstr(texts[index]) };
}

static void answer_all(void)
{
    for (size_t i = 0; i < fake.pending; i++) {
        const char *texts[KEYS_MAX + 8];
        struct redis_value reply = { .type = REDIS_ARRAY, .opaque = texts };
        if (fake.is_down) {
            fake.queue[i].done(fake.queue[i].context, ERR_UNAVAILABLE, NULL);
            continue;
        }
        if (strcmp(fake.queue[i].verb, "SMEMBERS") == 0) {
            for (size_t k = 0; k < KEYS_MAX; k++) {
                if (fake.nodes[k].name[0]) {
                    texts[reply.count++] = fake.nodes[k].name;
                }
            }
        } else {
            const struct fake_hash *hash = find_hash(fake.queue[i].key + 5, false);
            for (size_t k = 0; hash && k < 8; k++) {
                texts[reply.count++] = hash->fields[k];
            }
        }
        fake.queue[i].done(fake.queue[i].context, ERR_OK, &reply);
    }
    fake.pending = 0;
}

static void put_node(const char *name, const char *role, const char *epoch, const char *bus)
{
    char key[64];
    snprintf(key, sizeof(key), "node:%s", name);
    const struct str set[] = { STR("HSET"),
        str_from_cstr(key),
        STR("role"),
        str_from_cstr(role),
        STR("epoch"),
        str_from_cstr(epoch),
        STR("bus"),
        str_from_cstr(bus),
        STR("http"),
        STR("127.0.0.1:9") };
    redis_command(NULL, set, 10, NULL, NULL);
}

/* ---- the registry under test */

static struct loop *loop;
static struct link *own_link;
static struct registry *registry;
static struct timer turn_timer;
static int turns_left;

static void on_record(void *context, struct link_peer *peer, uint64_t epoch, struct str record)
{
    (void)context, (void)peer, (void)epoch, (void)record;
}

static void on_up(void *context, struct link_peer *peer, uint64_t epoch)
{
    (void)context, (void)peer, (void)epoch;
}

static void on_down(void *context, struct link_peer *peer, uint64_t epoch, bool is_dead)
{
    (void)context, (void)peer, (void)epoch, (void)is_dead;
}

static void on_room(void *context, struct link_peer *peer)
{
    (void)context, (void)peer;
}

static void on_turn(struct timer *timer, void *context)
{
    (void)context;
    answer_all();
    if (--turns_left > 0) {
        timer_start(loop_timers(loop), timer, 10);
    } else {
        loop_stop(loop);
    }
}

static void run_rounds(void)
{
    turns_left = 12; /* a round is three turns of 10 ms */
    timer_start(loop_timers(loop), &turn_timer, 10);
    loop_run(loop);
}

static void open_registry(struct redis *redis, const struct link_config *bus)
{
    const struct link_options link_options = { .node = "edge-1",
        .role = LINK_ROLE_EDGE,
        .boot_epoch = 10,
        .address = "tcp://127.0.0.1:0",
        .edge_secret = STR("secret") };
    static const struct link_handlers handlers = { on_record, on_up, on_down, on_room };
    memset(&fake, 0, sizeof(fake));
    loop = loop_create(&clock_system);
    timer_init(&turn_timer, on_turn, NULL);
    assert_int_equal(link_open(loop, &link_options, &handlers, NULL, &own_link), ERR_OK);
    const struct registry_options options = { .node = "edge-1",
        .role = LINK_ROLE_EDGE,
        .boot_epoch = 10,
        .bus_address = link_address(own_link),
        .http_address = "127.0.0.1:9101",
        .dial_roles = 1u << LINK_ROLE_ROUTER,
        .refresh_ms = 30 };
    assert_int_equal(registry_open(loop, redis, own_link, bus, &options, &registry), ERR_OK);
}

static void close_registry(void)
{
    registry_close(registry);
    answer_all(); /* as redis_close does */
    link_close(own_link);
    loop_destroy(loop);
}

static struct redis *some_redis(void)
{
    return (struct redis *)(void *)&fake; /* never looked into */
}

static size_t seen_count;
static void count_node(void *context,
        const char *name,
        const char *role,
        uint64_t epoch,
        const char *bus,
        const char *http)
{
    (void)role, (void)epoch, (void)bus, (void)http;
    seen_count += !context || strcmp(context, name) == 0;
}

static size_t known(char *name)
{
    seen_count = 0;
    registry_each(registry, count_node, name);
    return seen_count;
}

static char router_1[] = "router-1", edge_2[] = "edge-2", edge_1[] = "edge-1";

static void static_peers_are_dialled_without_redis(void **state)
{
    char peer[] = "router:router-1@tcp://127.0.0.1:1", self[] = "edge:edge-1@tcp://127.0.0.1:2";
    char *items[] = { peer, self };
    const struct link_config bus = { .peers = { .items = items, .count = 2 } };
    (void)state;
    open_registry(NULL, &bus);
    run_rounds();
    assert_non_null(link_find_peer(own_link, "router-1"));
    assert_int_equal(known(NULL), 2); /* one file serves all: we are not our own peer */
    assert_int_equal(known(edge_1), 1);
    registry_leave(registry);
    close_registry();
}

static void we_register_and_find_the_others(void **state)
{
    (void)state;
    open_registry(some_redis(), NULL);
    put_node("router-1", "router", "20", "tcp://127.0.0.1:1");
    put_node("edge-2", "edge", "30", "tcp://127.0.0.1:2");
    put_node("liar", "king", "1", "tcp://127.0.0.1:3");
    put_node("liar-2", "router", "1", "nonsense");
    run_rounds();
    const struct fake_hash *own = find_hash("edge-1", false);
    assert_non_null(own);
    assert_string_equal(own->fields[1], "edge");
    assert_string_equal(own->fields[3], "10");
    assert_string_equal(own->fields[5], link_address(own_link));
    assert_int_equal(known(router_1), 1);
    assert_int_equal(known(edge_2), 1);
    assert_int_equal(known(NULL), 3);
    assert_non_null(link_find_peer(own_link, "router-1"));
    assert_null(link_find_peer(own_link, "edge-2")); /* not a role we dial */
    close_registry();
}

static void who_leaves_is_forgotten_but_not_because_redis_is_gone(void **state)
{
    (void)state;
    open_registry(some_redis(), NULL);
    put_node("router-1", "router", "20", "tcp://127.0.0.1:1");
    run_rounds();
    assert_int_equal(known(router_1), 1);
    fake.is_down = true; /* P6 */
    run_rounds();
    assert_int_equal(known(router_1), 1);
    fake.is_down = false;
    find_hash("router-1", false)->name[0] = '\0';
    run_rounds();
    assert_int_equal(known(router_1), 0);
    close_registry();
}

static void leaving_removes_our_entry_for_good(void **state)
{
    (void)state;
    open_registry(some_redis(), NULL);
    run_rounds();
    registry_leave(registry);
    assert_null(find_hash("edge-1", false));
    run_rounds();
    assert_null(find_hash("edge-1", false));
    close_registry();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_peers_are_dialled_without_redis),
        cmocka_unit_test(we_register_and_find_the_others),
        cmocka_unit_test(who_leaves_is_forgotten_but_not_because_redis_is_gone),
        cmocka_unit_test(leaving_removes_our_entry_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

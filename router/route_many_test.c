/* One frame for each router; what stays unanswered follows one by one, in order. */
#include "router/route_many.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/link.h"
#include "proto/xmpp/jid.h"
#include "router/entity/entity_table.h"
#include "router/peers.h"
#include "router/router.h"
#include "router/shard.h"

#define SHARDS 4

static struct router router;
static struct route_many *many;
static struct buf out;
static struct peer peers[2]; /* "r1" and "r2"; their links are their own addresses */
static const char *owners[SHARDS];
static bool has_waiting[SHARDS];
static bool is_link_full;

unsigned shard_of(const struct shard_table *table, struct str bare)
{
    (void)table;
    return (unsigned)(bare.ptr[0] - '0') % SHARDS; /* "2x@h": shard 2 */
}
bool shard_is_owned(const struct shard_table *table, unsigned shard)
{
    (void)table;
    return owners[shard] && strcmp(owners[shard], "me") == 0;
}
const char *shard_owner_node(const struct shard_table *table, unsigned shard)
{
    (void)table;
    return owners[shard];
}
bool egress_has_waiting(const struct egress *egress, unsigned shard)
{
    (void)egress;
    return has_waiting[shard];
}
struct peer *peers_find(struct peers *all, struct link *link, const char *node, enum link_role role)
{
    (void)all;
    (void)link;
    (void)role;
    struct peer *peer = &peers[node[1] - '1'];
    return peer->is_dead ? NULL : peer;
}
struct peer *peers_get(struct peers *all, struct link_peer *link)
{
    (void)all;
    return (struct peer *)(void *)link;
}
const char *link_peer_node(const struct link_peer *link)
{
    return (const void *)link == (const void *)&peers[0] ? "r1" : "r2";
}
enum err link_send(struct link_peer *link, struct str record)
{
    if (is_link_full) {
        return ERR_LIMIT;
    }
    struct arena arena;
    arena_init(&arena, 0);
    const Wire__Envelope *envelope;
    assert_int_equal(wire_unpack(&arena, record, &envelope), ERR_OK);
    assert_int_equal(envelope->verb_case, WIRE__ENVELOPE__VERB_ROUTE_MANY);
    buf_printf(&out, "%s %d:", link_peer_node(link), (int)envelope->route_many->request);
    for (size_t i = 0; i < envelope->route_many->n_to; i++) {
        buf_printf(&out, " " STR_FMT, STR_ARG(wire_str(envelope->route_many->to[i])));
    }
    buf_append_char(&out, '\n');
    arena_fini(&arena);
    return ERR_OK;
}
void egress_route(struct egress *egress,
        const struct origin *origin,
        const struct stanza *stanza,
        egress_route_done done,
        void *context)
{
    (void)egress;
    (void)origin;
    assert_non_null(done);
    assert_true(str_equal(stanza->from, STR("alice@h/phone")));
    buf_printf(&out, "single " STR_FMT "\n", STR_ARG(stanza->to));
    done(context, ERR_OK);
}

void egress_envelope(struct egress *egress, struct link_peer *link, const Wire__Envelope *envelope)
{
    (void)egress;
    buf_printf(&out, "reply %s %d", link_peer_node(link), (int)envelope->route_many_reply->request);
    for (size_t i = 0; i < envelope->route_many_reply->n_not_owned; i++) {
        buf_printf(&out, " %u", envelope->route_many_reply->not_owned[i]);
    }
    buf_append_char(&out, '\n');
}
void entity_on_route_many(struct entity_table *table,
        const struct origin *origin,
        const struct stanza *stanza,
        const struct str *to,
        size_t count)
{
    (void)table;
    (void)origin;
    (void)stanza;
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out, "here " STR_FMT "\n", STR_ARG(to[i]));
    }
}

static void send_to(const char *first, const char *second, const char *third)
{
    static const struct origin none;
    struct stanza presence = { .kind = STANZA_PRESENCE, .from = STR("alice@h/phone") };
    struct str to[] = { str_from_cstr(first), str_from_cstr(second), str_from_cstr(third) };
    route_many_send(many, &none, &presence, to, third[0] ? 3 : second[0] ? 2 : 1);
}

static void answer(int peer, uint64_t request, uint32_t *not_owned, size_t count)
{
    Wire__RouteManyReply reply = WIRE__ROUTE_MANY_REPLY__INIT;
    reply.request = request;
    reply.not_owned = not_owned;
    reply.n_not_owned = count;
    route_many_on_reply(many, (struct link_peer *)(void *)&peers[peer], &reply);
}

static void assert_out(const char *expected)
{
    buf_append_char(&out, '\0');
    assert_string_equal(buf_view(&out).ptr, expected);
    buf_clear(&out);
}

static int start(void **state)
{
    (void)state;
    buf_init(&out, 0);
    memset(peers, 0, sizeof(peers));
    memset(has_waiting, 0, sizeof(has_waiting));
    is_link_full = false;
    owners[0] = owners[1] = "r1";
    owners[2] = "r2";
    owners[3] = NULL;
    for (int i = 0; i < 2; i++) {
        peers[i].link = (struct link_peer *)(void *)&peers[i];
    }
    many = route_many_create(&router);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    route_many_destroy(many);
    route_many_destroy(NULL);
    buf_fini(&out);
    return 0;
}

static void recipients_travel_together(void **state)
{
    (void)state;
    send_to("0a@h", "2b@h", "1c@h");
    assert_out("r1 1: 0a@h 1c@h\nr2 2: 2b@h\n");
    answer(0, 1, NULL, 0);
    answer(1, 2, NULL, 0);
    answer(1, 2, NULL, 0); /* of nothing */
    peers[0].is_dead = true;
    route_many_on_peer_dead(many, peers[0].link);
    assert_out("");
}

static void without_a_home_or_room_they_wait_one_by_one(void **state)
{
    (void)state;
    send_to("3a@h", "", "");
    assert_out("single 3a@h\n");
    has_waiting[0] = true; /* an older one waits there */
    send_to("0a@h", "1b@h", "");
    assert_out("single 0a@h\nr1 1: 1b@h\n");
    is_link_full = true;
    send_to("2a@h", "2b@h", "");
    assert_out("single 2a@h\nsingle 2b@h\n");
}

static void a_dead_router_gave_no_answer(void **state)
{
    (void)state;
    send_to("0a@h", "", "");
    send_to("1b@h", "2c@h", "");
    answer(1, 1, NULL, 0); /* not its frame */
    buf_clear(&out);
    peers[0].is_dead = true;
    route_many_on_peer_dead(many, peers[0].link);
    assert_out("single 0a@h\nsingle 1b@h\n");
}

static void shards_that_moved_are_looked_for_again(void **state)
{
    (void)state;
    send_to("0a@h", "1b@h", "");
    buf_clear(&out);
    uint32_t moved[] = { 1 };
    answer(0, 1, moved, 1);
    assert_out("single 1b@h\n");
    send_to("0a@h", "1b@h", "");
    buf_clear(&out);
    owners[0] = "r2"; /* a new map */
    route_many_on_map(many);
    assert_out("single 0a@h\n");
    route_many_on_map(many);
    peers[0].is_dead = true;
    route_many_on_peer_dead(many, peers[0].link);
    assert_out("single 1b@h\n");
}

static void what_comes_is_checked_sorted_and_answered(void **state)
{
    (void)state;
    struct link_peer *link = peers[0].link;
    owners[2] = "me";
    Wire__Id id = WIRE__ID__INIT;
    Wire__Origin origin = WIRE__ORIGIN__INIT;
    origin.session = &id;
    Wire__Stanza stanza = WIRE__STANZA__INIT;
    stanza.kind = STANZA_PRESENCE;
    ProtobufCBinaryData to[] = { wire_bytes(STR("2a@h")), wire_bytes(STR("1b@h")) };
    Wire__RouteMany route = WIRE__ROUTE_MANY__INIT;
    route.request = 9;
    route.to = to;
    route.n_to = 2;
    assert_int_equal(route_many_on_route(many, link, &route), ERR_INVALID);
    route.origin = &origin;
    route.stanza = &stanza;
    assert_int_equal(route_many_on_route(many, link, &route), ERR_OK);
    assert_out("reply r1 9 1\nhere 2a@h\n");
    stanza.type = STANZA_TYPE_SUBSCRIBED; /* durable ones are routed one by one */
    assert_int_equal(route_many_on_route(many, link, &route), ERR_INVALID);
    stanza.type = STANZA_TYPE_NONE;
    stanza.kind = STANZA_MESSAGE;
    assert_int_equal(route_many_on_route(many, link, &route), ERR_INVALID);
    stanza.kind = STANZA_PRESENCE;
    to[0] = wire_bytes(STR("\xff@h"));
    assert_int_equal(route_many_on_route(many, link, &route), ERR_INVALID);
    assert_out("");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(recipients_travel_together),
        TEST(without_a_home_or_room_they_wait_one_by_one),
        TEST(a_dead_router_gave_no_answer),
        TEST(shards_that_moved_are_looked_for_again),
        TEST(what_comes_is_checked_sorted_and_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

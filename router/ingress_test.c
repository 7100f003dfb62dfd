/* F01, F04, F09: which peer may say what, and what is believed of it. Records come in as the link
 * hands them over; what stands behind ingress only counts. */
#include "router/ingress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "router/auth.h"
#include "router/cluster.h"
#include "router/commit.h"
#include "router/egress.h"
#include "router/entity/components.h"
#include "router/entity/entity_table.h"
#include "router/host_caps.h"
#include "router/ingress_internal.h"
#include "router/log_client.h"
#include "router/refusals.h"
#include "router/registrar.h"
#include "router/route_many.h"
#include "router/shard.h"
#include "router/signer.h"

#define BARE  "alice@example.org"
#define NODE  "edge-1"
#define VERBS 100 /* more than there are */

static struct {
    unsigned handed_over; /* to whoever works with it */
    unsigned kicks;
    unsigned not_owner;
    Wire__Status status; /* of the last answer */
    bool is_elsewhere;
} t;

static struct settings settings;
static struct router router = { .settings = &settings };
static struct peer peer;

/* ---- in place of the neighbours */

/* clang-format off */
#define TAKES(function, ...) void function(__VA_ARGS__) { t.handed_over++; }
#define QUIET(function, ...) void function(__VA_ARGS__) { }
/* clang-format on */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
TAKES(auth_on_lookup, struct auth *auth, struct peer *edge, const Wire__AuthLookup *message)
TAKES(auth_on_plain, struct auth *auth, struct peer *edge, const Wire__AuthPlain *message)
TAKES(auth_on_token, struct auth *auth, struct peer *edge, const Wire__AuthToken *message)
TAKES(auth_on_upgrade, struct auth *auth, struct peer *edge, const Wire__AuthUpgrade *message)
TAKES(auth_on_verify, struct auth *auth, struct peer *edge, const Wire__AuthVerify *message)
TAKES(registrar_on_register, struct registrar *r, struct peer *edge, const Wire__Register *message)
TAKES(commit_on_reply, struct commit *commit, struct peer *from, const Wire__AppendReply *reply)
TAKES(log_client_on_envelope, struct log_client *client, const Wire__Envelope *envelope)
TAKES(components_on_announce, struct components *c, const char *edge, const Wire__Announce *said)
TAKES(components_on_bind, struct components *c, const char *edge, const Wire__ComponentBind *bind)
TAKES(components_on_close, struct components *c, const char *edge, const Wire__Close *close)
TAKES(components_on_delivered, struct components *c, const char *edge, const Wire__Delivered *said)
TAKES(components_on_input,
        struct components *c,
        const char *edge,
        const Wire__Input *input,
        const struct stanza *stanza)
TAKES(components_on_session_gone,
        struct components *c,
        const char *edge,
        const Wire__SessionGone *gone)
TAKES(entity_on_acked, struct entity_table *e, const char *edge, const Wire__Acked *acked)
TAKES(entity_on_announce, struct entity_table *e, const char *edge, const Wire__Announce *said)
TAKES(entity_on_bind, struct entity_table *e, const char *edge, const Wire__Bind *bind)
TAKES(entity_on_client_state, struct entity_table *e, const char *edge, const Wire__ClientState *s)
TAKES(entity_on_close, struct entity_table *e, const char *edge, const Wire__Close *close)
TAKES(entity_on_delivered, struct entity_table *e, const char *edge, const Wire__Delivered *said)
TAKES(entity_on_enable, struct entity_table *e, const char *edge, const Wire__Enable *enable)
TAKES(entity_on_input,
        struct entity_table *e,
        const char *edge,
        const Wire__Input *input,
        const struct stanza *stanza)
TAKES(entity_on_resume,
        struct entity_table *e,
        const char *edge,
        const Wire__Resume *resume,
        int64_t authenticated_us)
TAKES(entity_on_route,
        struct entity_table *e,
        const struct origin *origin,
        const struct stanza *stanza,
        entity_route_done done,
        void *context)
TAKES(entity_on_session_gone, struct entity_table *e, const char *edge, const Wire__SessionGone *g)
TAKES(egress_on_not_owner, struct egress *e, struct link_peer *link, const Wire__NotOwner *message)
TAKES(egress_on_route_reply, struct egress *e, struct link_peer *link, const Wire__RouteReply *said)
TAKES(route_many_on_reply,
        struct route_many *many,
        struct link_peer *link,
        const Wire__RouteManyReply *reply)
TAKES(shard_on_map, struct shard_table *table, const Wire__ShardMap *map)
QUIET(commit_on_peer_change, struct commit *commit)
QUIET(commit_on_room, struct commit *commit)
QUIET(components_on_edge_dead, struct components *components, const char *edge)
QUIET(entity_on_edge_dead, struct entity_table *table, const char *edge)
QUIET(egress_on_map, struct egress *egress)
QUIET(egress_on_peer_dead, struct egress *egress, struct link_peer *link)
QUIET(egress_on_room, struct egress *egress, struct link_peer *link)
QUIET(egress_envelope, struct egress *e, struct link_peer *link, const Wire__Envelope *envelope)
QUIET(host_caps_tell, const struct router *from, const struct peer *to)
QUIET(log_client_on_peer_change, struct log_client *client)
QUIET(loop_defer, struct loop *loop, enum loop_phase phase, struct loop_task *task)
QUIET(loop_task_cancel, struct loop *loop, struct loop_task *task)
QUIET(refusals_add, struct refusals **at, unsigned shards, unsigned shard, uint64_t request)
QUIET(route_many_on_map, struct route_many *many)
QUIET(route_many_on_peer_dead, struct route_many *many, struct link_peer *link)
QUIET(shard_tell, const struct shard_table *table, struct peer *to)

enum err cluster_on_news(struct router *at, struct peer *from, const Wire__Envelope *envelope)
{
    t.handed_over++;
    return ERR_OK;
}

enum err route_many_on_route(
        struct route_many *many, struct link_peer *link, const Wire__RouteMany *route)
{
    t.handed_over++;
    return ERR_OK;
}

void egress_bind_reply(struct egress *egress, const char *edge, const Wire__BindReply *reply)
{
    assert_string_equal(edge, NODE);
    t.status = reply->status;
}

void egress_resume_reply(struct egress *egress, const char *edge, const Wire__ResumeReply *reply)
{
    assert_string_equal(edge, NODE);
    t.status = reply->status;
}

void egress_kick(struct egress *egress,
        const char *edge,
        struct id128 session,
        struct str bare,
        enum stream_condition condition,
        struct str text)
{
    t.kicks++;
}

void egress_not_owner(struct egress *egress, struct link_peer *link, unsigned shard)
{
    t.not_owner++;
}

bool refusals_is_behind(struct refusals *refusals, unsigned shard, uint64_t request)
{
    return false;
}

const char *link_peer_node(const struct link_peer *link)
{
    return NODE;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return 1000;
}

int64_t loop_wall_us(const struct loop *loop)
{
    return INT64_C(1700000000000000);
}

struct peer *peers_get(struct peers *peers, struct link_peer *link)
{
    return &peer;
}

unsigned shard_count(const struct shard_table *table)
{
    return 1;
}

unsigned shard_of(const struct shard_table *table, struct str bare)
{
    return 0;
}

bool shard_is_held(const struct shard_table *table, unsigned shard)
{
    return !t.is_elsewhere;
}

bool shard_is_owned(const struct shard_table *table, unsigned shard)
{
    return !t.is_elsewhere;
}
#pragma GCC diagnostic pop

/* ---- steps */

static int start(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    peer = (struct peer){ .role = LINK_ROLE_EDGE };
    assert_int_equal(
            signer_create(STR("0123456789abcdef0123456789abcdef"), &router.signer), ERR_OK);
    return ingress_create(&router, &router.ingress) == ERR_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    ingress_destroy(router.ingress);
    signer_destroy(router.signer);
    return 0;
}

static void hear(struct str record)
{
    ingress_link_handlers.on_record(&router, NULL, 1, record);
}

static void hear_envelope(const Wire__Envelope *envelope)
{
    struct buf record;
    buf_init(&record, 0);
    wire_pack(&record, envelope);
    hear(buf_view(&record));
    buf_fini(&record);
}

/* As an operator sees it: bus_violations_total. */
static long violations(const char *reason)
{
    char line[80];
    struct buf out;
    buf_init(&out, 0);
    metrics_write(&out);
    char *text = str_to_cstr(buf_view(&out));
    snprintf(line, sizeof(line), "bus_violations_total{reason=\"%s\"} ", reason);
    const char *at = strstr(text, line);
    long count = at ? strtol(at + strlen(line), NULL, 10) : 0;
    free(text);
    buf_fini(&out);
    return count;
}

/* ---- who may say what */

static bool may_say(enum link_role role, unsigned verb)
{
    /* clang-format off */
    static const enum link_role speakers[VERBS] = {
        [WIRE__ENVELOPE__VERB_AUTH_LOOKUP] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_AUTH_VERIFY] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_AUTH_PLAIN] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_AUTH_TOKEN] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_AUTH_UPGRADE] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_REGISTER] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_BIND] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_COMPONENT_BIND] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_ANNOUNCE] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_INPUT] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_CLOSE] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_DELIVERED] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_SESSION_GONE] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_ACKED] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_ENABLE] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_RESUME] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_CLIENT_STATE] = LINK_ROLE_EDGE,
        [WIRE__ENVELOPE__VERB_SHARD_MAP] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_NOT_OWNER] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_ROUTE] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_ROUTE_REPLY] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_ROUTE_MANY] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_ROUTE_MANY_REPLY] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_ACCOUNT_CHANGED] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_ROUTER_LOAD] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_ANNOUNCEMENT] = LINK_ROLE_ROUTER,
        [WIRE__ENVELOPE__VERB_APPEND_REPLY] = LINK_ROLE_ARCHIVE,
        [WIRE__ENVELOPE__VERB_LOG_OPEN_REPLY] = LINK_ROLE_ARCHIVE,
        [WIRE__ENVELOPE__VERB_LOG_READ_REPLY] = LINK_ROLE_ARCHIVE,
        [WIRE__ENVELOPE__VERB_LOG_ERASE_REPLY] = LINK_ROLE_ARCHIVE,
    };
    /* clang-format on */
    return speakers[verb] == role;
}

/* An envelope with an empty message: the number of a verb is that of its field. */
static void hear_verb(unsigned verb)
{
    struct buf record;
    unsigned tag = verb << 3 | 2;
    buf_init(&record, 0);
    if (tag >= 0x80) {
        buf_append_char(&record, (char)((tag & 0x7f) | 0x80));
        tag >>= 7;
    }
    buf_append_char(&record, (char)tag);
    buf_append_char(&record, 0);
    hear(buf_view(&record));
    buf_fini(&record);
}

static bool is_known(unsigned verb)
{
    return protobuf_c_message_descriptor_get_field(&wire__envelope__descriptor, verb) != NULL;
}

static void only_its_own_role_says_a_verb(void **state)
{
    (void)state; /* F01, F04 */
    for (unsigned role = LINK_ROLE_EDGE; role <= LINK_ROLE_PUSH; role++) {
        peer.role = (enum link_role)role;
        for (unsigned verb = 1; verb < VERBS; verb++) {
            t.handed_over = t.kicks = t.not_owner = 0;
            t.status = WIRE__STATUS__STATUS_OK;
            long before = violations("verb");
            hear_verb(verb);
            bool was_refused = violations("verb") == before + 1;
            if (may_say(peer.role, verb)) {
                assert_false(was_refused);
                continue;
            }
            assert_int_equal(was_refused, is_known(verb)); /* else of a newer neighbour */
            assert_int_equal(t.handed_over + t.kicks + t.not_owner, 0);
            assert_int_equal(t.status, WIRE__STATUS__STATUS_OK); /* nothing was answered */
        }
    }
}

static void noise_reaches_nobody(void **state)
{
    (void)state;
    hear(STR("\xff\xff\xff"));
    hear(STR(""));
    assert_int_equal(t.handed_over + t.kicks + t.not_owner, 0);
}

/* ---- who has proved what */

static struct buf grant_of(const char *bare, const char *edge)
{
    struct buf grant;
    buf_init(&grant, 0);
    const struct signer_grant of = {
        .bare = str_from_cstr(bare),
        .edge = str_from_cstr(edge),
        .now_us = INT64_C(1700000000000000),
        .is_by_password = true,
    };
    signer_make_grant(router.signer, &of, &grant);
    return grant;
}

/* True: Bind and Resume are taken; false: both are refused and counted. */
static bool lets_in(struct str grant)
{
    Wire__Bind bind = WIRE__BIND__INIT;
    bind.bare = wire_bytes(STR(BARE));
    bind.grant = wire_bytes(grant);
    Wire__Resume resume = WIRE__RESUME__INIT;
    resume.bare = bind.bare;
    resume.grant = bind.grant;
    Wire__Envelope envelopes[2] = { WIRE__ENVELOPE__INIT, WIRE__ENVELOPE__INIT };
    envelopes[0].verb_case = WIRE__ENVELOPE__VERB_BIND;
    envelopes[0].bind = &bind;
    envelopes[1].verb_case = WIRE__ENVELOPE__VERB_RESUME;
    envelopes[1].resume = &resume;
    unsigned taken = 0;
    for (size_t i = 0; i < 2; i++) {
        t.handed_over = 0;
        t.status = WIRE__STATUS__STATUS_OK;
        long before = violations("grant");
        hear_envelope(&envelopes[i]);
        taken += t.handed_over;
        if (t.handed_over == 0) {
            assert_int_equal(t.status, WIRE__STATUS__STATUS_NOT_AUTHORIZED);
            assert_int_equal(violations("grant"), before + 1);
        }
    }
    assert_int_not_equal(taken, 1);
    return taken == 2;
}

static void nobody_is_bound_or_resumed_without_a_grant(void **state)
{
    (void)state; /* F04 */
    static const char *const wrong[][2] = {
        { "bob@example.org", NODE }, /* somebody else's */
        { BARE, "edge-2" },          /* given to another edge */
    };
    assert_false(lets_in(STR("")));
    assert_false(lets_in(STR("a grant of its own making")));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct buf grant = grant_of(wrong[i][0], wrong[i][1]);
        assert_false(lets_in(buf_view(&grant)));
        buf_fini(&grant);
    }
    struct buf grant = grant_of(BARE, NODE);
    assert_true(lets_in(buf_view(&grant)));
    buf_fini(&grant);
}

/* ---- what a stanza may be */

static bool is_taken(const struct stanza *stanza, const char *answer_from)
{
    const Wire__Id id = WIRE_ID_INIT(((struct id128){ 7, 9 }));
    Wire__Stanza message = WIRE__STANZA__INIT;
    Wire__Input input = WIRE__INPUT__INIT;
    Wire__Id session = id;
    wire_stanza_set(&message, stanza);
    input.session = &session;
    input.counter = 1;
    input.bare = wire_bytes(STR(BARE));
    input.stanza = &message;
    input.answer_from = wire_bytes(str_from_cstr(answer_from));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_INPUT;
    envelope.input = &input;
    t.handed_over = t.kicks = 0;
    long before = violations("stanza");
    hear_envelope(&envelope);
    bool was_refused = violations("stanza") == before + 1;
    assert_int_equal(was_refused, t.handed_over == 0);
    assert_int_equal(t.kicks, was_refused); /* its counter would leave a hole */
    return t.handed_over == 1;
}

static void wrong_stanza_ends_its_session(void **state)
{
    (void)state; /* F09 */
    const struct stanza good = {
        .kind = STANZA_MESSAGE,
        .type = STANZA_TYPE_CHAT,
        .from = STR(BARE "/phone"),
        .to = STR("bob@example.org"),
        .child_count = 1,
        .children = STR("<body>x</body>"),
    };
    static const char *const contents[] = {
        "<body>x", "</message><message>", "<body>x</body", "<a><b></a></b>", "<body>\x01</body>"
    };
    assert_true(is_taken(&good, ""));
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        struct stanza bad = good;
        bad.children = str_from_cstr(contents[i]);
        assert_false(is_taken(&bad, ""));
    }
    struct stanza forged = good;
    forged.from = STR("bob@example.org/desk");
    assert_false(is_taken(&forged, ""));

    /* An answer to its own client is an error or an empty result. */
    assert_false(is_taken(&good, "bob@example.org"));
    struct stanza error = good;
    error.type = STANZA_TYPE_ERROR;
    assert_true(is_taken(&error, "bob@example.org"));
    assert_false(is_taken(&error, "@"));
}

static void what_is_at_home_elsewhere_is_told_so(void **state)
{
    (void)state;
    t.is_elsewhere = true;
    Wire__Close close = WIRE__CLOSE__INIT;
    close.bare = wire_bytes(STR(BARE));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_CLOSE;
    envelope.close = &close;
    hear_envelope(&envelope);
    assert_int_equal(t.not_owner, 1);
    assert_int_equal(t.handed_over, 0);
}

#define INGRESS_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INGRESS_TEST(only_its_own_role_says_a_verb),
        INGRESS_TEST(noise_reaches_nobody),
        INGRESS_TEST(nobody_is_bound_or_resumed_without_a_grant),
        INGRESS_TEST(wrong_stanza_ends_its_session),
        INGRESS_TEST(what_is_at_home_elsewhere_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

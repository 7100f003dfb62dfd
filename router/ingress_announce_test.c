/* F04: an edge is believed for the attachment of a session it was given, and for no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/egress.h"
#include "router/entity/components.h"
#include "router/entity/entity_table.h"
#include "router/ingress_internal.h"
#include "router/signer.h"

#define FULL "alice@example.org/phone"

static struct {
    unsigned handed_over;
    unsigned kicks;
    unsigned violations;
} t;

static struct router router;
static struct ingress ingress = { .router = &router };
static struct peer edge;
static const char *edge_node;

/* ---- in place of the neighbours */

void ingress_violation(struct ingress *unused, struct peer *peer, const char *reason)
{
    (void)unused;
    (void)peer;
    (void)reason;
    t.violations++;
}

bool ingress_accept_work(struct ingress *unused, struct peer *peer, struct str bare)
{
    (void)unused;
    (void)peer;
    return str_equal(bare, STR("alice@example.org"));
}

const char *link_peer_node(const struct link_peer *link)
{
    (void)link;
    return edge_node;
}

void egress_kick(struct egress *egress,
        const char *node,
        struct id128 session,
        struct str bare,
        enum stream_condition condition,
        struct str text)
{
    (void)egress;
    (void)session;
    (void)bare;
    (void)text;
    assert_string_equal(node, edge_node);
    assert_int_equal(condition, STREAM_ERROR_NOT_AUTHORIZED);
    t.kicks++;
}

bool ingress_is_component(const struct ingress *unused, struct str bare)
{
    (void)unused;
    return str_equal(bare, STR("bridge.example.org"));
}

void components_on_announce(
        struct components *components, const char *node, const Wire__Announce *announce)
{
    (void)components;
    (void)node;
    (void)announce;
    t.handed_over++;
}

void entity_on_announce(
        struct entity_table *table, const char *node, const Wire__Announce *announce)
{
    (void)table;
    (void)announce;
    assert_string_equal(node, edge_node);
    t.handed_over++;
}

/* ---- tests */

static const struct id128 session = { 7, 9 };

static int start(void **state)
{
    (void)state;
    return signer_create(STR("0123456789abcdef0123456789abcdef"), &router.signer) == ERR_OK ? 0
                                                                                            : -1;
}

static int stop(void **state)
{
    (void)state;
    signer_destroy(router.signer);
    return 0;
}

/* What the edge got when it was given this attachment. */
static struct buf token_of(const char *node, uint32_t attach)
{
    struct buf token;
    buf_init(&token, 0);
    const struct signer_session of = { session, STR(FULL), str_from_cstr(node), attach };
    signer_token(router.signer, &of, &token);
    return token;
}

struct said {
    uint32_t attach;
    bool has_sm;
    uint32_t acked;
    uint32_t written;
    size_t sequences;
    size_t log_ids;
};

/* `proof`: of the attachment; NULL: none. */
static bool is_believed(const char *node, const struct buf *proof, struct said said)
{
    struct buf token = token_of("e1", 1); /* what every holder has */
    t.handed_over = 0;
    t.kicks = 0;
    t.violations = 0;
    edge_node = node;
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &id;
    announce.full = wire_bytes(STR(FULL));
    announce.token = wire_bytes(buf_view(&token));
    if (proof) {
        announce.attach_token = wire_bytes(buf_view(proof));
    }
    announce.attach = said.attach;
    announce.has_sm = said.has_sm;
    announce.acked = said.acked;
    announce.written = said.written;
    announce.n_sequences = said.sequences;
    announce.n_log_ids = said.log_ids;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ANNOUNCE;
    envelope.announce = &announce;
    ingress_on_announce(&ingress, &edge, &envelope);
    buf_fini(&token);
    assert_int_equal(t.handed_over + t.kicks, 1);
    assert_int_equal(t.violations, t.kicks);
    return t.handed_over == 1;
}

static void first_holder_is_believed(void **state)
{
    (void)state;
    assert_true(is_believed("e1", NULL, (struct said){ .attach = 0, .has_sm = false }));
    assert_true(is_believed("e1", NULL, (struct said){ .attach = 1, .has_sm = true }));
    assert_false(is_believed("e2", NULL, (struct said){ .attach = 1, .has_sm = true }));
}

static void former_holder_cannot_say_that_it_is_the_newest(void **state)
{
    (void)state;
    struct buf first = token_of("e1", 1);
    struct buf second = token_of("e1", 2);
    struct buf of_another = token_of("e2", 3);
    assert_false(is_believed("e1", &first, (struct said){ .attach = 2, .has_sm = true }));
    assert_false(is_believed("e1", &first, (struct said){ .attach = UINT32_MAX, .has_sm = true }));
    assert_true(is_believed("e1", &second, (struct said){ .attach = 2, .has_sm = true }));
    assert_false(is_believed("e1", &second, (struct said){ .attach = 3, .has_sm = true }));
    assert_false(is_believed("e1", &of_another, (struct said){ .attach = 3, .has_sm = true }));
    assert_true(is_believed(
            "e1", NULL, (struct said){ .attach = 2, .has_sm = true })); /* its home compares */
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&of_another);
}

static void resumed_session_has_stream_management(void **state)
{
    (void)state;
    struct buf token = token_of("e1", 2);
    assert_false(is_believed("e1", &token, (struct said){ .attach = 2, .has_sm = false }));
    buf_fini(&token);
}

static void numbers_have_to_be_possible(void **state)
{
    (void)state;
    struct said said = { .attach = 1, .has_sm = true, .acked = 4, .written = 4 };
    assert_true(is_believed("e1", NULL, said));
    said.acked = 5;
    assert_false(is_believed("e1", NULL, said));
    said.written = UINT32_MAX;
    said.acked = 3; /* wrapped */
    assert_false(is_believed("e1", NULL, said));
    said = (struct said){ .attach = 1, .has_sm = true, .sequences = 2, .log_ids = 3 };
    assert_false(is_believed("e1", NULL, said));
    said.sequences = said.log_ids = WIRE_MAX_WRITTEN + 1;
    assert_false(is_believed("e1", NULL, said));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_holder_is_believed),
        cmocka_unit_test(former_holder_cannot_say_that_it_is_the_newest),
        cmocka_unit_test(resumed_session_has_stream_management),
        cmocka_unit_test(numbers_have_to_be_possible),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

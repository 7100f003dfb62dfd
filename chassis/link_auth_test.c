/* Proofs: each field of both HELLOs counts, and so does the direction. */
#include "chassis/link_auth.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct link_hello dialer = { .version_min = 1,
    .version_max = 1,
    .node = { "edge-1", 6 },
    .role = LINK_ROLE_EDGE,
    .boot_epoch = 5,
    .nonce = { "aaaa", 4 },
    .address = { "tcp://127.0.0.1:1", 17 },
    .max_frame_bytes = 1000 };
static const struct link_hello listener = { .version_min = 1,
    .version_max = 1,
    .node = { "router-1", 8 },
    .role = LINK_ROLE_ROUTER,
    .boot_epoch = 6,
    .nonce = { "bbbb", 4 },
    .address = { "tcp://127.0.0.1:2", 17 },
    .max_frame_bytes = 1000 };

static bool is_accepted(const struct link_auth_input *input, struct str secret)
{
    const struct link_auth_input honest = {
        .side = LINK_AUTH_DIALER, .version = 1, .dialer = &dialer, .listener = &listener
    };
    uint8_t mac[LINK_AUTH_BYTES];
    link_auth_prove(STR("secret"), &honest, mac);
    return link_auth_verify(secret, input, str_from(mac, sizeof(mac)));
}

static void the_right_secret_proves(void **state)
{
    const struct link_auth_input input = { LINK_AUTH_DIALER, 1, &dialer, &listener, 0 };
    (void)state;
    assert_true(is_accepted(&input, STR("secret")));
    assert_false(is_accepted(&input, STR("Secret")));
}

static void no_secret_proves_nothing(void **state)
{
    const struct link_auth_input input = { LINK_AUTH_DIALER, 1, &dialer, &listener, 0 };
    uint8_t mac[LINK_AUTH_BYTES];
    (void)state;
    link_auth_prove(STR_NULL, &input, mac);
    assert_false(link_auth_verify(STR_NULL, &input, str_from(mac, sizeof(mac))));
    assert_false(link_auth_verify(STR("secret"), &input, STR_NULL));
}

static void every_part_of_the_transcript_counts(void **state)
{
    struct link_hello other = dialer;
    struct link_auth_input input = { LINK_AUTH_LISTENER, 1, &dialer, &listener, 0 };
    (void)state;
    assert_false(is_accepted(&input, STR("secret"))); /* reflected */
    input.side = LINK_AUTH_DIALER;
    input.version = 2;
    assert_false(is_accepted(&input, STR("secret")));
    input.version = 1;
    input.last_seq = 1;
    assert_false(is_accepted(&input, STR("secret")));
    input.last_seq = 0;

    input.dialer = &other;
    other.nonce = STR("aaab"); /* replayed with another nonce */
    assert_false(is_accepted(&input, STR("secret")));
    other = dialer;
    other.role = LINK_ROLE_ROUTER; /* F01 */
    assert_false(is_accepted(&input, STR("secret")));
    other = dialer;
    other.boot_epoch = 6;
    assert_false(is_accepted(&input, STR("secret")));
    other = dialer;
    other.node = STR("edge-2");
    assert_false(is_accepted(&input, STR("secret")));
    other = dialer;
    other.address = STR("tcp://127.0.0.1:3");
    assert_false(is_accepted(&input, STR("secret")));
}

static void an_edge_on_one_side_means_the_edge_secret(void **state)
{
    struct str edge = STR("edge"), core = STR("core");
    (void)state;
    assert_true(str_equal(link_auth_secret(edge, core, LINK_ROLE_EDGE, LINK_ROLE_ROUTER), edge));
    assert_true(str_equal(link_auth_secret(edge, core, LINK_ROLE_PUSH, LINK_ROLE_EDGE), edge));
    assert_true(str_equal(link_auth_secret(edge, core, LINK_ROLE_ROUTER, LINK_ROLE_ROUTER), core));
    assert_true(str_equal(link_auth_secret(edge, core, LINK_ROLE_ROUTER, LINK_ROLE_ARCHIVE), core));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_secret_proves),
        cmocka_unit_test(no_secret_proves_nothing),
        cmocka_unit_test(every_part_of_the_transcript_counts),
        cmocka_unit_test(an_edge_on_one_side_means_the_edge_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

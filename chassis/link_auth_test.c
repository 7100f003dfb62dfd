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

/* printf edge:edge-1 | openssl dgst -sha256 -hmac core */
#define SECRET_OF_EDGE_1 "a851fa7bfb491b411123920b20d72d188570dfd9f1a8b0100d82b7be9ad2431d"

static bool has_secret(
        enum link_role role, uint32_t their_role, const char *node, const char *expected)
{
    const struct link_auth_self self = {
        .role = role,
        .edge_secret = role == LINK_ROLE_EDGE ? STR("own") : STR_NULL,
        .core_secret = role == LINK_ROLE_EDGE ? STR_NULL : STR("core"),
    };
    char room[LINK_EDGE_SECRET_BYTES];
    return str_equal(link_auth_secret(&self, their_role, str_from_cstr(node), room),
            str_from_cstr(expected));
}

static void the_core_derives_the_secret_of_each_edge(void **state)
{
    (void)state;
    assert_true(has_secret(LINK_ROLE_ROUTER, LINK_ROLE_EDGE, "edge-1", SECRET_OF_EDGE_1));
    assert_false(has_secret(LINK_ROLE_ROUTER, LINK_ROLE_EDGE, "edge-2", SECRET_OF_EDGE_1));
    assert_true(has_secret(LINK_ROLE_ROUTER, LINK_ROLE_ROUTER, "edge-1", "core"));
    assert_true(has_secret(LINK_ROLE_ROUTER, LINK_ROLE_ARCHIVE, "archive-1", "core"));
}

static void edges_and_routers_talk_to_each_other_only(void **state)
{
    (void)state;
    assert_true(has_secret(LINK_ROLE_EDGE, LINK_ROLE_ROUTER, "router-1", "own"));
    assert_true(has_secret(LINK_ROLE_EDGE, LINK_ROLE_EDGE, "edge-2", ""));
    assert_true(has_secret(LINK_ROLE_EDGE, LINK_ROLE_ARCHIVE, "archive-1", ""));
    assert_true(has_secret(LINK_ROLE_ARCHIVE, LINK_ROLE_EDGE, "edge-1", ""));
    assert_true(has_secret(LINK_ROLE_EDGE, 77, "x", ""));
}

static void nothing_is_derived_from_no_secret(void **state)
{
    const struct link_auth_self self = { .role = LINK_ROLE_ROUTER };
    char room[LINK_EDGE_SECRET_BYTES];
    (void)state;
    assert_true(str_is_empty(link_auth_secret(&self, LINK_ROLE_EDGE, STR("edge-1"), room)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_secret_proves),
        cmocka_unit_test(no_secret_proves_nothing),
        cmocka_unit_test(every_part_of_the_transcript_counts),
        cmocka_unit_test(the_core_derives_the_secret_of_each_edge),
        cmocka_unit_test(edges_and_routers_talk_to_each_other_only),
        cmocka_unit_test(nothing_is_derived_from_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

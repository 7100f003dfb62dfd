/* RFC 7622 §3.5 examples, the odd ones of C02 and C33, and: what is prepared stays as it is. */
#include "proto/xmpp/jid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void expect_str(struct str value, const char *expected)
{
    char *text = str_to_cstr(value);
    assert_string_equal(text, expected);
    free(text);
}

static void expect_jid(const char *text, const char *expected)
{
    struct jid jid;
    struct jid again;
    if (jid_parse(&arena, str_from_cstr(text), &jid) != ERR_OK) {
        fail_msg("refused: %s", text);
    }
    expect_str(jid.full, expected);
    assert_int_equal(jid_parse(&arena, jid.full, &again), ERR_OK);
    assert_true(str_equal(jid.full, again.full));
    assert_int_equal(jid_split(jid.full, &again), ERR_OK);
    assert_true(str_equal(jid.local, again.local) && str_equal(jid.domain, again.domain)
            && str_equal(jid.resource, again.resource) && str_equal(jid.bare, again.bare));
}

static void expect_invalid(const char *text)
{
    struct jid jid;
    if (jid_parse(&arena, str_from_cstr(text), &jid) == ERR_OK) {
        fail_msg("accepted: %s", text);
    }
}

static void test_examples_of_rfc_7622_are_accepted(void **state)
{
    (void)state;
    expect_jid("juliet@example.com", "juliet@example.com");
    expect_jid("juliet@example.com/foo", "juliet@example.com/foo");
    expect_jid("juliet@example.com/foo bar", "juliet@example.com/foo bar");
    expect_jid("juliet@example.com/foo@bar", "juliet@example.com/foo@bar");
    expect_jid("foo\\20bar@example.com", "foo\\20bar@example.com");
    expect_jid("fussball@example.com", "fussball@example.com");
    expect_jid("fu\xC3\x9F"
               "ball@example.com",
            "fu\xC3\x9F"
            "ball@example.com");
    expect_jid("\xCF\x80@example.com", "\xCF\x80@example.com");
    expect_jid("\xCE\xA3@example.com/foo", "\xCF\x83@example.com/foo");
    expect_jid("\xCF\x83@example.com/foo", "\xCF\x83@example.com/foo");
    expect_jid("\xCF\x82@example.com/foo", "\xCF\x82@example.com/foo");
    expect_jid("king@example.com/\xE2\x99\x9A", "king@example.com/\xE2\x99\x9A");
    expect_jid("example.com", "example.com");
    expect_jid("example.com/foobar", "example.com/foobar");
    expect_jid("a.example.com/b@example.net", "a.example.com/b@example.net");
}

static void test_counterexamples_of_rfc_7622_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "\"juliet\"@example.com",
        "foo bar@example.com",
        "juliet@example.com/",
        "@example.com/",
        "@example.com",
        "henry\xE2\x85\xA3@example.com",
        "\xE2\x99\x9A@example.com",
        "juliet@",
        "/foobar",
        "", /* and of C02, C33: */
        "@",
        "/",
        "a@b@c",
        "a'b@c",
        "a&b@c",
        "a<b@c",
        "a:b@c",
        "a@b c",
        "a@-b",
        "a@b-",
        "a@b..c",
        "a@.",
        "a@b_c",
        "a@xn--a",
        "a@b/\x01",
        "a\xE2\x80\x8D"
        "b@c",
        "\xC2\xAD@c",
        "\xE1\x84\x80@c",
        "a\xD7\x90@c",
        "\xD9\xA1\xDB\xB1@c",
        "a\xC2\xB7"
        "b@c",
        "a@[::1",
        "a@[1.2.3.4]",
        "a@[::x]",
        "a@\xE2\x98\x83.example",
        "\x80@c",
        "\xED\xA0\x80@c",
        "a@c/\xF0\x9F",
        "\xEF\xBC\x87@c", /* a fullwidth apostrophe becomes a forbidden one */
        "\xEF\xBC\xA0@c",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        expect_invalid(BAD[i]);
    }
    struct jid jid;
    assert_int_equal(jid_parse(&arena, STR("a\0b@c"), &jid), ERR_INVALID);
}

static void test_one_form_for_case_width_and_composition(void **state)
{
    (void)state;
    expect_jid("Alice@EXAMPLE.Org./Phone", "alice@example.org/Phone");
    expect_jid("\xEF\xBC\xA1\xEF\xBD\x82@example", "ab@example");
    expect_jid("J\xC3\x9Crgen@B\xC3\x9C"
               "cher.example",
            "j\xC3\xBCrgen@b\xC3\xBC"
            "cher.example");
    expect_jid("u\xCC\x88@b\xC3\xBC"
               "cher.example",
            "\xC3\xBC@b\xC3\xBC"
            "cher.example");
    expect_jid("a@xn--bcher-kva.example",
            "a@b\xC3\xBC"
            "cher.example");
    expect_jid("a@XN--BCHER-KVA.example",
            "a@b\xC3\xBC"
            "cher.example");
    expect_jid("a@b\xE3\x80\x82"
               "c",
            "a@b.c");
    expect_jid("a@b/x\xC2\xA0y\xE3\x80\x80z", "a@b/x y z");
    expect_jid("a@b/\xE2\x84\xAB", "a@b/\xC3\x85");
    expect_jid("\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D@c", "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D@c");
    expect_jid("l\xC2\xB7l@c", "l\xC2\xB7l@c");
}

static void test_address_literals(void **state)
{
    (void)state;
    expect_jid("a@192.0.2.1", "a@192.0.2.1");
    expect_jid("a@[2001:DB8:0:0::1]/x", "a@[2001:db8::1]/x");
}

static struct str repeated(char c, size_t count)
{
    char *text = (char *)arena_alloc(&arena, count);
    memset(text, c, count);
    return str_from(text, count);
}

static void test_parts_hold_1023_bytes(void **state)
{
    (void)state;
    struct jid jid;
    struct str host = STR("example.org");
    struct str none = STR("");
    assert_int_equal(jid_make(&arena, repeated('a', 1023), host, none, &jid), ERR_OK);
    assert_int_equal(
            jid_make(&arena, repeated('a', 1024), host, none, &jid), ERR_INVALID); /* C02 */
    assert_int_equal(jid_make(&arena, none, host, repeated('a', 1023), &jid), ERR_OK);
    assert_int_equal(jid_make(&arena, none, host, repeated('a', 1024), &jid), ERR_INVALID);
    assert_int_equal(jid_make(&arena, none, repeated('a', 63), none, &jid), ERR_OK);
    assert_int_equal(jid_make(&arena, none, repeated('a', 64), none, &jid), ERR_INVALID);
    assert_int_equal(jid_make(&arena, none, repeated('a', 100000), none, &jid), ERR_INVALID);
    assert_int_equal(jid_make(&arena, STR("a"), none, none, &jid), ERR_INVALID);
}

static void test_prepared_text_is_only_split(void **state)
{
    (void)state;
    struct jid jid;
    assert_int_equal(jid_split(STR("a@b/c/d@e"), &jid), ERR_OK);
    expect_str(jid.local, "a");
    expect_str(jid.domain, "b");
    expect_str(jid.resource, "c/d@e");
    expect_str(jid.bare, "a@b");
    assert_false(jid_is_bare(&jid));
    assert_int_equal(jid_split(STR("b"), &jid), ERR_OK);
    assert_true(jid_is_bare(&jid));
    expect_str(jid.bare, "b");
    assert_int_equal(jid_split(STR(""), &jid), ERR_INVALID);
    assert_int_equal(jid_split(STR("a@"), &jid), ERR_INVALID);
    assert_int_equal(jid_split(STR("a@b/"), &jid), ERR_INVALID);
    assert_int_equal(jid_split(STR("@b"), &jid), ERR_INVALID);
}

static void test_shards_never_move(void **state)
{
    (void)state;
    /* Values as first released: a change would send every account to another home. */
    unsigned juliet = jid_shard(STR("juliet@example.com"), 256);
    unsigned romeo = jid_shard(STR("romeo@example.net"), 256);
    assert_int_equal(juliet, 40);
    assert_int_equal(romeo, 166);
    unsigned counts[16] = { 0 };
    for (int i = 0; i < 16000; i++) {
        char text[32];
        snprintf(text, sizeof text, "user%d@example.org", i);
        counts[jid_shard(str_from_cstr(text), 16)]++;
    }
    for (size_t i = 0; i < 16; i++) {
        assert_in_range(counts[i], 800, 1200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_examples_of_rfc_7622_are_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
                test_counterexamples_of_rfc_7622_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
                test_one_form_for_case_width_and_composition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_address_literals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts_hold_1023_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prepared_text_is_only_split, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shards_never_move, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

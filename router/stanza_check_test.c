/* F09: an edge's claims about a stanza. */
#include "router/stanza_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct stanza good(void)
{
    return (struct stanza){
        .kind = STANZA_MESSAGE,
        .type = STANZA_TYPE_CHAT,
        .id = STR("a1"),
        .lang = STR("en"),
        .from = STR("romeo@example.net/orchard"),
        .to = STR("juliet@example.net"),
        .payload_name = STR("body"),
        .payload_ns = STR("jabber:client"),
        .child_count = 1,
        .children = STR("<body>hi</body>"),
    };
}

static bool check(const struct stanza *stanza)
{
    return stanza_check_input(stanza, STR("romeo@example.net"));
}

static void an_honest_stanza_passes(void **state)
{
    (void)state;
    struct stanza stanza = good();
    assert_true(check(&stanza));
    stanza.to = STR("");
    stanza.children = STR("");
    assert_true(check(&stanza));
}

static void a_forged_sender_fails(void **state)
{
    (void)state;
    struct stanza stanza = good();
    stanza.from = STR("juliet@example.net/balcony");
    assert_false(check(&stanza));
    stanza.from = STR("romeo@example.net");
    assert_false(check(&stanza));
    stanza.from = STR("");
    assert_false(check(&stanza));
}

static void an_answer_is_an_error_or_an_empty_result(void **state)
{
    (void)state;
    struct str from = STR("juliet@example.net");
    struct stanza stanza = good();
    assert_false(stanza_check_answer(&stanza, from));
    stanza.type = STANZA_TYPE_ERROR;
    assert_true(stanza_check_answer(&stanza, from));
    assert_true(stanza_check_answer(&stanza, STR("example.net")));
    assert_false(stanza_check_answer(&stanza, STR("a\x01@example.net")));
    assert_false(stanza_check_answer(&stanza, STR("@")));
    stanza.kind = STANZA_IQ;
    stanza.type = STANZA_TYPE_RESULT;
    assert_false(stanza_check_answer(&stanza, from));
    stanza.children = STR("");
    assert_true(stanza_check_answer(&stanza, from));
    stanza.type = STANZA_TYPE_SET;
    assert_false(stanza_check_answer(&stanza, from));
}

static void illegal_characters_fail_wherever_they_are(void **state)
{
    (void)state;
    struct str bad[] = { STR("x\x01y"), STR("\xff"), STR("a\xed\xa0\x80"), STR("\0") };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct stanza stanza = good();
        stanza.id = bad[i];
        assert_false(check(&stanza));
        stanza = good();
        stanza.lang = bad[i];
        assert_false(check(&stanza));
        stanza = good();
        stanza.payload_ns = bad[i];
        assert_false(check(&stanza));
        stanza = good();
        stanza.to = bad[i];
        assert_false(check(&stanza));
    }
}

static void children_must_be_canonical(void **state)
{
    (void)state;
    struct str bad[] = { STR("<body>hi"),
        STR("<body>hi</bodi>"),
        STR("</message><message from='juliet@example.net'>"),
        STR("text"),
        STR("<!-- x -->"),
        STR("<body>\xff</body>") };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct stanza stanza = good();
        stanza.children = bad[i];
        assert_false(check(&stanza));
    }
}

static void bare_and_full_addresses(void **state)
{
    (void)state;
    assert_true(stanza_check_bare(STR("a@b")));
    assert_false(stanza_check_bare(STR("a@b/c")));
    assert_false(stanza_check_bare(STR("b")));
    assert_false(stanza_check_bare(STR("")));
    assert_false(stanza_check_bare(STR("a\n@b")));
    assert_true(stanza_check_full(STR("a@b/c")));
    assert_false(stanza_check_full(STR("a@b")));
}

/* XEP-0114: anybody at its domain, to somebody. */
static void a_component_speaks_for_its_domain_only(void **state)
{
    (void)state;
    struct stanza stanza = good();
    struct str own[] = { STR("example.net"), STR("x@example.net"), STR("x@example.net/y") };
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        stanza.from = own[i];
        assert_true(stanza_check_component(&stanza, STR("example.net")));
    }
    struct str foreign[] = { STR(""),
        STR("net"),
        STR("x@other.net"),
        STR("example.net@other.net"),
        STR("x\n@example.net"),
        STR("sub.example.net") };
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        stanza.from = foreign[i];
        assert_false(stanza_check_component(&stanza, STR("example.net")));
    }
    stanza = good();
    stanza.to = STR("");
    assert_false(stanza_check_component(&stanza, STR("example.net")));
    stanza = good();
    stanza.children = STR("<body>hi");
    assert_false(stanza_check_component(&stanza, STR("example.net")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_stanza_passes),
        cmocka_unit_test(a_forged_sender_fails),
        cmocka_unit_test(an_answer_is_an_error_or_an_empty_result),
        cmocka_unit_test(illegal_characters_fail_wherever_they_are),
        cmocka_unit_test(children_must_be_canonical),
        cmocka_unit_test(bare_and_full_addresses),
        cmocka_unit_test(a_component_speaks_for_its_domain_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Types by kind, durability (P1), copies and the XML of a stanza. */
#include "proto/xmpp/stanza.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_types_belong_to_kinds(void **state)
{
    (void)state;
    assert_int_equal(stanza_type_parse(STANZA_MESSAGE, STR("")), STANZA_TYPE_NONE);
    assert_int_equal(stanza_type_parse(STANZA_MESSAGE, STR("chat")), STANZA_TYPE_CHAT);
    assert_int_equal(stanza_type_parse(STANZA_MESSAGE, STR("get")), STANZA_TYPE_INVALID);
    assert_int_equal(stanza_type_parse(STANZA_IQ, STR("get")), STANZA_TYPE_GET);
    assert_int_equal(stanza_type_parse(STANZA_IQ, STR("GET")), STANZA_TYPE_INVALID); /* C04 */
    assert_int_equal(stanza_type_parse(STANZA_PRESENCE, STR("probe")), STANZA_TYPE_PROBE);
    assert_int_equal(stanza_type_parse(STANZA_PRESENCE, STR("chat")), STANZA_TYPE_INVALID);
    enum stanza_kind kinds[] = { STANZA_MESSAGE, STANZA_PRESENCE, STANZA_IQ };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stanza_type_parse(kinds[i], STR("error")), STANZA_TYPE_ERROR);
    }
    assert_string_equal(stanza_type_name(STANZA_TYPE_UNSUBSCRIBED), "unsubscribed");
    assert_string_equal(stanza_type_name(STANZA_TYPE_NONE), "");
    assert_string_equal(stanza_type_name((enum stanza_type)99), "");
    assert_string_equal(stanza_kind_name(STANZA_PRESENCE), "presence");
}

static bool is_durable(enum stanza_kind kind, enum stanza_type type, unsigned flags)
{
    struct stanza stanza = { .kind = kind, .type = type, .flags = flags };
    return stanza_is_durable(&stanza);
}

static void test_durable_are_bodies_receipts_and_store_hints(void **state)
{
    (void)state;
    assert_true(is_durable(STANZA_MESSAGE, STANZA_TYPE_CHAT, STANZA_HAS_BODY));
    assert_true(is_durable(STANZA_MESSAGE, STANZA_TYPE_NONE, STANZA_HAS_RECEIPT));
    assert_true(is_durable(STANZA_MESSAGE, STANZA_TYPE_NORMAL, STANZA_HINT_STORE));
    assert_false(is_durable(STANZA_MESSAGE, STANZA_TYPE_CHAT, STANZA_CHAT_STATE_ONLY));
    assert_false(is_durable(STANZA_MESSAGE, STANZA_TYPE_ERROR, STANZA_HAS_BODY));
    assert_false(is_durable(STANZA_MESSAGE, STANZA_TYPE_HEADLINE, STANZA_HAS_BODY));
    assert_false(
            is_durable(STANZA_MESSAGE, STANZA_TYPE_CHAT, STANZA_HAS_BODY | STANZA_HINT_NO_STORE));
    assert_false(is_durable(STANZA_IQ, STANZA_TYPE_SET, STANZA_HAS_BODY));
    assert_false(is_durable(STANZA_PRESENCE, STANZA_TYPE_NONE, STANZA_HAS_BODY));
}

static void expect_xml(const struct stanza *stanza, const char *expected)
{
    struct buf out;
    buf_init(&out, 0);
    stanza_write(&out, stanza);
    buf_append_char(&out, '\0');
    assert_string_equal(buf_view(&out).ptr, expected);
    buf_fini(&out);
}

static void test_writes_only_what_is_there(void **state)
{
    (void)state;
    struct stanza presence = { .kind = STANZA_PRESENCE };
    expect_xml(&presence, "<presence/>");
    struct stanza message = {
        .kind = STANZA_MESSAGE,
        .type = STANZA_TYPE_CHAT,
        .id = STR("a'b<"),
        .lang = STR("de"),
        .from = STR("a@b/c"),
        .to = STR("d@e"),
        .children = STR("<body>x</body>"),
    };
    expect_xml(&message,
            "<message from='a@b/c' to='d@e' type='chat' id='a&apos;b&lt;' xml:lang='de'>"
            "<body>x</body></message>");
    struct stanza invalid = { .kind = STANZA_IQ, .type = STANZA_TYPE_INVALID };
    expect_xml(&invalid, "<iq/>");
}

static void test_reply_swaps_addresses_and_keeps_the_id(void **state)
{
    (void)state;
    struct stanza request = {
        .kind = STANZA_IQ,
        .type = STANZA_TYPE_GET,
        .id = STR("7"),
        .from = STR("a@b/c"),
        .to = STR("d@e"),
        .children = STR("<ping xmlns='urn:xmpp:ping'/>"),
        .child_count = 1,
    };
    struct stanza reply;
    stanza_init_reply(&reply, &request, STANZA_TYPE_RESULT);
    expect_xml(&reply, "<iq from='d@e' to='a@b/c' type='result' id='7'/>");
    assert_int_equal(reply.child_count, 0);
}

static void test_copy_lives_in_the_arena(void **state)
{
    (void)state;
    char text[] = "<body/>";
    struct stanza stanza = { .kind = STANZA_MESSAGE, .children = STR_NULL, .priority = -3 };
    stanza.children = str_from(text, sizeof text - 1);
    stanza.to = STR("a@b");
    struct arena arena;
    arena_init(&arena, 0);
    struct stanza copy;
    stanza_dup(&arena, &stanza, &copy);
    text[1] = 'X';
    expect_xml(&copy, "<message to='a@b'><body/></message>");
    assert_int_equal(copy.priority, -3);
    assert_int_equal(stanza_bytes(&copy), 10);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_belong_to_kinds),
        cmocka_unit_test(test_durable_are_bodies_receipts_and_store_hints),
        cmocka_unit_test(test_writes_only_what_is_there),
        cmocka_unit_test(test_reply_swaps_addresses_and_keeps_the_id),
        cmocka_unit_test(test_copy_lives_in_the_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

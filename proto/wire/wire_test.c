/* Envelopes and stanzas through bytes and back; what a hostile neighbour may send (F02, F09). */
#include "proto/wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;
static struct buf packed;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    buf_init(&packed, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_fini(&packed);
    arena_fini(&arena);
    return 0;
}

static const struct stanza STANZA = {
    .kind = STANZA_PRESENCE,
    .type = STANZA_TYPE_UNAVAILABLE,
    .flags = STANZA_HAS_BODY | STANZA_HAS_SUBJECT,
    .id = { "i\0d", 3 },
    .lang = { "de", 2 },
    .from = { "a@b/c", 5 },
    .to = { "d@e", 3 },
    .payload_ns = { "jabber:client", 13 },
    .payload_name = { "show", 4 },
    .child_count = 2,
    .children = { "<show/><status/>", 16 },
    .priority = -128,
};

static void expect_stanza(const struct stanza *stanza)
{
    assert_int_equal(stanza->kind, STANZA.kind);
    assert_int_equal(stanza->type, STANZA.type);
    assert_int_equal(stanza->flags, STANZA.flags);
    assert_int_equal(stanza->child_count, STANZA.child_count);
    assert_int_equal(stanza->priority, STANZA.priority);
    assert_true(str_equal(stanza->id, STANZA.id));
    assert_true(str_equal(stanza->lang, STANZA.lang));
    assert_true(str_equal(stanza->from, STANZA.from));
    assert_true(str_equal(stanza->to, STANZA.to));
    assert_true(str_equal(stanza->payload_ns, STANZA.payload_ns));
    assert_true(str_equal(stanza->payload_name, STANZA.payload_name));
    assert_true(str_equal(stanza->children, STANZA.children));
}

static void test_stanza_comes_back_whole(void **state)
{
    (void)state;
    struct stanza stanza;
    wire_stanza_pack(&packed, &STANZA);
    assert_int_equal(wire_stanza_unpack(&arena, buf_view(&packed), &stanza), ERR_OK);
    expect_stanza(&stanza);
}

static void test_envelope_comes_back_whole(void **state)
{
    (void)state;
    struct id128 session = { 1, 2 };
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Stanza message = WIRE__STANZA__INIT;
    Wire__Input input = WIRE__INPUT__INIT;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    wire_stanza_set(&message, &STANZA);
    input.session = &id;
    input.counter = UINT32_MAX;
    input.bare = wire_bytes(STR("a@b"));
    input.stanza = &message;
    envelope.verb_case = WIRE__ENVELOPE__VERB_INPUT;
    envelope.input = &input;
    buf_append_literal(&packed, "before");
    wire_pack(&packed, &envelope);

    const Wire__Envelope *unpacked = NULL;
    struct str record = buf_view(&packed);
    record = str_from(record.ptr + 6, record.len - 6);
    assert_int_equal(wire_unpack(&arena, record, &unpacked), ERR_OK);
    assert_int_equal(unpacked->verb_case, WIRE__ENVELOPE__VERB_INPUT);
    assert_true(id128_equal(wire_id(unpacked->input->session), session));
    assert_int_equal(unpacked->input->counter, UINT32_MAX);
    assert_true(str_equal(wire_str(unpacked->input->bare), STR("a@b")));
    struct stanza stanza;
    assert_int_equal(wire_stanza_get(unpacked->input->stanza, &stanza), ERR_OK);
    expect_stanza(&stanza);
}

static void test_unknown_verbs_and_garbage_are_refused(void **state)
{
    (void)state;
    const Wire__Envelope *envelope = NULL;
    assert_int_equal(wire_unpack(&arena, STR(""), &envelope), ERR_INVALID);
    /* F03: field 2000, length-delimited, from a newer neighbour */
    assert_int_equal(wire_unpack(&arena, STR("\x82\x7D\x01x"), &envelope), ERR_INVALID);
    /* F02: a length of 2 GiB, cut records */
    assert_int_equal(wire_unpack(&arena, STR("\x4A\xFF\xFF\xFF\xFF\x07"), &envelope), ERR_INVALID);
    assert_int_equal(wire_unpack(&arena, STR("\x4A\x05\x10"), &envelope), ERR_INVALID);
    assert_null(envelope);
}

static void test_unknown_fields_are_ignored(void **state)
{
    (void)state;
    wire_stanza_pack(&packed, &STANZA);
    buf_append_literal(&packed, "\xC2\x3E\x03new"); /* F03: field 1000 */
    struct stanza stanza;
    assert_int_equal(wire_stanza_unpack(&arena, buf_view(&packed), &stanza), ERR_OK);
    expect_stanza(&stanza);
}

static void expect_refused(const struct stanza *stanza)
{
    Wire__Stanza message = WIRE__STANZA__INIT;
    struct stanza out;
    wire_stanza_set(&message, stanza);
    assert_int_equal(wire_stanza_get(&message, &out), ERR_INVALID);
}

static void test_forged_headers_are_refused(void **state)
{
    (void)state;
    struct stanza stanza = STANZA; /* F09 */
    stanza.kind = (enum stanza_kind)4;
    expect_refused(&stanza);
    stanza.kind = (enum stanza_kind)0;
    expect_refused(&stanza);
    stanza = STANZA;
    stanza.type = (enum stanza_type)16;
    expect_refused(&stanza);
    stanza = STANZA;
    stanza.priority = 128;
    expect_refused(&stanza);
    stanza = STANZA;
    stanza.lang = STR("123456789012345678901234567890123456");
    expect_refused(&stanza);
    stanza = STANZA;
    stanza.id = STR("\xED\xA0\x80");
    expect_refused(&stanza);
    stanza = STANZA;
    stanza.to = STR("a\xFF@b");
    expect_refused(&stanza);
    struct stanza out;
    assert_int_equal(wire_stanza_get(NULL, &out), ERR_INVALID);
}

static void test_full_buffer_is_marked(void **state)
{
    (void)state;
    struct buf small;
    buf_init(&small, 8);
    wire_stanza_pack(&small, &STANZA);
    assert_true(small.overflowed);
    assert_int_equal(small.len, 0);
    buf_fini(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stanza_comes_back_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_envelope_comes_back_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
                test_unknown_verbs_and_garbage_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_fields_are_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forged_headers_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_buffer_is_marked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Stanza errors: every condition has a name and a type; the XML is what RFC 6120 §8.3.2 shows. */
#include "proto/xmpp/stanza_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/xmpp/canonical.h"

static void test_every_condition_has_name_and_type(void **state)
{
    (void)state;
    for (int i = STANZA_ERROR_BAD_REQUEST; i <= STANZA_ERROR_UNEXPECTED_REQUEST; i++) {
        const char *type = stanza_condition_type((enum stanza_condition)i);
        assert_true(strlen(stanza_condition_name((enum stanza_condition)i)) > 3);
        assert_true(strstr("cancel modify auth wait", type) != NULL && strlen(type) >= 4);
    }
    assert_string_equal(stanza_condition_type(STANZA_ERROR_INTERNAL_SERVER_ERROR), "wait");
    assert_string_equal(stanza_condition_name((enum stanza_condition)999), "undefined-condition");
}

static void expect_xml(const struct stanza_error *error, const char *expected)
{
    struct buf out;
    buf_init(&out, 0);
    stanza_error_write(&out, error);
    assert_true(canonical_is_valid(buf_view(&out), 3, 9));
    buf_append_char(&out, '\0');
    assert_string_equal(buf_view(&out).ptr, expected);
    buf_fini(&out);
}

static void test_error_is_written_with_text_and_extra(void **state)
{
    (void)state;
    struct stanza_error error = { .condition = STANZA_ERROR_ITEM_NOT_FOUND };
    expect_xml(&error,
            "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "</error>");
    error.text = STR("a<b");
    error.extra_xml = STR("<x xmlns='y'/>");
    expect_xml(&error,
            "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>a&lt;b</text>"
            "<x xmlns='y'/></error>");
    error = (struct stanza_error){ .condition = STANZA_ERROR_NOT_ACCEPTABLE, .type = "cancel" };
    expect_xml(&error,
            "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "</error>");
}

static void test_errors_and_results_are_never_answered(void **state)
{
    (void)state;
    struct stanza stanza = { .kind = STANZA_MESSAGE, .type = STANZA_TYPE_ERROR };
    assert_false(stanza_may_be_answered_with_error(&stanza)); /* C07 */
    stanza = (struct stanza){ .kind = STANZA_IQ, .type = STANZA_TYPE_RESULT };
    assert_false(stanza_may_be_answered_with_error(&stanza));
    stanza.type = STANZA_TYPE_INVALID;
    assert_true(stanza_may_be_answered_with_error(&stanza)); /* C04 */
    stanza.type = STANZA_TYPE_GET;
    assert_true(stanza_may_be_answered_with_error(&stanza));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_condition_has_name_and_type),
        cmocka_unit_test(test_error_is_written_with_text_and_extra),
        cmocka_unit_test(test_errors_and_results_are_never_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Stream errors and SASL failures by name. */
#include "proto/xmpp/stream_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_every_condition_has_a_name(void **state)
{
    (void)state;
    for (int i = STREAM_ERROR_BAD_FORMAT; i < STREAM_CONDITION_COUNT; i++) {
        assert_true(strlen(stream_condition_name((enum stream_condition)i)) > 3);
    }
    for (int i = SASL_ABORTED; i < SASL_CONDITION_COUNT; i++) {
        assert_true(strlen(sasl_condition_name((enum sasl_condition)i)) > 3);
    }
    assert_string_equal(stream_condition_name(STREAM_ERROR_RESTRICTED_XML), "restricted-xml");
    assert_string_equal(sasl_condition_name(SASL_MECHANISM_TOO_WEAK), "mechanism-too-weak");
}

static void test_error_is_written_with_optional_text(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    stream_error_write(&out, STREAM_ERROR_HOST_UNKNOWN, STR(""));
    stream_error_write(&out, STREAM_ERROR_RESET, STR("a&b"));
    buf_append_char(&out, '\0');
    assert_string_equal(buf_view(&out).ptr,
            "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            "</stream:error><stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>a&amp;b</text>"
            "</stream:error>");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_condition_has_a_name),
        cmocka_unit_test(test_error_is_written_with_optional_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

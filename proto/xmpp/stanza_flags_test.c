/* The table of children; the whole reader is tested with it in xml_reader_test.c. */
#include "proto/xmpp/stanza_flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/xmpp/ns.h"
#include "proto/xmpp/stanza.h"

static void test_content_namespace_is_the_streams(void **state)
{
    (void)state;
    struct stanza_flags seen = { 0 };
    stanza_flags_add(&seen, STR(NS_SERVER), STR(NS_CLIENT), STR("body"));
    assert_int_equal(stanza_flags_get(&seen), 0);
    stanza_flags_add(&seen, STR(NS_SERVER), STR(NS_SERVER), STR("body"));
    assert_int_equal(stanza_flags_get(&seen), STANZA_HAS_BODY);
    stanza_flags_add(&seen, STR(NS_SERVER), STR(""), STR("subject"));
    assert_int_equal(stanza_flags_get(&seen), STANZA_HAS_BODY);
}

static void test_chat_state_stands_alone_or_not(void **state)
{
    (void)state;
    struct stanza_flags seen = { 0 };
    stanza_flags_add(&seen, STR(NS_CLIENT), STR(NS_CHAT_STATES), STR("composing"));
    stanza_flags_add(&seen, STR(NS_CLIENT), STR(NS_HINTS), STR("no-copy"));
    assert_int_equal(stanza_flags_get(&seen),
            STANZA_CHAT_STATE_ONLY | STANZA_IM_PAYLOAD | STANZA_HINT_NO_COPY);
    stanza_flags_add(&seen, STR(NS_CLIENT), STR(NS_EME), STR("encryption"));
    assert_int_equal(
            stanza_flags_get(&seen), STANZA_ENCRYPTED | STANZA_IM_PAYLOAD | STANZA_HINT_NO_COPY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_namespace_is_the_streams),
        cmocka_unit_test(test_chat_state_stands_alone_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

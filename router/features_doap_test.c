/* What is printed follows the table. */
#include "router/features_doap.h"

#include "tests/lib/fake_router.h"

static void both_lists_follow_the_table(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    features_print_specs(&out);
    buf_append_char(&out, '\0');
    assert_seen(out.data, "XEP-0199   2.0.1    ping\n");
    assert_before(out.data, "XEP-0191", "XEP-0198   1.6.3");
    buf_clear(&out);
    features_print_doap(&out);
    buf_append_char(&out, '\0');
    assert_seen(out.data,
            "<xmpp:xep rdf:resource='https://xmpp.org/extensions/xep-0280.html'/>\n"
            "        <xmpp:status>complete</xmpp:status>\n"
            "        <xmpp:version>1.0.1</xmpp:version>\n");
    assert_seen(out.data, "xep-0012.html'/>\n        <xmpp:status>partial</xmpp:status>");
    assert_seen(out.data, "<implements rdf:resource='https://xmpp.org/rfcs/rfc6121.html'/>");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_lists_follow_the_table, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The list of features. */
#include "router/feature.h"
#include "tests/lib/fake_router.h"

static void printed_table_names_every_specification(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    features_print(&out);
    buf_append_char(&out, '\0');
    assert_seen(out.data, "ping        XEP-0199 2.0.1\n");
    assert_seen(out.data, "offline     XEP-0160 1.0.1, XEP-0203 2.0\n");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                printed_table_names_every_specification, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

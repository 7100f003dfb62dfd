/* The list of features. */
#include "router/feature.h"
#include "tests/lib/fake_router.h"

static void every_feature_has_a_name_and_a_specification(void **state)
{
    (void)state;
    for (const struct feature *const *item = features; *item; item++) {
        assert_non_null((*item)->name);
        assert_non_null((*item)->specs[0].name);
        assert_non_null((*item)->specs[0].version);
    }
}

/* What is too much costs nothing more, and what is blocked reaches nobody: these are first, and
 * copies are made behind whatever refuses. */
static void order_is_what_others_rely_on(void **state)
{
    (void)state;
    assert_string_equal(features[0]->name, "limits");
    assert_string_equal(features[1]->name, "blocking");
    bool has_carbons = false;
    for (const struct feature *const *item = features; *item; item++) {
        has_carbons = has_carbons || strcmp((*item)->name, "carbons") == 0;
        assert_false(has_carbons && strcmp((*item)->name, "presence") == 0);
    }
    assert_true(has_carbons);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                every_feature_has_a_name_and_a_specification, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(order_is_what_others_rely_on, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

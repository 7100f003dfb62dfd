/* The printed reference is a valid configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/config_sample.h"
#include "tests/lib/config_text.h"

static const struct config_section section_sample = {
    .name = "sample",
    .help = "A sample.",
    .fields = sample_fields,
    .size = sizeof(struct sample),
};
static const struct config_section section_list = {
    .name = "hosts",
    .help = "A list.",
    .fields = sample_fields,
    .size = sizeof(struct sample),
    .is_list = true,
};
static const struct config_section *const sections[] = { &section_sample, &section_list, NULL };

static void reference_loads_and_gives_the_defaults(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 0);
    config_print_reference(sections, &text);
    char *reference = str_to_cstr(buf_view(&text));
    buf_clear(&text);
    struct config *printed = config_load_text(reference, sections, &text);
    struct config *defaults = config_load(NULL, sections, &text);
    assert_int_equal(text.len, 0);
    assert_non_null(printed);
    assert_non_null(defaults);
    assert_false(config_differs(printed, defaults, &section_sample));
    assert_false(config_differs(printed, defaults, &section_list));
    config_destroy(printed);
    config_destroy(defaults);
    buf_fini(&text);
    free(reference);
}

static void every_option_has_its_sentence_and_bounds(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 0);
    config_print_reference(sections, &text);
    buf_append_char(&text, '\0');
    assert_non_null(strstr(text.data,
            "  # Time.\n  # (a duration (ms, s, m, h, d), between 1s and 1h)\n  delay: 90s\n"));
    assert_non_null(strstr(text.data, "  name: \"say \\\"x\\\"\"\n"));
    assert_non_null(strstr(text.data, "  tags: [\"a\", \"b\"]\n"));
    assert_non_null(strstr(text.data, "\nhosts: []\n"));
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_loads_and_gives_the_defaults),
        cmocka_unit_test(every_option_has_its_sentence_and_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

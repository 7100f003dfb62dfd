/* The printed reference is a valid configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/config.h"

struct sample {
    bool is_on;
    int64_t count;
    int64_t delay_ms;
    int64_t room_bytes;
    char *name;
    char *file;
    int color;
    struct config_strings tags;
};

static const char *const colors[] = { "red", "green", NULL };

/* clang-format off */
static const struct config_field sample_fields[] = {
    { "is_on", CONFIG_BOOL, offsetof(struct sample, is_on), "true", 0, 0, NULL, "Switch." },
    { "count", CONFIG_INT, offsetof(struct sample, count), "3", 1, 10, NULL, "Number." },
    { "delay", CONFIG_DURATION, offsetof(struct sample, delay_ms), "90s", 1000, 3600000, NULL, "Time." },
    { "room", CONFIG_SIZE, offsetof(struct sample, room_bytes), "64KiB", 0, 0, NULL, "Bytes." },
    { "name", CONFIG_STRING, offsetof(struct sample, name), "say \"x\"", 0, 0, NULL, "Text." },
    { "file", CONFIG_PATH, offsetof(struct sample, file), "", 0, 0, NULL, "Path." },
    { "color", CONFIG_ENUM, offsetof(struct sample, color), "green", 0, 0, colors, "Word." },
    { "tags", CONFIG_LIST, offsetof(struct sample, tags), "a, b", 0, 0, NULL, "Words." },
    { .name = NULL },
};
/* clang-format on */

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
    char path[] = "/tmp/config_reference_test.XXXXXX";
    struct buf text;
    buf_init(&text, 0);
    config_print_reference(sections, &text);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.data, text.len), text.len);
    close(fd);
    buf_clear(&text);
    struct config *printed = config_load(path, sections, &text);
    struct config *defaults = config_load(NULL, sections, &text);
    assert_int_equal(text.len, 0);
    assert_non_null(printed);
    assert_non_null(defaults);
    assert_false(config_differs(printed, defaults, &section_sample));
    assert_false(config_differs(printed, defaults, &section_list));
    config_destroy(printed);
    config_destroy(defaults);
    buf_fini(&text);
    unlink(path);
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

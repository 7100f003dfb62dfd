/* Values: units, bounds, words. */
#include "chassis/config_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "chassis/config_sample.h"

static const struct config_field *field(const char *name)
{
    const struct config_field *f = sample_fields;
    while (strcmp(f->name, name) != 0) {
        f++;
    }
    return f;
}

/* Parses into a fresh struct; the sentence of the refusal, or NULL. */
static const char *refusal(const char *name, const char *text, struct sample *sample_out)
{
    static char sentence[256];
    struct buf why;
    buf_init(&why, 0);
    *sample_out = (struct sample){ 0 };
    enum err err = config_value_parse(field(name), str_from_cstr(text), "/etc", sample_out, &why);
    snprintf(sentence, sizeof(sentence), STR_FMT, STR_ARG(buf_view(&why)));
    buf_fini(&why);
    return err == ERR_OK ? NULL : sentence;
}

static void durations_and_sizes_have_units(void **state)
{
    (void)state;
    struct sample s;
    assert_null(refusal("delay", "1500ms", &s));
    assert_int_equal(s.delay_ms, 1500);
    assert_null(refusal("delay", "5m", &s));
    assert_int_equal(s.delay_ms, 300000);
    assert_null(refusal("delay", "1h", &s));
    assert_null(refusal("room", "4096", &s));
    assert_int_equal(s.room_bytes, 4096);
    assert_null(refusal("room", "2GiB", &s));
    assert_true(s.room_bytes == INT64_C(2) << 30);
    assert_null(refusal("room", "0", &s));
    assert_string_equal(refusal("delay", "90", &s), "must be a duration (ms, s, m, h, d)");
    assert_non_null(refusal("delay", "1.5s", &s));
    assert_non_null(refusal("delay", "s", &s));
    assert_non_null(refusal("room", "4KB", &s));
    assert_non_null(refusal("room", "9223372036854775807GiB", &s));
    assert_non_null(refusal("count", "", &s));
}

static void bounds_are_told_in_their_unit(void **state)
{
    (void)state;
    struct sample s;
    assert_string_equal(refusal("count", "11", &s), "must be between 1 and 10");
    assert_string_equal(refusal("delay", "2d", &s), "must be between 1s and 1h");
    assert_int_equal(s.delay_ms, 0); /* untouched */
    assert_null(refusal("count", "10", &s));
}

static void words_and_paths(void **state)
{
    (void)state;
    struct sample s;
    assert_null(refusal("color", "red", &s));
    assert_int_equal(s.color, 0);
    assert_string_equal(refusal("color", "blue", &s), "must be one of: red, green");
    assert_string_equal(refusal("is_on", "yes", &s), "must be true or false");
    assert_null(refusal("file", "key.pem", &s));
    assert_string_equal(s.file, "/etc/key.pem");
    config_value_free(field("file"), &s);
    assert_null(refusal("file", "/run/key.pem", &s));
    assert_string_equal(s.file, "/run/key.pem");
    config_value_free(field("file"), &s);
    assert_null(refusal("file", "", &s));
    assert_string_equal(s.file, "");
    config_value_free(field("file"), &s);
}

static void lists_split_at_commas_and_compare(void **state)
{
    (void)state;
    struct sample a;
    struct sample b;
    assert_null(refusal("tags", "x, y", &a));
    assert_int_equal(a.tags.count, 2);
    assert_string_equal(a.tags.items[1], "y");
    assert_null(refusal("tags", "x,z", &b));
    assert_false(config_value_equal(field("tags"), &a, &b));
    config_value_free(field("tags"), &b);
    assert_null(refusal("tags", "x,y", &b));
    assert_true(config_value_equal(field("tags"), &a, &b));
    config_value_free(field("tags"), &a);
    config_value_free(field("tags"), &b);
    assert_null(refusal("tags", "", &a));
    assert_int_equal(a.tags.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(bounds_are_told_in_their_unit),
        cmocka_unit_test(words_and_paths),
        cmocka_unit_test(lists_split_at_commas_and_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

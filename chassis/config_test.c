/* Loading: file, environment, lists, problems with their lines. */
#include "chassis/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/config_sample.h"

struct host {
    char *name;
    int64_t limit;
};

static const struct config_field host_fields[] = {
    { "name", CONFIG_STRING, offsetof(struct host, name), NULL, 0, 0, NULL, "Name." },
    { "limit", CONFIG_INT, offsetof(struct host, limit), "5", 0, INT64_MAX, NULL, "Limit." },
    { .name = NULL },
};

static enum err check_sample(const void *section, struct buf *why)
{
    const struct sample *sample = section;
    if (sample->count == 9) {
        buf_append_literal(why, "nine is not a good count");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static const struct config_section section_sample = {
    .name = "sample",
    .help = "A sample.",
    .fields = sample_fields,
    .size = sizeof(struct sample),
    .check = check_sample,
};
static const struct config_section section_hosts = {
    .name = "hosts",
    .help = "Hosts.",
    .fields = host_fields,
    .size = sizeof(struct host),
    .is_list = true,
};
static const struct config_section *const sections[] = { &section_sample, &section_hosts, NULL };

struct fixture {
    char dir[64];
    char path[80];
    char why[2048];
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .dir = "/tmp/config_test.XXXXXX" };
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.path, sizeof(f.path), "%s/c.yaml", f.dir);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->path);
    rmdir(f->dir);
    unsetenv("STARLING_SAMPLE_COUNT");
    unsetenv("STARLING_SAMPLE_TAGS");
    return 0;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* NULL with the problems in f->why, the folder cut from each. */
static struct config *load(struct fixture *f, const char *text)
{
    struct buf why;
    buf_init(&why, 0);
    if (text != NULL) {
        write_file(f->path, text, 0644);
    }
    struct config *config = config_load(text != NULL ? f->path : NULL, sections, &why);
    f->why[0] = '\0';
    size_t used = 0;
    for (struct str rest = buf_view(&why); !str_is_empty(rest);) {
        struct str line = str_cut(&rest, '\n');
        if (str_starts_with(line, str_from_cstr(f->dir))) {
            line.ptr += strlen(f->dir) + 1;
            line.len -= strlen(f->dir) + 1;
        }
        used += (size_t)snprintf(f->why + used, sizeof(f->why) - used, STR_FMT "\n", STR_ARG(line));
    }
    buf_fini(&why);
    return config;
}

static void assert_problems(struct fixture *f, const char *text, const char *problems)
{
    assert_null(load(f, text));
    assert_string_equal(f->why, problems);
}

static void without_a_file_defaults_hold(void **state)
{
    struct fixture *f = *state;
    struct config *config = load(f, NULL);
    assert_non_null(config);
    const struct sample *sample = config_get(config, &section_sample);
    assert_true(sample->is_on);
    assert_int_equal(sample->count, 3);
    assert_int_equal(sample->delay_ms, 90000);
    assert_int_equal(sample->room_bytes, 65536);
    assert_string_equal(sample->file, "");
    assert_int_equal(sample->color, 1);
    assert_int_equal(sample->tags.count, 2);
    size_t count = 7;
    config_get_list(config, &section_hosts, &count);
    assert_int_equal(count, 0);
    config_destroy(config);
}

static void file_sets_sections_and_lists(void **state)
{
    struct fixture *f = *state;
    struct config *config = load(f,
            "sample:\n"
            "  is_on: false\n"
            "  file: certs/key.pem\n"
            "  tags: [x]\n"
            "hosts:\n"
            "  - name: a.example\n"
            "  - { name: b.example, limit: 7 }\n"
            "edge: { anything: [of, another, program] }\n");
    assert_string_equal(f->why, "");
    assert_non_null(config);
    const struct sample *sample = config_get(config, &section_sample);
    assert_false(sample->is_on);
    assert_int_equal(sample->tags.count, 1);
    assert_true(str_starts_with(str_from_cstr(sample->file), str_from_cstr(f->dir)));
    assert_true(str_ends_with(str_from_cstr(sample->file), STR("/certs/key.pem")));
    size_t count = 0;
    const struct host *hosts = config_get_list(config, &section_hosts, &count);
    assert_int_equal(count, 2);
    assert_string_equal(hosts[1].name, "b.example");
    assert_int_equal(hosts[0].limit, 5);
    assert_int_equal(hosts[1].limit, 7);
    assert_ptr_equal(config_get(config, &section_hosts), hosts);
    config_destroy(config);
}

static void environment_wins_over_the_file(void **state)
{
    struct fixture *f = *state;
    setenv("STARLING_SAMPLE_COUNT", "8", 1);
    setenv("STARLING_SAMPLE_TAGS", "p,q,r", 1);
    struct config *config = load(f, "sample: { count: 2, tags: [x] }\n");
    assert_non_null(config);
    const struct sample *sample = config_get(config, &section_sample);
    assert_int_equal(sample->count, 8);
    assert_int_equal(sample->tags.count, 3);
    config_destroy(config);
    setenv("STARLING_SAMPLE_COUNT", "80", 1);
    assert_problems(f,
            "sample: { count: 2 }\n",
            "STARLING_SAMPLE_COUNT: sample.count: must be between 1 and 10\n");
}

static void all_problems_are_told_with_their_lines(void **state)
{
    struct fixture *f = *state;
    assert_problems(f,
            "sample:\n"
            "  count: 99\n"
            "  colour: red\n"
            "  tags: [[x]]\n"
            "  name: [a]\n"
            "  count: 4\n"
            "nonsense: {}\n"
            "sample: {}\n"
            "hosts:\n"
            "  - limit: 1\n",
            "c.yaml:7: nonsense: unknown section\n"
            "c.yaml:8: sample: stands here a second time\n"
            "c.yaml:3: sample.colour: unknown option\n"
            "c.yaml:6: sample.count: stands here a second time\n"
            "c.yaml:2: sample.count: must be between 1 and 10\n"
            "c.yaml:5: sample.name: must be a string\n"
            "c.yaml:4: sample.tags: must be a list of strings\n"
            "c.yaml:10: hosts[0].name: is required\n");
}

static void wrong_shapes_are_told(void **state)
{
    struct fixture *f = *state;
    assert_problems(f, "- a\n", "c.yaml:1: the file must be a mapping of sections\n");
    assert_problems(f, "hosts: {}\n", "c.yaml:1: hosts: must be a list\n");
    assert_problems(f, "sample: 5\n", "c.yaml:1: sample: must be a mapping of options\n");
    assert_problems(f,
            "sample:\n  count: 3\n bad\n",
            "c.yaml:3: not valid YAML: did not find expected key\n");
    assert_problems(f,
            "sample: { name: \"a\\0b\" }\n",
            "c.yaml:1: sample.name: must not contain a NUL character\n");
    unlink(f->path);
}

static void empty_files_and_sections_mean_defaults(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = { "", "# nothing\n", "sample:\nhosts:\n" };
    for (size_t i = 0; i < 3; i++) {
        struct config *config = load(f, texts[i]);
        assert_non_null(config);
        config_destroy(config);
    }
}

static void missing_file_is_told(void **state)
{
    struct fixture *f = *state;
    struct buf why;
    buf_init(&why, 0);
    assert_null(config_load(f->path, sections, &why));
    assert_true(str_ends_with(
            buf_view(&why), STR("c.yaml: cannot be opened: No such file or directory\n")));
    buf_fini(&why);
}

static void checks_of_a_section_run_last(void **state)
{
    struct fixture *f = *state;
    assert_problems(f, "sample:\n  count: 9\n", "c.yaml:2: sample: nine is not a good count\n");
}

static void differences_are_found(void **state)
{
    struct fixture *f = *state;
    struct config *a = load(f, "hosts: [{ name: x }]\n");
    struct config *b = load(f, "hosts: [{ name: y }]\n");
    assert_true(config_differs(a, b, &section_hosts));
    assert_false(config_differs(a, b, &section_sample));
    config_destroy(b);
    b = load(f, "sample: { count: 2 }\n");
    assert_true(config_differs(a, b, &section_hosts));
    assert_true(config_differs(a, b, &section_sample));
    config_destroy(a);
    config_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_file_defaults_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(file_sets_sections_and_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(environment_wins_over_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(all_problems_are_told_with_their_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_shapes_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_files_and_sections_mean_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_file_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_of_a_section_run_last, setup, teardown),
        cmocka_unit_test_setup_teardown(differences_are_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Log records: form, escaping, privacy, full sinks. */
#include "chassis/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char path[64];
    char text[16384];
    struct log_options options;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .path = "/tmp/log_test.XXXXXX" };
    int fd = mkstemp(f.path);
    assert_true(fd >= 0);
    close(fd);
    f.options = (struct log_options){
        .level = LOG_LEVEL_INFO,
        .path = f.path,
        .program = "edge",
        .node = "edge-1",
    };
    log_open(&f.options);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    log_close();
    unlink(f->path);
    return 0;
}

/* What was logged, without the time stamp of the first record. */
static const char *logged(struct fixture *f)
{
    FILE *file = fopen(f->path, "re");
    assert_non_null(file);
    size_t len = fread(f->text, 1, sizeof(f->text) - 1, file);
    f->text[len] = '\0';
    fclose(file);
    const char *level = strstr(f->text, "level");
    return level != NULL ? level : f->text;
}

static void record_is_one_line_of_pairs(void **state)
{
    struct fixture *f = *state;
    log_info("link", "peer is up", log_cstr("peer", "router-1"), log_int("count", -3));
    assert_string_equal(logged(f),
            "level=info program=edge node=edge-1 category=link msg=\"peer is up\""
            " peer=router-1 count=-3\n");
    int year = 0;
    char zone = 0;
    assert_int_equal(sscanf(f->text, "time=%d-%*d-%*dT%*d:%*d:%*d.%*3d%c", &year, &zone), 2);
    assert_true(year >= 2024);
    assert_int_equal(zone, 'Z');
}

static void level_is_a_filter(void **state)
{
    struct fixture *f = *state;
    log_debug("link", "not seen");
    assert_string_equal(logged(f), "");
    assert_false(log_is_on(LOG_LEVEL_DEBUG));
    assert_true(log_is_on(LOG_LEVEL_WARN));
}

static void fields_cannot_forge_lines(void **state)
{
    struct fixture *f = *state;
    log_info("x", "m", log_cstr("a", "1\nlevel=error \"q\" \\ \x1b[31m \x7f"));
    log_info("x", "m", log_cstr("b", "\xc2\x9b \xe2\x80\xa8 \xc3\xa9"));
    log_info("x", "m", log_str("c", STR("bad \xff utf8 \0 nul")), log_cstr("d", ""));
    logged(f);
    assert_non_null(strstr(f->text, " a=\"1\\nlevel=error \\\"q\\\" \\\\ \\u001b[31m \\u007f\"\n"));
    assert_non_null(strstr(f->text, " b=\"\\u009b \\u2028 \xc3\xa9\"\n"));
    assert_non_null(strstr(f->text, " c=\"bad \\u00ff utf8 \\u0000 nul\" d=\"\"\n"));
}

static void json_records(void **state)
{
    struct fixture *f = *state;
    f->options.format = LOG_FORMAT_JSON;
    log_open(&f->options);
    log_warn("x", "m", log_cstr("a", "say \"hi\"\n"), log_int("n", 5));
    assert_string_equal(logged(f),
            "level\":\"warn\",\"program\":\"edge\",\"node\":\"edge-1\",\"category\":\"x\","
            "\"msg\":\"m\",\"a\":\"say \\\"hi\\\"\\n\",\"n\":5}\n");
    assert_memory_equal(f->text, "{\"time\":\"", 9);
}

static void jids_are_hashed_plain_or_left_out(void **state)
{
    struct fixture *f = *state;
    char first[13] = "";
    char second[13] = "";
    log_info("x", "m", log_jid("jid", STR("romeo@montague.example")));
    assert_null(strstr(logged(f), "romeo"));
    assert_int_equal(sscanf(strstr(f->text, "jid="), "jid=%12[0-9a-f]\n", first), 1);
    assert_int_equal(strlen(first), 12);
    log_info("x", "m", log_jid("same", STR("romeo@montague.example")));
    logged(f);
    assert_int_equal(sscanf(strstr(f->text, "same="), "same=%12[0-9a-f]\n", second), 1);
    assert_string_equal(first, second);

    f->options.jids = LOG_JIDS_PLAIN;
    log_open(&f->options);
    log_info("x", "m", log_jid("plain", STR("romeo@montague.example")));
    assert_non_null(strstr(logged(f), "plain=romeo@montague.example"));
    f->options.jids = LOG_JIDS_NONE;
    log_open(&f->options);
    log_info("x", "m", log_jid("none", STR("romeo@montague.example")));
    logged(f);
    assert_non_null(strstr(f->text, "none=-\n"));
}

static void long_fields_are_cut_and_long_records_stay_whole(void **state)
{
    struct fixture *f = *state;
    char text[2001];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct log_field fields[20];
    for (size_t i = 0; i < 20; i++) {
        fields[i] = log_cstr("k", text);
    }
    log_write(LOG_LEVEL_ERROR, "x", "m", fields, 20);
    logged(f);
    size_t len = strlen(f->text);
    assert_true(len <= 4096);
    assert_string_equal(f->text + len - 16, " truncated=true\n");
    assert_ptr_equal(strchr(f->text, '\n'), f->text + len - 1); /* the only line end */
}

static void reopening_follows_a_rotated_file(void **state)
{
    struct fixture *f = *state;
    char old_path[80];
    snprintf(old_path, sizeof(old_path), "%s.1", f->path);
    log_info("x", "before");
    assert_int_equal(rename(f->path, old_path), 0);
    log_open(&f->options);
    log_info("x", "after");
    assert_null(strstr(logged(f), "before"));
    assert_non_null(strstr(f->text, "msg=after"));
    unlink(old_path);
}

/* H08: nobody reads the pipe; records are dropped and counted, and nobody waits. */
static void full_sink_drops_and_counts(void **state)
{
    struct fixture *f = *state;
    unlink(f->path);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    int reader = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    log_open(&f->options);
    uint64_t before = log_dropped_total();
    for (int i = 0; i < 5000; i++) {
        log_info("x", "filling the pipe", log_int("i", i));
    }
    assert_true(log_dropped_total() > before);
    assert_true(log_dropped_total() - before < 5000);
    close(reader);
}

static void *log_many(void *context)
{
    (void)context;
    for (int i = 0; i < 500; i++) {
        log_info("thread", "record", log_int("i", i));
    }
    return NULL;
}

static void threads_do_not_mix_records(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    FILE *file = fopen(f->path, "re");
    char line[512];
    int lines = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        int number = -1;
        const char *tail = strstr(line, "msg=record i=");
        assert_non_null(tail);
        assert_int_equal(sscanf(tail, "msg=record i=%d\n", &number), 1);
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(record_is_one_line_of_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(level_is_a_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(fields_cannot_forge_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(json_records, setup, teardown),
        cmocka_unit_test_setup_teardown(jids_are_hashed_plain_or_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(
                long_fields_are_cut_and_long_records_stay_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(reopening_follows_a_rotated_file, setup, teardown),
        cmocka_unit_test_setup_teardown(full_sink_drops_and_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_do_not_mix_records, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

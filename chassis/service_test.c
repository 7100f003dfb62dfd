/* Whole lives of a small program, each in a child process. */
#include "chassis/service.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct demo_config {
    char *behaviour;
    int64_t number;
};

static const struct config_field demo_fields[] = {
    { "behaviour", CONFIG_STRING, offsetof(struct demo_config, behaviour), "", 0, 0, NULL, "B." },
    { "number", CONFIG_INT, offsetof(struct demo_config, number), "1", 1, 9, NULL, "N." },
    { .name = NULL },
};
static const struct config_section section_demo = {
    .name = "demo",
    .help = "The demo.",
    .fields = demo_fields,
    .size = sizeof(struct demo_config),
};

struct demo {
    struct service_context *service;
    const struct demo_config *config;
    struct timer timer;
    int step;
};

/* What happened, one letter each, reaches the parent through this pipe. */
static int events[2];

static void report(char c)
{
    assert_int_equal(write(events[1], &c, 1), 1);
}

static bool behaves(const struct demo *demo, const char *name)
{
    return strcmp(demo->config->behaviour, name) == 0;
}

static void demo_step(struct timer *timer, void *context)
{
    struct demo *demo = context;
    demo->step++;
    if (behaves(demo, "fail")) {
        service_fail(demo->service, "asked to");
        return;
    }
    /* Time enough for the signal before to be handled. */
    timer_start(loop_timers(service_loop(demo->service)), timer, 30);
    if (behaves(demo, "reload") && demo->step == 1) {
        raise(SIGHUP);
        return;
    }
    raise(SIGTERM);
}

static enum err demo_start(struct service_context *service, void **state_out)
{
    struct demo *demo = calloc(1, sizeof(*demo));
    demo->service = service;
    demo->config = config_get(service_config(service), &section_demo);
    if (behaves(demo, "refuse")) {
        free(demo);
        return ERR_UNAVAILABLE;
    }
    report(strcmp(service_node_name(service), "demo-7") == 0 ? 'S' : '?');
    report(service_boot_epoch(service) > 0 && http_server_port(service_http(service)) > 0 ? 'h'
                                                                                          : '?');
    timer_init(&demo->timer, demo_step, demo);
    timer_start(loop_timers(service_loop(service)), &demo->timer, 0);
    service_set_ready(service, true);
    *state_out = demo;
    return ERR_OK;
}

static void demo_reload(void *state, const struct config *config)
{
    (void)state;
    const struct demo_config *demo = config_get(config, &section_demo);
    report(demo->number == 1 ? 'R' : '?');
}

static void demo_drain(void *state)
{
    struct demo *demo = state;
    report('D');
    if (!behaves(demo, "hang") && !behaves(demo, "hang-long")) {
        service_drained(demo->service);
    } else if (behaves(demo, "hang")) {
        timer_stop(&demo->timer); /* no second signal: only the time-out is left */
    }
}

static void demo_stop(void *state)
{
    struct demo *demo = state;
    report('X');
    timer_stop(&demo->timer);
    free(demo);
}

static const struct config_section *const demo_sections[] = {
    &section_demo,
    &config_section_log, /* named again by the program: no harm */
    NULL,
};
static const struct service demo_service = {
    .name = "demo",
    .sections = demo_sections,
    .start = demo_start,
    .reload = demo_reload,
    .drain = demo_drain,
    .stop = demo_stop,
};

static char seen[64];

/* Runs the program in a child; its exit code. Standard output and error go nowhere. */
static int run(const char *yaml, const char *option)
{
    char path[] = "/tmp/service_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
    close(fd);
    assert_int_equal(pipe(events), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char program[] = "demo", node[] = "--node=demo-7", config[] = "--config", extra[64];
        snprintf(extra, sizeof(extra), "%s", option != NULL ? option : "--node=demo-7");
        char *argv[] = { program, node, config, path, extra, NULL };
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
        exit(service_main(&demo_service, 5, argv));
    }
    close(events[1]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    ssize_t count = read(events[0], seen, sizeof(seen) - 1);
    seen[count > 0 ? count : 0] = '\0';
    close(events[0]);
    unlink(path);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void drains_in_order_on_sigterm(void **state)
{
    (void)state;
    assert_int_equal(run("demo: {}\n", NULL), 0);
    assert_string_equal(seen, "ShDX");
}

static void reloads_on_sighup(void **state)
{
    (void)state;
    assert_int_equal(run("demo: { behaviour: reload }\n", NULL), 0);
    assert_string_equal(seen, "ShRDX");
}

static void second_signal_stops_at_once(void **state)
{
    (void)state;
    assert_int_equal(run("demo: { behaviour: hang-long }\n", NULL), 1);
    assert_string_equal(seen, "ShDX");
}

static void drain_timeout_ends_it(void **state)
{
    (void)state;
    assert_int_equal(
            run("process: { drain_timeout: 100ms }\ndemo: { behaviour: hang }\n", NULL), 1);
    assert_string_equal(seen, "ShDX");
}

static void failures_exit_with_one(void **state)
{
    (void)state;
    assert_int_equal(run("demo: { behaviour: fail }\n", NULL), 1);
    assert_string_equal(seen, "ShX");
    assert_int_equal(run("demo: { behaviour: refuse }\n", NULL), 1);
    assert_string_equal(seen, "");
    assert_int_equal(run("http: { address: nowhere }\n", NULL), 1);
}

static void bad_configuration_and_usage_exit_with_two(void **state)
{
    (void)state;
    assert_int_equal(run("demo: { number: 10 }\n", NULL), 2);
    assert_int_equal(run("http: { token_file: missing }\n", NULL), 2);
    assert_int_equal(run("process: { node: \"a b\" }\n", NULL), 2);
    assert_int_equal(run("demo: {}\n", "--unknown"), 2);
    assert_int_equal(run("demo: {}\n", "--node=a b"), 2);
    assert_int_equal(run("demo: {}\n", "operand"), 2);
    assert_string_equal(seen, "");
}

static void information_exits_with_zero_without_starting(void **state)
{
    (void)state;
    assert_int_equal(run("demo: {}\n", "--check-config"), 0);
    assert_int_equal(run("demo: {}\n", "--print-config"), 0);
    assert_int_equal(run("demo: {}\n", "--version"), 0);
    assert_string_equal(seen, "");
    assert_int_equal(run("demo: { number: 0 }\n", "--check-config"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drains_in_order_on_sigterm),
        cmocka_unit_test(reloads_on_sighup),
        cmocka_unit_test(second_signal_stops_at_once),
        cmocka_unit_test(drain_timeout_ends_it),
        cmocka_unit_test(failures_exit_with_one),
        cmocka_unit_test(bad_configuration_and_usage_exit_with_two),
        cmocka_unit_test(information_exits_with_zero_without_starting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

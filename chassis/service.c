/* The life of a process: read, start, run, drain, stop. */
#include "chassis/service.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/service_config.h"

enum {
    EXIT_DRAINED = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
};

/* ---- context */

struct service_context {
    const struct service *service;
    const struct config_section **sections; /* the chassis' and the program's, NULL-terminated */
    const char *config_path;
    const char *node_option;
    struct config *first_config; /* kept: parts that do not reload hold pointers into it */
    struct config *config;
    char *node_name;
    uint64_t boot_epoch;
    struct loop *loop;
    struct http_server *http;
    struct timer drain_timer;
    void *state;
    bool is_ready;
    bool is_draining;
    int exit_code;
};

struct loop *service_loop(struct service_context *context)
{
    return context->loop;
}

const struct config *service_config(struct service_context *context)
{
    return context->config;
}

struct http_server *service_http(struct service_context *context)
{
    return context->http;
}

const char *service_node_name(struct service_context *context)
{
    return context->node_name;
}

uint64_t service_boot_epoch(struct service_context *context)
{
    return context->boot_epoch;
}

void service_set_ready(struct service_context *context, bool is_ready)
{
    context->is_ready = is_ready;
}

void service_drained(struct service_context *context)
{
    loop_stop(context->loop);
}

void service_fail(struct service_context *context, const char *reason)
{
    log_error("service", "process failed", log_cstr("reason", reason));
    context->exit_code = EXIT_FAILED;
    loop_stop(context->loop);
}

/* ---- sections known to this program */

static bool has_section(
        const struct config_section **sections, size_t count, const struct config_section *section)
{
    for (size_t i = 0; i < count; i++) {
        if (sections[i] == section) {
            return true;
        }
    }
    return false;
}

static const struct config_section **collect_sections(const struct service *service)
{
    static const struct config_section *const own[] = {
        &config_section_process,
        &config_section_log,
        &config_section_http,
    };
    const size_t own_count = sizeof(own) / sizeof(own[0]);
    size_t count = 0;
    while (service->sections != NULL && service->sections[count] != NULL) {
        count++;
    }
    const struct config_section **sections =
            mem_calloc(own_count + count + 1, sizeof(struct config_section *));
    size_t used = 0;
    for (size_t i = 0; i < own_count + count; i++) {
        const struct config_section *section =
                i < own_count ? own[i] : service->sections[i - own_count];
        if (!has_section(sections, used, section)) {
            sections[used++] = section;
        }
    }
    return sections;
}

/* ---- configuration in force */

static void apply_log(const struct service_context *context)
{
    const struct log_config *log = config_get(context->config, &config_section_log);
    log_open(&(struct log_options){
            .level = (enum log_level)log->level,
            .format = (enum log_format)log->format,
            .jids = (enum log_jids)log->jids,
            .path = log->path,
            .program = context->service->name,
            .node = context->node_name,
    });
}

static void apply_token(const struct service_context *context)
{
    const struct http_config *http = config_get(context->config, &config_section_http);
    struct buf token;
    struct buf why;
    buf_init(&token, 0);
    buf_init(&why, 0);
    if (http->token_file[0] != '\0'
            && config_read_secret(http->token_file, &token, &why) != ERR_OK) {
        /* The old token stays in force. */
        log_error("service", "token file is not usable", log_str("why", buf_view(&why)));
    } else {
        http_server_set_token(context->http, buf_view(&token));
    }
    buf_fini_secret(&token);
    buf_fini(&why);
}

static void log_problems(struct str problems)
{
    while (!str_is_empty(problems)) {
        struct str line = str_cut(&problems, '\n');
        log_error("service", "configuration is not valid", log_str("why", line));
    }
}

static void log_needed_restarts(const struct service_context *context, const struct config *config)
{
    for (size_t i = 0; context->sections[i] != NULL; i++) {
        const struct config_section *section = context->sections[i];
        if (!section->may_reload && config_differs(context->first_config, config, section)) {
            log_warn("service", "change needs a restart", log_cstr("section", section->name));
        }
    }
}

static void on_reload(void *data, int signum)
{
    (void)signum;
    struct service_context *context = data;
    struct buf why;
    buf_init(&why, 0);
    struct config *config = config_load(context->config_path, context->sections, &why);
    if (config == NULL) {
        log_problems(buf_view(&why));
        buf_fini(&why);
        return;
    }
    buf_fini(&why);
    struct config *old = context->config;
    context->config = config;
    apply_log(context);
    log_needed_restarts(context, config);
    apply_token(context);
    if (context->service->reload != NULL) {
        context->service->reload(context->state, config);
    }
    if (old != context->first_config) {
        config_destroy(old);
    }
    log_info("service", "configuration reloaded");
}

/* ---- draining */

static void on_drain_timeout(struct timer *timer, void *data)
{
    (void)timer;
    struct service_context *context = data;
    log_warn("service", "drain took too long, stopping");
    context->exit_code = EXIT_FAILED;
    loop_stop(context->loop);
}

static void on_terminate(void *data, int signum)
{
    struct service_context *context = data;
    if (context->is_draining) {
        log_warn("service", "second signal, stopping at once", log_int("signal", signum));
        context->exit_code = EXIT_FAILED;
        loop_stop(context->loop);
        return;
    }
    const struct process_config *process = config_get(context->config, &config_section_process);
    context->is_draining = true;
    log_info("service", "draining", log_int("signal", signum));
    timer_start(loop_timers(context->loop), &context->drain_timer, process->drain_timeout_ms);
    if (context->service->drain != NULL) {
        context->service->drain(context->state);
    } else {
        service_drained(context);
    }
}

/* ---- the inner port */

static void answer_health(
        void *data, const struct http_request *request, struct http_response *response)
{
    (void)data;
    (void)request;
    response->content_type = "text/plain";
    buf_append_literal(&response->body, "ok\n");
}

static void answer_ready(
        void *data, const struct http_request *request, struct http_response *response)
{
    (void)request;
    const struct service_context *context = data;
    bool is_ready = context->is_ready && !context->is_draining;
    response->status = is_ready ? 200 : 503;
    response->content_type = "text/plain";
    buf_append_str(&response->body, is_ready ? STR("ready\n") : STR("not ready\n"));
}

static void answer_metrics(
        void *data, const struct http_request *request, struct http_response *response)
{
    (void)data;
    (void)request;
    response->content_type = "text/plain; version=0.0.4";
    metrics_write(&response->body);
}

static enum err open_http(struct service_context *context)
{
    const struct http_config *http = config_get(context->config, &config_section_http);
    enum err err =
            http_server_open(context->loop, http->address, (uint16_t)http->port, &context->http);
    if (err != ERR_OK) {
        log_error("service",
                "inner port cannot be opened",
                log_cstr("address", http->address),
                log_int("port", http->port),
                log_cstr("error", err_name(err)));
        return err;
    }
    apply_token(context);
    http_server_route(context->http, "GET", "/healthz", false, answer_health, context);
    http_server_route(context->http, "GET", "/readyz", false, answer_ready, context);
    http_server_route(context->http, "GET", "/metrics", false, answer_metrics, context);
    return ERR_OK;
}

/* ---- the process */

/* Memory holds keys and messages: no core files, no ptrace by others. Test builds stay open for
 * sanitizers and debuggers. */
static void harden_process(void)
{
#ifndef STARLING_TEST_BUILD
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static char *choose_node_name(const struct service_context *context)
{
    const struct process_config *process = config_get(context->config, &config_section_process);
    if (context->node_option != NULL) {
        return str_to_cstr(str_from_cstr(context->node_option));
    }
    if (process->node[0] != '\0') {
        return str_to_cstr(str_from_cstr(process->node));
    }
    char host[64] = "localhost";
    struct buf name;
    gethostname(host, sizeof(host) - 1);
    buf_init(&name, 0);
    buf_printf(&name, "%s-%s", context->service->name, host);
    struct str text = buf_view(&name);
    char *node_name = str_to_cstr(
            text.len > SERVICE_NODE_NAME_MAX ? str_from(text.ptr, SERVICE_NODE_NAME_MAX) : text);
    buf_fini(&name);
    return node_name;
}

static const char *pid_file_of(const struct service_context *context)
{
    const struct process_config *process =
            config_get(context->first_config, &config_section_process);
    return process->pid_file;
}

static void write_pid_file(const struct service_context *context)
{
    const char *path = pid_file_of(context);
    if (path[0] == '\0') {
        return;
    }
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        log_warn("service", "pid file cannot be written", log_cstr("path", path));
        return;
    }
    fprintf(file, "%ld\n", (long)getpid());
    fclose(file);
}

static void run_started(struct service_context *context)
{
    write_pid_file(context);
    log_info("service",
            "started",
            log_cstr("version", STARLING_VERSION),
            log_int("pid", getpid()),
            log_int("http_port", http_server_port(context->http)),
            log_int("boot_epoch", context->boot_epoch));
    loop_run(context->loop);
    service_set_ready(context, false);
    timer_stop(&context->drain_timer);
    if (context->service->stop != NULL) {
        context->service->stop(context->state);
    }
    log_info("service", "stopped", log_int("exit_code", context->exit_code));
    if (pid_file_of(context)[0] != '\0') {
        unlink(pid_file_of(context));
    }
}

static int service_run(struct service_context *context)
{
    context->node_name = choose_node_name(context);
    context->boot_epoch = (uint64_t)clock_system.wall_us(clock_system.context);
    harden_process();
    context->loop = loop_create(&clock_system);
    apply_log(context);
    metrics_set_prefix(context->service->name);
    timer_init(&context->drain_timer, on_drain_timeout, context);
    if (open_http(context) != ERR_OK) {
        context->exit_code = EXIT_FAILED;
    } else {
        enum err err = context->service->start(context, &context->state);
        if (err == ERR_OK) {
            loop_on_signal(context->loop, SIGTERM, on_terminate, context);
            loop_on_signal(context->loop, SIGINT, on_terminate, context);
            loop_on_signal(context->loop, SIGHUP, on_reload, context);
            run_started(context);
        } else {
            log_error("service", "start failed", log_cstr("error", err_name(err)));
            context->exit_code = EXIT_FAILED;
        }
    }
    http_server_close(context->http);
    loop_destroy(context->loop);
    log_close();
    free(context->node_name);
    return context->exit_code;
}

/* ---- options */

static const char usage[] =
        "usage: %s --config FILE [--node NAME] [--check-config] [--print-config] [--version]\n";

struct options {
    const char *config_path;
    const char *node;
    bool is_check, is_print, is_version;
};

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option table[] = {
        { "config", required_argument, NULL, 'c' },
        { "node", required_argument, NULL, 'n' },
        { "check-config", no_argument, NULL, 'k' },
        { "print-config", no_argument, NULL, 'p' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    int option = 0;
    optind = 0; /* service_main may run more than once in a test */
    while ((option = getopt_long(argc, argv, "c:n:v", table, NULL)) != -1) {
        switch (option) {
        case 'c': options->config_path = optarg; break;
        case 'n': options->node = optarg; break;
        case 'k': options->is_check = true; break;
        case 'p': options->is_print = true; break;
        case 'v': options->is_version = true; break;
        default: return false;
        }
    }
    return optind == argc && (options->node == NULL || service_is_node_name(options->node));
}

static int print_reference(const struct config_section **sections)
{
    struct buf out;
    buf_init(&out, 0);
    config_print_reference(sections, &out);
    fwrite(out.data + out.start, 1, out.len, stdout);
    buf_fini(&out);
    return EXIT_DRAINED;
}

static int load_and_run(struct service_context *context, const struct options *options)
{
    struct buf why;
    buf_init(&why, 0);
    context->config_path = options->config_path;
    context->node_option = options->node;
    context->config = config_load(options->config_path, context->sections, &why);
    context->first_config = context->config;
    int exit_code = EXIT_USAGE;
    if (context->config == NULL) {
        fprintf(stderr, STR_FMT, STR_ARG(buf_view(&why)));
    } else if (options->is_check) {
        puts("configuration is valid");
        exit_code = EXIT_DRAINED;
    } else {
        exit_code = service_run(context);
    }
    buf_fini(&why);
    if (context->config != context->first_config) {
        config_destroy(context->config);
    }
    config_destroy(context->first_config);
    return exit_code;
}

int service_main(const struct service *service, int argc, char **argv)
{
    struct options options = { 0 };
    if (!parse_options(argc, argv, &options)) {
        fprintf(stderr, usage, service->name);
        return EXIT_USAGE;
    }
    if (options.is_version) {
        printf("starling %s %s\n", service->name, STARLING_VERSION);
        return EXIT_DRAINED;
    }
    struct service_context context = {
        .service = service,
        .sections = collect_sections(service),
    };
    int exit_code = EXIT_USAGE;
    if (options.is_print) {
        exit_code = print_reference(context.sections);
    } else if (options.config_path == NULL) {
        fprintf(stderr, usage, service->name);
    } else {
        exit_code = load_and_run(&context, &options);
    }
    free(context.sections);
    return exit_code;
}

/* The one main() of every program: options, configuration, log, metrics, inner HTTP port, loop,
 * signals, drain. A program hands it a struct service and implements the hooks.
 *
 *   PROGRAM --config FILE [--node NAME] [--check-config] [--print-config] [--version]
 *
 * Exit codes: 0 drained in order, 1 failed at run time, 2 wrong usage or configuration. */
#pragma once

#include "chassis/config.h"
#include "chassis/http_server.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"

struct service_context; /* opaque */

struct service {
    const char *name; /* "edge" */
    const struct config_section *const
            *sections; /* this program's own, NULL-terminated; chassis adds its own */
    /* Starts everything. `state_out` is handed to the other hooks. An error ends the program
     * with 1. */
    enum err (*start)(struct service_context *service, void **state_out);
    void (*reload)(void *state,
            const struct config
                    *config);   /* SIGHUP; the new config is valid from now on; may be NULL */
    void (*drain)(void *state); /* SIGTERM: stop accepting; call service_drained when done */
    void (*stop)(void *state);  /* frees everything; the loop has ended */
};

int service_main(const struct service *service, int argc, char **argv);

struct loop *service_loop(struct service_context *service);
const struct config *service_config(struct service_context *service);
struct http_server *service_http(struct service_context *service); /* inner port: add routes here */
const char *service_node_name(struct service_context *service);
uint64_t service_boot_epoch(
        struct service_context *service); /* wall microseconds at start: grows with every boot */

/* /readyz says 200 only while ready. Starts as not ready. */
void service_set_ready(struct service_context *service, bool is_ready);
/* The answer to `drain`; ends the loop, then the process with 0. `process.drain_timeout` ends it in
 * any case. */
void service_drained(struct service_context *service);
/* Ends the loop at once, exit code 1. */
void service_fail(struct service_context *service, const char *reason);

/* Failpoints, only in test builds (STARLING_TEST_BUILD): STARLING_FAILPOINT="name[:count]" kills
 * the process with SIGKILL when the count-th passage is reached. Compiles to nothing otherwise. */
#ifdef STARLING_TEST_BUILD
void failpoint(const char *name);
/* Counts a passage like failpoint(). True: this is the one, and the caller has to die of SIGKILL.
 */
bool failpoint_is_due(const char *name);
#else
#    define failpoint(name)        ((void)(name))
#    define failpoint_is_due(name) ((void)(name), false)
#endif

/* The chassis' own sections: process, log, http, bus, redis, postgres (all programs know them). */
extern const struct config_section config_section_process;
extern const struct config_section config_section_log;
extern const struct config_section config_section_http;

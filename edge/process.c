/* Start, reload, drain and stop of an edge. */
#include "edge/process.h"

#include <signal.h>

#include "chassis/base/mem.h"
#include "edge/auth_throttle.h"
#include "edge/bus.h"
#include "edge/downlink.h"
#include "edge/drain.h"
#include "edge/edge.h"
#include "edge/host_caps.h"
#include "edge/listeners.h"
#include "edge/session_table.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"
#include "edge/streams_report.h"
#include "edge/uplink.h"

#define FIRST_MAP_WAIT_MS 2000

struct process {
    struct edge edge;
    struct timer first_map_timer;
    struct metric certificate_days;
};

static struct metric reload_failures_total = METRIC_COUNTER_INIT(
        "reload_failures_total", "Reloads of which a part was refused; the old one is kept.", NULL);

static void log_why(const char *message, struct buf *why)
{
    log_error("edge", message, log_str("why", str_trim(buf_view(why))));
    buf_fini(why);
}

/* ---- certificates */

static int64_t read_certificate_days(void *context)
{
    const struct edge *edge = context;
    return edge->tls ? tls_context_days_remaining(edge->tls) : 0;
}

static enum err load_certificates(struct edge *edge, struct buf *why)
{
    struct tls_context *tls = NULL;
    if (edge->settings->tls.certificate_count == 0) {
        log_warn("edge", "no certificates: TLS is not offered");
        return ERR_OK;
    }
    enum err err = tls_context_create(&edge->settings->tls, why, &tls);
    if (err == ERR_OK) {
        tls_context_unref(edge->tls); /* running connections hold their own reference */
        edge->tls = tls;
    }
    return err;
}

/* ---- ready */

static void open_listeners(struct process *process)
{
    struct edge *edge = &process->edge;
    if (listeners_are_open(edge->listeners)) {
        return;
    }
    struct buf why;
    buf_init(&why, 0);
    if (listeners_open(edge->listeners, &why) != ERR_OK) {
        log_why("cannot open the listeners", &why);
        service_fail(edge->service, "cannot open the listeners");
    }
}

static void on_first_map(void *context)
{
    struct process *process = context;
    timer_stop(&process->first_map_timer);
    open_listeners(process);
    service_set_ready(process->edge.service, true);
}

/* Without a router clients may connect all the same; they learn by temporary-auth-failure that they
 * have to wait, and other edges are not better off. */
static void on_first_map_timeout(struct timer *timer, void *context)
{
    (void)timer;
    log_warn("edge", "no router has told the shard map yet");
    open_listeners(context);
}

/* ---- inner port */

static void answer_drain(
        void *context, const struct http_request *request, struct http_response *response)
{
    (void)context;
    (void)request;
    buf_append_literal(&response->body, "{\"draining\":true}\n");
    response->status = 202;
    /* The same way as from outside, so that the same deadline holds. */
    (void)raise(SIGTERM);
}

/* ---- hooks */

static struct process *process_create(struct service_context *context, struct buf *why)
{
    struct process *process = MEM_NEW(struct process);
    struct edge *edge = &process->edge;
    edge->service = context;
    edge->loop = service_loop(context);
    edge->node = service_node_name(context);
    edge->boot_epoch = service_boot_epoch(context);
    timer_init(&process->first_map_timer, on_first_map_timeout, process);
    process->certificate_days = (struct metric)METRIC_GAUGE_INIT(
            "certificate_days_remaining", "Until the first certificate expires.", NULL);
    process->certificate_days.read = read_certificate_days;
    process->certificate_days.context = edge;
    edge->settings = settings_create(service_config(context), why);
    if (!edge->settings) {
        free(process);
        return NULL;
    }
    edge->throttle = auth_throttle_create();
    edge->sessions = session_table_create(edge->settings->shards);
    edge->listeners = listeners_create(edge);
    edge->host_caps = host_caps_create();
    edge->uplink = uplink_create(edge);
    edge->downlink = downlink_create(edge);
    edge->drain = drain_create(edge);
    return process;
}

enum err process_start(struct service_context *context, void **state_out)
{
    struct buf why;
    buf_init(&why, 0);
    struct process *process = process_create(context, &why);
    if (!process) {
        log_why("unusable configuration", &why);
        return ERR_INVALID;
    }
    struct edge *edge = &process->edge;
    enum err err = load_certificates(edge, &why);
    if (err == ERR_OK) {
        err = bus_open(edge, &why);
    }
    if (err != ERR_OK) {
        log_why("cannot start", &why);
        process_stop(process);
        return err;
    }
    stream_metrics_register();
    metric_register(&process->certificate_days);
    metric_register(&reload_failures_total);
    streams_report_route(edge);
    http_server_route(service_http(context), "POST", "/v1/drain", true, answer_drain, edge);
    uplink_on_first_map(edge->uplink, on_first_map, process);
    timer_start(loop_timers(edge->loop), &process->first_map_timer, FIRST_MAP_WAIT_MS);
    *state_out = process;
    return ERR_OK;
}

/* What cannot be used is left as it was, and said (H06). */
void process_reload(void *state, const struct config *config)
{
    struct process *process = state;
    struct edge *edge = &process->edge;
    struct buf why;
    buf_init(&why, 0);
    if (settings_reload(edge->settings, config, &why) != ERR_OK) {
        metric_add(&reload_failures_total, 1);
        log_why("configuration refused, the old one is kept", &why);
        return;
    }
    if (load_certificates(edge, &why) != ERR_OK) {
        metric_add(&reload_failures_total, 1);
        log_why("certificates refused, the old ones are kept", &why);
    }
    listeners_set_limits(edge->listeners);
    log_info("edge", "reloaded");
}

void process_drain(void *state)
{
    struct process *process = state;
    timer_stop(&process->first_map_timer);
    drain_start(process->edge.drain);
}

void process_stop(void *state)
{
    struct process *process = state;
    if (!process) {
        return;
    }
    struct edge *edge = &process->edge;
    timer_stop(&process->first_map_timer);
    while (edge->streams) {
        stream_abandon(edge->streams);
    }
    transport_abandon_finishing(edge->loop);
    bus_close(edge); /* flushes what the streams' ends have said */
    drain_destroy(edge->drain);
    downlink_destroy(edge->downlink);
    uplink_destroy(edge->uplink);
    host_caps_destroy(edge->host_caps);
    session_table_destroy(edge->sessions);
    listeners_destroy(edge->listeners);
    auth_throttle_destroy(edge->throttle);
    tls_context_unref(edge->tls);
    settings_destroy(edge->settings);
    free(process);
}

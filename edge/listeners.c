/* Opens the configured ports and turns what they accept into streams. */
#include "edge/listeners.h"

#include <unistd.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "edge/edge.h"
#include "edge/stream.h"
#include "edge/stream_metrics.h"

#define BACKLOG 1024

struct port {
    struct listeners *listeners;
    struct listener *listener;
    enum listener_kind kind;
};

struct listeners {
    struct edge *edge;
    struct listener_limits *limits;
    struct port *ports;
    size_t count; /* open ones */
};

static struct listener_limit_options limit_options(const struct edge *edge)
{
    const struct c2s_settings *c2s = edge->settings->c2s;
    return (struct listener_limit_options){
        .max_connections = c2s->max_connections,
        .max_connections_per_address = c2s->max_connections_per_address,
        .max_attempts_per_minute = c2s->max_attempts_per_minute,
    };
}

struct listeners *listeners_create(struct edge *edge)
{
    struct listener_limit_options options = limit_options(edge);
    struct listeners *listeners = MEM_NEW(struct listeners);
    listeners->edge = edge;
    listeners->limits = listener_limits_create(edge->loop, &options);
    listeners->ports = mem_calloc(edge->settings->listener_count + 1, sizeof(struct port));
    return listeners;
}

static void on_accepted(void *context, int fd, const struct peer_address *address)
{
    const struct port *port = context;
    stream_metrics_accepted(port->kind);
    stream_open(port->listeners->edge, fd, address, port->kind);
}

static const char *address_of(const struct listener_setting *setting)
{
    if (setting->address[0] != '\0') {
        return setting->address;
    }
    bool is_for_clients = setting->kind == LISTENER_C2S || setting->kind == LISTENER_C2S_TLS;
    return is_for_clients ? "::" : "127.0.0.1";
}

static enum err open_port(
        struct listeners *listeners, const struct listener_setting *setting, struct buf *why)
{
    struct port *port = &listeners->ports[listeners->count];
    enum listener_kind kind = (enum listener_kind)setting->kind;
    bool wants_tls = kind == LISTENER_C2S_TLS || kind == LISTENER_COMPONENT_TLS;
    *port = (struct port){ .listeners = listeners, .kind = kind };
    if (wants_tls && !listeners->edge->tls) {
        buf_printf(why, "listener %s wants a certificate", listener_kind_name(kind));
        return ERR_INVALID;
    }
    const char *address = address_of(setting);
    const struct listener_options options = {
        .address = address,
        .port = (uint16_t)setting->port,
        .backlog = BACKLOG,
        .proxy_networks = &setting->proxy_networks,
        .proxy_timeout_ms = listeners->edge->settings->c2s->proxy_timeout_ms,
    };
    enum err err = listener_open(
            listeners->edge->loop, &options, listeners->limits, on_accepted, port, &port->listener);
    if (err != ERR_OK) {
        buf_printf(why,
                "cannot listen on %s port %lld: %s",
                address,
                (long long)setting->port,
                err_name(err));
        return err;
    }
    listeners->count++;
    log_info("listener",
            "listening",
            log_cstr("kind", listener_kind_name(kind)),
            log_cstr("address", address),
            log_int("port", listener_port(port->listener)));
    return ERR_OK;
}

enum err listeners_open(struct listeners *listeners, struct buf *why)
{
    const struct settings *settings = listeners->edge->settings;
    for (size_t i = 0; i < settings->listener_count; i++) {
        enum err err = open_port(listeners, &settings->listeners[i], why);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

bool listeners_are_open(const struct listeners *listeners)
{
    return listeners->count > 0;
}

void listeners_pause(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        listener_pause(listeners->ports[i].listener);
    }
}

void listeners_set_limits(struct listeners *listeners)
{
    struct listener_limit_options options = limit_options(listeners->edge);
    listener_limits_set(listeners->limits, &options);
}

void listeners_release(struct listeners *listeners, const struct peer_address *address)
{
    listener_limits_release(listeners->limits, address);
}

void listeners_destroy(struct listeners *listeners)
{
    if (!listeners) {
        return;
    }
    for (size_t i = 0; i < listeners->count; i++) {
        listener_close(listeners->ports[i].listener);
    }
    listener_limits_destroy(listeners->limits);
    free(listeners->ports);
    free(listeners);
}

/* The inner HTTP port over libmicrohttpd. Its epoll descriptor is watched by our loop, so handlers
 * run on the loop thread like everything else. */
#include "chassis/http_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/loop.h"

enum {
    HTTP_MAX_BODY = 64 * 1024,
    HTTP_MAX_DISCARDED = 1024 * 1024, /* of a body too large, before the connection is cut */
    HTTP_MAX_CONNECTIONS = 64,
    HTTP_MAX_HEADERS = 16 * 1024,
    HTTP_TIMEOUT_SECONDS = 10,
};

struct http_route {
    struct http_route *next;
    char *method;
    char *path;
    bool needs_token;
    http_handler handler;
    void *context;
};

struct http_server {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_watch *watch;
    struct timer timer;
    struct http_route *routes;
    struct buf token;
};

/* One request between its first line and its answer. */
struct http_exchange {
    struct buf query;
    struct buf body;
    size_t received_bytes;
    bool is_started;
};

/* ---- the loop */

static void server_run(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    MHD_run(server->daemon);
    if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES) {
        timer_start(loop_timers(server->loop), &server->timer, (int64_t)timeout_ms);
    } else {
        timer_stop(&server->timer);
    }
}

static void on_readable(void *context, unsigned events)
{
    (void)events;
    server_run(context);
}

static void on_timer(struct timer *timer, void *context)
{
    (void)timer;
    server_run(context);
}

/* ---- answering */

static enum MHD_Result send_response(
        struct MHD_Connection *connection, const struct http_response *response, const char *allow)
{
    struct str body = buf_view(&response->body);
    /* libmicrohttpd copies the bytes; its older interface wants a pointer without const. */
    void *bytes = body.len > 0 ? response->body.data + response->body.start : NULL;
    struct MHD_Response *mhd =
            MHD_create_response_from_buffer(body.len, bytes, MHD_RESPMEM_MUST_COPY);
    if (mhd == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(mhd, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type);
    MHD_add_response_header(mhd, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(mhd, "X-Content-Type-Options", "nosniff");
    if (allow != NULL) {
        MHD_add_response_header(mhd, MHD_HTTP_HEADER_ALLOW, allow);
    }
    if (response->status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(mhd, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    enum MHD_Result result = MHD_queue_response(connection, response->status, mhd);
    MHD_destroy_response(mhd);
    return result;
}

static enum MHD_Result send_error(
        struct MHD_Connection *connection, unsigned status, const char *error, const char *allow)
{
    struct http_response response = { .status = status, .content_type = "application/json" };
    buf_init(&response.body, 0);
    buf_printf(&response.body, "{\"error\":\"%s\"}\n", error);
    enum MHD_Result result = send_response(connection, &response, allow);
    buf_fini(&response.body);
    return result;
}

/* libmicrohttpd cuts the body of an answer to HEAD by itself. */
static bool route_has_method(const struct http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0
            || (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static const struct http_route *find_route(const struct http_server *server,
        const char *method,
        const char *path,
        const struct http_route **same_path_out)
{
    *same_path_out = NULL;
    for (const struct http_route *route = server->routes; route != NULL; route = route->next) {
        if (strcmp(route->path, path) == 0) {
            *same_path_out = route;
            if (route_has_method(route, method)) {
                return route;
            }
        }
    }
    return NULL;
}

/* 200, or why the request must not pass. */
static unsigned check_token(const struct http_server *server, struct MHD_Connection *connection)
{
    if (server->token.len == 0) {
        return MHD_HTTP_FORBIDDEN;
    }
    struct str header = str_from_cstr(MHD_lookup_connection_value(
            connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION));
    struct str scheme = str_cut(&header, ' ');
    bool is_good = str_equal_nocase(scheme, STR("Bearer"))
            && str_equal_secret(str_trim(header), buf_view(&server->token));
    return is_good ? MHD_HTTP_OK : MHD_HTTP_UNAUTHORIZED;
}

static enum MHD_Result answer(struct http_server *server,
        struct MHD_Connection *connection,
        const char *method,
        const char *path,
        const struct http_exchange *exchange)
{
    const struct http_route *same_path = NULL;
    const struct http_route *route = find_route(server, method, path, &same_path);
    if (same_path == NULL) {
        return send_error(connection, MHD_HTTP_NOT_FOUND, "not-found", NULL);
    }
    if (route == NULL) {
        return send_error(
                connection, MHD_HTTP_METHOD_NOT_ALLOWED, "method-not-allowed", same_path->method);
    }
    unsigned status = route->needs_token ? check_token(server, connection) : MHD_HTTP_OK;
    if (status != MHD_HTTP_OK) {
        return send_error(connection, status, "not-authorized", NULL);
    }
    if (exchange->body.overflowed) {
        return send_error(connection, MHD_HTTP_CONTENT_TOO_LARGE, "too-large", NULL);
    }
    struct http_request request = {
        .method = str_from_cstr(method),
        .path = str_from_cstr(path),
        .query = buf_view(&exchange->query),
        .body = buf_view(&exchange->body),
    };
    struct http_response response = { .status = 200, .content_type = "application/json" };
    buf_init(&response.body, 0);
    route->handler(route->context, &request, &response);
    enum MHD_Result result = send_response(connection, &response, NULL);
    buf_fini(&response.body);
    return result;
}

/* ---- requests */

/* The only place where libmicrohttpd shows the query as it came. */
static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    (void)context;
    (void)connection;
    struct http_exchange *exchange = MEM_NEW(struct http_exchange);
    struct str query = str_from_cstr(uri);
    buf_init(&exchange->query, 0);
    buf_init(&exchange->body, HTTP_MAX_BODY);
    str_cut(&query, '?');
    buf_append_str(&exchange->query, query);
    return exchange;
}

static void on_completed(void *context,
        struct MHD_Connection *connection,
        void **exchange_ptr,
        enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    struct http_exchange *exchange = *exchange_ptr;
    if (exchange != NULL) {
        buf_fini(&exchange->query);
        buf_fini(&exchange->body);
        free(exchange);
        *exchange_ptr = NULL;
    }
}

/* Paths are compared as they came: no second spelling of a path exists (E13). */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static bool announces_too_much(struct MHD_Connection *connection)
{
    uint64_t length = 0;
    struct str header = str_from_cstr(MHD_lookup_connection_value(
            connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH));
    return str_to_u64(header, &length) && length > HTTP_MAX_BODY;
}

static enum MHD_Result on_request(void *context,
        struct MHD_Connection *connection,
        const char *path,
        const char *method,
        const char *version,
        const char *upload,
        size_t *upload_len,
        void **exchange_ptr)
{
    (void)version;
    struct http_exchange *exchange = *exchange_ptr;
    if (!exchange->is_started) {
        exchange->is_started = true;
        if (announces_too_much(connection)) {
            return send_error(connection, MHD_HTTP_CONTENT_TOO_LARGE, "too-large", NULL);
        }
        return MHD_YES;
    }
    if (*upload_len > 0) {
        exchange->received_bytes += *upload_len;
        buf_append(&exchange->body, upload, *upload_len);
        *upload_len = 0;
        return exchange->received_bytes <= HTTP_MAX_DISCARDED ? MHD_YES : MHD_NO;
    }
    return answer(context, connection, method, path, exchange);
}

/* ---- opening */

struct listen_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
};

static enum err parse_address(const char *address, uint16_t port, struct listen_address *out)
{
    struct listen_address parsed = { 0 };
    if (inet_pton(AF_INET, address, &parsed.u.v4.sin_addr) == 1) {
        parsed.u.v4.sin_family = AF_INET;
        parsed.u.v4.sin_port = htons(port);
    } else if (inet_pton(AF_INET6, address, &parsed.u.v6.sin6_addr) == 1) {
        parsed.u.v6.sin6_family = AF_INET6;
        parsed.u.v6.sin6_port = htons(port);
    } else {
        return ERR_INVALID;
    }
    *out = parsed;
    return ERR_OK;
}

static struct MHD_Daemon *start_daemon(
        struct http_server *server, const struct listen_address *address, uint16_t port)
{
    unsigned flags = MHD_USE_EPOLL | (address->u.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0U);
    return MHD_start_daemon(flags,
            port,
            NULL,
            NULL,
            on_request,
            server,
            MHD_OPTION_SOCK_ADDR,
            &address->u.any,
            MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)HTTP_MAX_CONNECTIONS,
            MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)HTTP_TIMEOUT_SECONDS,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            (size_t)HTTP_MAX_HEADERS,
            MHD_OPTION_URI_LOG_CALLBACK,
            on_uri,
            NULL,
            MHD_OPTION_UNESCAPE_CALLBACK,
            keep_escapes,
            NULL,
            MHD_OPTION_NOTIFY_COMPLETED,
            on_completed,
            NULL,
            MHD_OPTION_END);
}

enum err http_server_open(
        struct loop *loop, const char *address, uint16_t port, struct http_server **server_out)
{
    struct listen_address listen_address;
    enum err err = parse_address(address, port, &listen_address);
    if (err != ERR_OK) {
        return err;
    }
    struct http_server *server = MEM_NEW(struct http_server);
    server->loop = loop;
    server->daemon = start_daemon(server, &listen_address, port);
    if (server->daemon == NULL) {
        free(server);
        return ERR_UNAVAILABLE;
    }
    const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    ASSERT(info != NULL);
    buf_init(&server->token, 0);
    timer_init(&server->timer, on_timer, server);
    server->watch = loop_watch_create(loop, info->epoll_fd, on_readable, server);
    loop_watch_set(server->watch, LOOP_READABLE);
    *server_out = server;
    return ERR_OK;
}

uint16_t http_server_port(const struct http_server *server)
{
    const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    ASSERT(info != NULL);
    return info->port;
}

void http_server_close(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    timer_stop(&server->timer);
    loop_watch_destroy(server->watch);
    MHD_stop_daemon(server->daemon);
    while (server->routes != NULL) {
        struct http_route *route = server->routes;
        server->routes = route->next;
        free(route->method);
        free(route->path);
        free(route);
    }
    buf_fini_secret(&server->token);
    free(server);
}

void http_server_route(struct http_server *server,
        const char *method,
        const char *path,
        bool needs_token,
        http_handler handler,
        void *context)
{
    struct http_route *route = MEM_NEW(struct http_route);
    route->method = str_to_cstr(str_from_cstr(method));
    route->path = str_to_cstr(str_from_cstr(path));
    route->needs_token = needs_token;
    route->handler = handler;
    route->context = context;
    route->next = server->routes;
    server->routes = route;
}

void http_server_set_token(struct http_server *server, struct str token)
{
    buf_clear(&server->token);
    buf_append_str(&server->token, token);
}

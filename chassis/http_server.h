/* The inner HTTP port: /metrics, /healthz, /readyz and a few JSON verbs for starlingctl;
 * libmicrohttpd inside the loop. It listens on an inner address only (E13). Requests are small:
 * bodies over 64 KiB are refused with 413. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

struct loop;
struct http_server;

struct http_request {
    struct str method; /* "GET", "POST" */
    struct str path;   /* without query */
    struct str query;  /* raw, behind '?' */
    struct str body;
};

struct http_response {
    unsigned status;          /* preset to 200 */
    const char *content_type; /* preset to application/json */
    struct buf body;
};

typedef void (*http_handler)(
        void *context, const struct http_request *request, struct http_response *response);

/* `address` is numeric, e.g. "127.0.0.1"; `port` 0 chooses one. */
MUST_USE enum err http_server_open(
        struct loop *loop, const char *address, uint16_t port, struct http_server **server_out);
uint16_t http_server_port(const struct http_server *server);
void http_server_close(struct http_server *server); /* accepts NULL */

/* `path` exact. With `needs_token` the request must carry "Authorization: Bearer <token>"
 * (http.token_file); without a configured token such routes answer 403 to everybody. */
void http_server_route(struct http_server *server,
        const char *method,
        const char *path,
        bool needs_token,
        http_handler handler,
        void *context);
void http_server_set_token(struct http_server *server, struct str token);

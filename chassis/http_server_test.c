/* The inner HTTP port, spoken to over a real socket by a thread. */
#include "chassis/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/loop.h"

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct loop_wake *wake;
    uint16_t port;
    struct buf request;
    struct buf answer;
    unsigned handled;
};

static void echo(void *context, const struct http_request *request, struct http_response *response)
{
    struct fixture *f = context;
    f->handled++;
    buf_printf(&response->body,
            STR_FMT " " STR_FMT " [" STR_FMT "] %zu",
            STR_ARG(request->method),
            STR_ARG(request->path),
            STR_ARG(request->query),
            request->body.len);
}

static void stop_loop(void *context)
{
    struct fixture *f = context;
    loop_stop(f->loop);
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .loop = loop_create(&clock_system) };
    assert_int_equal(http_server_open(f.loop, "127.0.0.1", 0, &f.server), ERR_OK);
    f.port = http_server_port(f.server);
    assert_true(f.port > 0);
    f.wake = loop_wake_create(f.loop, stop_loop, &f);
    http_server_route(f.server, "GET", "/open", false, echo, &f);
    http_server_route(f.server, "POST", "/admin", true, echo, &f);
    http_server_route(f.server, "POST", "/open2", false, echo, &f);
    buf_init(&f.request, 0);
    buf_init(&f.answer, 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    loop_wake_destroy(f->wake);
    http_server_close(f->server);
    loop_destroy(f->loop);
    buf_fini(&f->request);
    buf_fini(&f->answer);
    return 0;
}

/* The client: sends all, then reads until the server closes. */
static void *speak(void *context)
{
    struct fixture *f = context;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(f->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        ssize_t sent = 0;
        while (f->request.len > 0 && sent >= 0) {
            sent = send(fd, buf_view(&f->request).ptr, f->request.len, MSG_NOSIGNAL);
            buf_consume(&f->request, sent > 0 ? (size_t)sent : 0);
        }
        ssize_t count = 0;
        do {
            char *room = buf_reserve(&f->answer, 4096);
            count = recv(fd, room, 4096, 0);
            buf_commit(&f->answer, count > 0 ? (size_t)count : 0);
        } while (count > 0);
    }
    close(fd);
    loop_wake_signal(f->wake);
    return NULL;
}

static const char *exchange(struct fixture *f, const char *head, size_t body_len)
{
    pthread_t client;
    buf_clear(&f->request);
    buf_clear(&f->answer);
    buf_printf(&f->request, "%s\r\nHost: x\r\nConnection: close\r\n", head);
    if (body_len > 0) {
        buf_printf(&f->request, "Content-Length: %zu\r\n", body_len);
    }
    buf_append_literal(&f->request, "\r\n");
    for (size_t i = 0; i < body_len; i++) {
        buf_append_char(&f->request, 'b');
    }
    assert_int_equal(pthread_create(&client, NULL, speak, f), 0);
    loop_run(f->loop);
    assert_int_equal(pthread_join(client, NULL), 0);
    buf_append_char(&f->answer, '\0');
    return buf_view(&f->answer).ptr;
}

static void assert_status(struct fixture *f, const char *head, size_t body_len, int status)
{
    const char *answer = exchange(f, head, body_len);
    assert_memory_equal(answer, "HTTP/1.1 ", 9);
    assert_int_equal(strtol(answer + 9, NULL, 10), status);
}

static void routes_answer_with_query_and_body(void **state)
{
    struct fixture *f = *state;
    const char *answer = exchange(f, "GET /open?a=%20b&c HTTP/1.1", 0);
    assert_non_null(strstr(answer, "HTTP/1.1 200 "));
    assert_non_null(strstr(answer, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(answer, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nGET /open [a=%20b&c] 0"));
    assert_non_null(strstr(exchange(f, "POST /open2 HTTP/1.1", 65536), "POST /open2 [] 65536"));
    assert_int_equal(f->handled, 2);
}

static void unknown_paths_and_methods_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_status(f, "GET /nothing HTTP/1.1", 0, 404);
    assert_status(f, "GET /%6fpen HTTP/1.1", 0, 404); /* E13: no second spelling */
    assert_status(f, "GET /open/ HTTP/1.1", 0, 404);
    assert_status(f, "POST /open HTTP/1.1", 0, 405);
    assert_non_null(strstr(buf_view(&f->answer).ptr, "\r\nAllow: GET\r\n"));
    assert_status(f, "TRACE /open HTTP/1.1", 0, 405);
    assert_status(f, "HEAD /open HTTP/1.1", 0, 200);
    assert_int_equal(f->handled, 1);
}

static void large_bodies_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_status(f, "POST /open2 HTTP/1.1", 65537, 413);
    buf_clear(&f->request);
    assert_int_equal(f->handled, 0);
}

static void tokens_guard_their_routes(void **state)
{
    struct fixture *f = *state;
    assert_status(f, "POST /admin HTTP/1.1\r\nAuthorization: Bearer ", 0, 403); /* none set */
    http_server_set_token(f->server, STR("s3cret"));
    assert_status(f, "POST /admin HTTP/1.1", 0, 401);
    assert_status(f, "POST /admin HTTP/1.1\r\nAuthorization: Bearer s3creT", 0, 401);
    assert_status(f, "POST /admin HTTP/1.1\r\nAuthorization: Basic s3cret", 0, 401);
    assert_int_equal(f->handled, 0);
    assert_status(f, "POST /admin HTTP/1.1\r\nAuthorization: Bearer s3cret", 0, 200);
    assert_int_equal(f->handled, 1);
    http_server_set_token(f->server, STR_NULL);
    assert_status(f, "POST /admin HTTP/1.1\r\nAuthorization: Bearer s3cret", 0, 403);
}

static void nonsense_does_not_harm(void **state)
{
    struct fixture *f = *state;
    exchange(f, "\x16\x03\x01 nonsense", 0);
    exchange(f, "GET", 0);
    assert_status(f, "GET /open HTTP/1.1", 0, 200);
}

static void only_numeric_addresses(void **state)
{
    struct fixture *f = *state;
    struct http_server *server = NULL;
    assert_int_equal(http_server_open(f->loop, "localhost", 0, &server), ERR_INVALID);
    assert_int_equal(http_server_open(f->loop, "127.0.0.1", f->port, &server), ERR_UNAVAILABLE);
    assert_null(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes_answer_with_query_and_body, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_paths_and_methods_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(large_bodies_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_guard_their_routes, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_does_not_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(only_numeric_addresses, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Accepting over loopback, with and without PROXY headers. */
#include "edge/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/clock.h"
#include "chassis/loop.h"

static struct loop *loop;
static struct listener_limits *limits;
static struct listener *listener;
static struct timer guard;

static int accepted_fds[64];
static struct peer_address accepted_from[64];
static size_t accepted_count;
static size_t accepted_wanted;

static void on_accepted(void *context, int fd, const struct peer_address *address)
{
    (void)context;
    accepted_fds[accepted_count] = fd;
    accepted_from[accepted_count++] = *address;
    if (accepted_count == accepted_wanted) {
        loop_stop(loop);
    }
}

static void on_guard(struct timer *timer, void *context)
{
    (void)timer;
    (void)context;
    loop_stop(loop);
}

/* Until `wanted` connections were accepted, or for `max_ms`. */
static void run(size_t wanted, int64_t max_ms)
{
    accepted_wanted = wanted;
    timer_start(loop_timers(loop), &guard, max_ms);
    loop_run(loop);
    timer_stop(&guard);
}

static void open_listener(const struct config_strings *proxies, int64_t per_address)
{
    const struct listener_limit_options limit_options = { .max_connections = 100,
        .max_connections_per_address = per_address,
        .max_attempts_per_minute = 1000 };
    const struct listener_options options = {
        .address = "127.0.0.1", .proxy_networks = proxies, .proxy_timeout_ms = 50
    };
    loop = loop_create(&clock_system);
    limits = listener_limits_create(loop, &limit_options);
    timer_init(&guard, on_guard, NULL);
    accepted_count = 0;
    assert_int_equal(listener_open(loop, &options, limits, on_accepted, NULL, &listener), ERR_OK);
    assert_true(listener_port(listener) > 0);
}

static void close_listener(void)
{
    for (size_t i = 0; i < accepted_count; i++) {
        close(accepted_fds[i]);
        listener_limits_release(limits, &accepted_from[i]);
    }
    listener_close(listener);
    listener_limits_destroy(limits);
    loop_destroy(loop);
}

static int dial(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_port = htons(listener_port(listener)) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The server closed it without a word. */
static bool was_closed(int fd)
{
    char byte = 0;
    ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void connections_come_with_options_and_address(void **state)
{
    (void)state;
    open_listener(NULL, 10);
    int client = dial();
    run(1, 2000);
    assert_int_equal(accepted_count, 1);
    assert_int_equal(strncmp(accepted_from[0].text, "127.0.0.1:", 10), 0);
    assert_true((fcntl(accepted_fds[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(accepted_fds[0], F_GETFD) & FD_CLOEXEC) != 0);
    int value = 0;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(accepted_fds[0], IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_equal(value, 1);
    close(client);
    close_listener();
}

static void too_many_from_one_address_are_closed_silently(void **state)
{
    (void)state;
    /* A29 */
    open_listener(NULL, 2);
    int clients[3];
    for (size_t i = 0; i < 3; i++) {
        clients[i] = dial();
    }
    run(3, 100);
    assert_int_equal(accepted_count, 2);
    assert_false(was_closed(clients[0]));
    assert_true(was_closed(clients[2]));
    for (size_t i = 0; i < 3; i++) {
        close(clients[i]);
    }
    close_listener();
}

static char loopback[] = "127.0.0.0/8";
static char elsewhere[] = "10.0.0.0/8";
static char *loopback_items[] = { elsewhere, loopback };
static const struct config_strings trusted = { loopback_items, 2 };
static const struct config_strings untrusted = { loopback_items, 1 };

static void a_proxy_header_gives_the_address_and_leaves_the_rest(void **state)
{
    (void)state;
    open_listener(&trusted, 10);
    int client = dial();
    say(client, "PROXY TCP4 192.0.2.7 198.51.100.2 5000 5222\r\n<stream>");
    run(1, 2000);
    assert_int_equal(accepted_count, 1);
    assert_string_equal(accepted_from[0].text, "192.0.2.7:5000");
    char rest[64];
    assert_int_equal(recv(accepted_fds[0], rest, sizeof(rest), 0), 8);
    assert_memory_equal(rest, "<stream>", 8);
    close(client);
    close_listener();
}

static int piece_client;
static size_t piece_at;
static struct timer piece_timer;

static void send_piece(struct timer *timer, void *context)
{
    const char *text = context;
    assert_int_equal(send(piece_client, text + piece_at, 1, 0), 1);
    piece_at++;
    if (text[piece_at] != '\0') {
        timer_start(loop_timers(loop), timer, 0);
    }
}

static void a_proxy_header_may_come_in_pieces(void **state)
{
    (void)state;
    static char text[] = "PROXY UNKNOWN\r\nab";
    open_listener(&trusted, 10);
    piece_client = dial();
    piece_at = 0;
    timer_init(&piece_timer, send_piece, text);
    timer_start(loop_timers(loop), &piece_timer, 0);
    run(1, 2000);
    assert_int_equal(accepted_count, 1);
    assert_int_equal(strncmp(accepted_from[0].text, "127.0.0.1:", 10), 0);
    timer_stop(&piece_timer);
    close(piece_client);
    close_listener();
}

static void trusted_networks_must_send_a_header(void **state)
{
    (void)state;
    /* E20: wrong, missing, broken off */
    open_listener(&trusted, 10);
    int wrong = dial();
    int silent = dial();
    int half = dial();
    int left = dial();
    say(wrong, "<?xml version='1.0'?>");
    say(half, "PROXY TCP4 192");
    say(left, "PROXY");
    shutdown(left, SHUT_WR);
    run(1, 20);
    assert_true(was_closed(wrong));
    assert_true(was_closed(left));
    assert_false(was_closed(silent));
    assert_false(was_closed(half));
    run(1, 100); /* past the time for a header */
    assert_true(was_closed(silent));
    assert_true(was_closed(half));
    assert_int_equal(accepted_count, 0);
    close(wrong);
    close(silent);
    close(half);
    close(left);
    close_listener();
}

static void others_may_not_claim_an_address(void **state)
{
    (void)state;
    /* E20 */
    open_listener(&untrusted, 10);
    int client = dial();
    say(client, "PROXY TCP4 192.0.2.7 198.51.100.2 5000 5222\r\n");
    run(1, 2000);
    assert_int_equal(accepted_count, 1);
    assert_int_equal(strncmp(accepted_from[0].text, "127.0.0.1:", 10), 0);
    char rest[64];
    assert_int_equal(recv(accepted_fds[0], rest, 6, 0), 6);
    assert_memory_equal(rest, "PROXY ", 6); /* the stream will call it not-well-formed */
    close(client);
    close_listener();
}

static void limits_use_the_address_behind_the_proxy(void **state)
{
    (void)state;
    /* E20 */
    open_listener(&trusted, 1);
    int clients[3];
    for (size_t i = 0; i < 3; i++) {
        clients[i] = dial();
        say(clients[i],
                i < 2 ? "PROXY TCP4 192.0.2.7 198.51.100.2 5000 5222\r\n"
                      : "PROXY TCP4 192.0.2.8 198.51.100.2 5000 5222\r\n");
    }
    run(3, 100);
    assert_int_equal(accepted_count, 2);
    for (size_t i = 0; i < 3; i++) {
        close(clients[i]);
    }
    close_listener();
}

static void without_descriptors_accepting_rests_and_goes_on(void **state)
{
    (void)state;
    /* H07 */
    struct rlimit old;
    open_listener(NULL, 10);
    int first = dial();
    int second = dial();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(first);
    struct rlimit low = { .rlim_cur = (rlim_t)next, .rlim_max = old.rlim_max };
    close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    run(1, 50);
    assert_int_equal(accepted_count, 0);
    assert_true(was_closed(first)); /* told by the spare descriptor */
    assert_false(was_closed(second));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    run(1, 2000);
    assert_int_equal(accepted_count, 1);
    close(first);
    close(second);
    close_listener();
}

static void a_paused_listener_refuses_connections(void **state)
{
    (void)state;
    open_listener(NULL, 10);
    uint16_t port = listener_port(listener);
    listener_pause(listener);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)), -1);
    close(fd);
    close_listener();
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    open_listener(NULL, 10);
    struct listener *another = NULL;
    struct listener_options options = { .address = "not-an-address" };
    assert_int_equal(
            listener_open(loop, &options, limits, on_accepted, NULL, &another), ERR_INVALID);
    options.address = "127.0.0.1";
    options.port = listener_port(listener);
    assert_int_equal(
            listener_open(loop, &options, limits, on_accepted, NULL, &another), ERR_EXISTS);
    char *bad_items[] = { options.port > 0 ? loopback + 3 : NULL };
    const struct config_strings bad = { bad_items, 1 };
    options.port = 0;
    options.proxy_networks = &bad;
    assert_int_equal(
            listener_open(loop, &options, limits, on_accepted, NULL, &another), ERR_INVALID);
    assert_null(another);
    close_listener();
}

static void all_addresses_are_one_socket(void **state)
{
    (void)state;
    open_listener(NULL, 10);
    struct listener *any = NULL;
    const struct listener_options options = { .address = "" };
    assert_int_equal(listener_open(loop, &options, limits, on_accepted, NULL, &any), ERR_OK);
    struct listener *first = listener;
    listener = any;
    int client = dial();
    run(1, 2000);
    assert_int_equal(accepted_count, 1);
    assert_int_equal(accepted_from[0].storage.ss_family, AF_INET); /* not a mapped one */
    close(client);
    listener_close(first);
    close_listener();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_come_with_options_and_address),
        cmocka_unit_test(too_many_from_one_address_are_closed_silently),
        cmocka_unit_test(a_proxy_header_gives_the_address_and_leaves_the_rest),
        cmocka_unit_test(a_proxy_header_may_come_in_pieces),
        cmocka_unit_test(trusted_networks_must_send_a_header),
        cmocka_unit_test(others_may_not_claim_an_address),
        cmocka_unit_test(limits_use_the_address_behind_the_proxy),
        cmocka_unit_test(without_descriptors_accepting_rests_and_goes_on),
        cmocka_unit_test(a_paused_listener_refuses_connections),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(all_addresses_are_one_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

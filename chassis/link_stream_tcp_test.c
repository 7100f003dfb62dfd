/* Streams over sockets of ours: dialling by number and by name, refusals, more bytes than a socket
 * takes at once, closing inside an event, and moving without a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "chassis/link_stream.h"
#include "chassis/loop.h"

#define BIG_BYTES   (6 * 1024 * 1024)
#define PATIENCE_MS 10000

struct end {
    struct link_stream *stream;
    bool is_open;
    bool wants_close; /* at the first bytes */
    unsigned sent;
    size_t received;
    uint8_t next; /* expected byte: they count up */
    enum err end;
};

static struct fixture {
    struct loop *loop;
    struct link_streams *streams;
    struct link_listener *listener;
    struct timer patience;
    struct end dialer, acceptor;
    size_t wanted; /* bytes at the acceptor, then the loop stops */
    bool is_running;
    bool is_late;
} at;

/* Only a loop that runs may be stopped. */
static void enough(void)
{
    if (at.is_running) {
        loop_stop(at.loop);
    }
}

static void on_open(void *context)
{
    ((struct end *)context)->is_open = true;
    enough();
}

static void on_bytes(void *context, struct str bytes)
{
    struct end *end = context;
    for (size_t i = 0; i < bytes.len; i++) {
        assert_int_equal((uint8_t)bytes.ptr[i], end->next);
        end->next = (uint8_t)(end->next + 1);
    }
    end->received += bytes.len;
    if (end->wants_close) {
        link_stream_close(end->stream);
        end->stream = NULL;
    }
    if (end->received >= at.wanted) {
        enough();
    }
}

static void on_sent(void *context)
{
    ((struct end *)context)->sent++;
}

static void on_end(void *context, enum err err, const char *why)
{
    struct end *end = context;
    assert_non_null(why);
    end->end = err;
    link_stream_close(end->stream);
    end->stream = NULL;
    enough();
}

static const struct link_stream_events events = { on_open, on_bytes, on_sent, on_end };

static void on_accept(void *context, struct link_stream *stream)
{
    (void)context;
    assert_null(at.acceptor.stream);
    at.acceptor.stream = stream;
    link_stream_set_receive_bytes(stream, 64 * 1024);
    link_stream_start(stream, &events, &at.acceptor);
}

static void on_patience(struct timer *timer, void *context)
{
    (void)timer, (void)context;
    at.is_late = true;
    loop_stop(at.loop);
}

static void run(void)
{
    timer_start(loop_timers(at.loop), &at.patience, PATIENCE_MS);
    at.is_running = true;
    loop_run(at.loop);
    at.is_running = false;
    timer_stop(&at.patience);
    assert_false(at.is_late);
}

static int start(void **state)
{
    (void)state;
    at = (struct fixture){ .loop = loop_create(&clock_system) };
    at.streams = link_streams_create(at.loop, NULL);
    timer_init(&at.patience, on_patience, NULL);
    return link_listener_open(at.streams, "tcp://127.0.0.1:0", on_accept, NULL, &at.listener)
                    == ERR_OK
            ? 0
            : -1;
}

static int stop(void **state)
{
    (void)state;
    struct end *ends[] = { &at.dialer, &at.acceptor };
    for (size_t i = 0; i < 2; i++) {
        if (ends[i]->stream) {
            link_stream_close(ends[i]->stream);
        }
    }
    if (at.listener) {
        link_listener_close(at.listener);
    }
    link_streams_destroy(at.streams);
    loop_destroy(at.loop);
    return 0;
}

static void dial(const char *host)
{
    char address[64];
    (void)snprintf(address, sizeof(address), "tcp://%s:%u", host, link_listener_port(at.listener));
    assert_int_equal(
            link_stream_dial(at.streams, address, NULL, &events, &at.dialer, &at.dialer.stream),
            ERR_OK);
}

static void send_counting(size_t count)
{
    struct buf bytes;
    buf_init(&bytes, 0);
    for (size_t i = 0; i < count; i++) {
        buf_append_char(&bytes, (char)i);
    }
    link_stream_send(at.dialer.stream, &bytes);
    assert_int_equal(bytes.len, 0);
    buf_fini(&bytes);
}

static void big_sends_arrive_whole_and_are_reported_once(void **state)
{
    (void)state;
    dial("127.0.0.1");
    run();
    assert_true(at.dialer.is_open);
    at.wanted = BIG_BYTES;
    send_counting(BIG_BYTES);
    assert_true(link_stream_is_sending(at.dialer.stream)); /* never told from inside */
    run();
    assert_int_equal(at.acceptor.received, BIG_BYTES);
    while (link_stream_is_sending(at.dialer.stream)) {
        link_streams_poll(at.streams, 10);
    }
    assert_int_equal(at.dialer.sent, 1);
}

static void names_are_looked_up(void **state)
{
    (void)state;
    dial("localhost");
    run();
    assert_true(at.dialer.is_open);
}

static void names_may_be_closed_while_they_are_looked_up(void **state)
{
    (void)state;
    dial("localhost");
    link_stream_close(at.dialer.stream);
    at.dialer.stream = NULL;
}

static void refusal_is_an_end(void **state)
{
    (void)state;
    uint16_t port = link_listener_port(at.listener);
    link_listener_close(at.listener);
    at.listener = NULL;
    char address[64];
    (void)snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    assert_int_equal(
            link_stream_dial(at.streams, address, NULL, &events, &at.dialer, &at.dialer.stream),
            ERR_OK);
    run();
    assert_false(at.dialer.is_open);
    assert_int_equal(at.dialer.end, ERR_UNAVAILABLE);
}

static void taken_ports_are_refused(void **state)
{
    (void)state;
    char address[64];
    struct link_listener *second;
    (void)snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", link_listener_port(at.listener));
    assert_int_equal(link_listener_open(at.streams, address, on_accept, NULL, &second), ERR_EXISTS);
}

static void closing_inside_bytes_ends_both_sides(void **state)
{
    (void)state;
    dial("127.0.0.1");
    run();
    at.acceptor.wants_close = true;
    at.wanted = SIZE_MAX;
    send_counting(1000);
    run(); /* until the dialer sees the end */
    assert_null(at.acceptor.stream);
    assert_true(at.dialer.end == ERR_CLOSED);
}

static void bytes_move_without_a_loop(void **state)
{
    (void)state;
    dial("127.0.0.1");
    run();
    at.wanted = 1; /* makes sure that it was accepted */
    send_counting(1);
    run();
    send_counting(1000);
    at.acceptor.next = 0;
    for (int i = 0; i < 100 && at.acceptor.received < 1001; i++) {
        link_streams_poll(at.streams, 100);
    }
    assert_int_equal(at.acceptor.received, 1001);
    assert_false(link_stream_is_sending(at.dialer.stream));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(big_sends_arrive_whole_and_are_reported_once),
        TEST(names_are_looked_up),
        TEST(names_may_be_closed_while_they_are_looked_up),
        TEST(refusal_is_an_end),
        TEST(taken_ports_are_refused),
        TEST(closing_inside_bytes_ends_both_sides),
        TEST(bytes_move_without_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Transports without TLS, and what does not depend on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/lib/transport_peer.h"

static char client_got[8 << 20];
static size_t client_len;
static bool client_saw_end;

static struct str text_of(const struct transport_peer *peer)
{
    return buf_view(&peer->received);
}

static void assert_str(struct str got, const char *expected)
{
    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.ptr, expected, got.len);
}

/* ---- clients */

static void say_hello_and_leave(struct transport_peer *peer)
{
    (void)send(peer->client_fd, "hello", 5, 0);
    transport_peer_hang_up(peer);
}

/* Half-closes at once, then reads all there is. */
static void half_close_and_read(struct transport_peer *peer)
{
    (void)send(peer->client_fd, "ask", 3, 0);
    (void)shutdown(peer->client_fd, SHUT_WR);
    client_len = transport_peer_read(peer->client_fd, client_got, sizeof(client_got));
    char more = 0;
    client_saw_end = recv(peer->client_fd, &more, 1, 0) == 0;
}

static void read_until_end(struct transport_peer *peer)
{
    client_len = transport_peer_read(peer->client_fd, client_got, sizeof(client_got));
    char more = 0;
    client_saw_end = recv(peer->client_fd, &more, 1, 0) == 0;
    transport_peer_hang_up(peer);
}

static void do_nothing(struct transport_peer *peer)
{
    (void)peer;
}

static void reset(struct transport_peer *peer)
{
    struct linger linger = { .l_onoff = 1 };
    (void)setsockopt(peer->client_fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    transport_peer_hang_up(peer);
}

/* ---- tests */

static void bytes_arrive_and_the_end_is_told_once(void **state)
{
    (void)state;
    struct transport_peer peer = { .client = say_hello_and_leave };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    assert_str(text_of(&peer), "hello");
    assert_int_equal(peer.ended, 1);
    assert_int_equal(peer.end, TRANSPORT_CLOSED);
    transport_peer_close(&peer);
}

static void a_reset_is_told_as_such(void **state)
{
    (void)state;
    struct transport_peer peer = { .client = reset };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    assert_int_equal(peer.end, TRANSPORT_RESET);
    transport_peer_close(&peer);
}

static size_t answer(struct transport_peer *peer, struct str data)
{
    transport_write(peer->transport, STR("answer to "));
    transport_write(peer->transport, data);
    return data.len;
}

static void a_half_closed_client_gets_its_answer(void **state)
{
    (void)state;
    /* A31 */
    struct transport_peer peer = { .client = half_close_and_read, .on_data = answer };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    assert_str(str_from(client_got, client_len), "answer to ask");
    assert_int_equal(peer.end, TRANSPORT_CLOSED);
    transport_peer_close(&peer);
}

static void say_goodbye(struct transport_peer *peer)
{
    transport_write(peer->transport, STR(", goodbye"));
    transport_finish(peer->transport, 1000);
    peer->transport = NULL;
}

static void a_last_word_is_possible_after_the_clients_end(void **state)
{
    (void)state;
    /* A31 */
    struct transport_peer peer = { .client = half_close_and_read,
        .on_data = answer,
        .on_end = say_goodbye,
        .stops_with_client = true };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    assert_str(str_from(client_got, client_len), "answer to ask, goodbye");
    assert_true(client_saw_end);
    transport_peer_close(&peer);
}

static size_t take_three(struct transport_peer *peer, struct str data)
{
    size_t len = data.len < 3 ? data.len : 3;
    buf_append(&peer->received, data.ptr, len);
    buf_append_char(&peer->received, '|');
    transport_pause(peer->transport);
    transport_resume(peer->transport);
    return len;
}

static void bytes_not_taken_are_offered_again_after_resume(void **state)
{
    (void)state;
    struct transport_peer peer = { .client = say_hello_and_leave, .on_data = take_three };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    assert_str(text_of(&peer), "hel|lo|");
    assert_int_equal(peer.end, TRANSPORT_CLOSED);
    transport_peer_close(&peer);
}

static size_t pause_at_first(struct transport_peer *peer, struct str data)
{
    buf_append_str(&peer->received, data);
    transport_pause(peer->transport);
    return data.len;
}

static void a_paused_transport_says_nothing(void **state)
{
    (void)state;
    struct transport_peer peer = {
        .client = say_hello_and_leave, .on_data = pause_at_first, .stops_with_client = true
    };
    transport_peer_open(&peer, NULL);
    transport_pause(peer.transport);
    transport_peer_run(&peer);
    assert_int_equal(peer.received.len, 0);
    assert_int_equal(peer.ended, 0);
    transport_peer_close(&peer);
}

static size_t take_nothing(struct transport_peer *peer, struct str data)
{
    (void)data;
    peer->received.len++; /* counts the calls */
    return 0;
}

static void wait_a_little(struct transport_peer *peer)
{
    (void)send(peer->client_fd, "hello", 5, 0);
    usleep(30000);
    (void)send(peer->client_fd, "hello", 5, 0);
    usleep(30000);
}

static void bytes_not_taken_are_offered_once_without_resume(void **state)
{
    (void)state;
    struct transport_peer peer = {
        .client = wait_a_little, .on_data = take_nothing, .stops_with_client = true
    };
    transport_peer_open(&peer, NULL);
    struct rusage before;
    struct rusage after;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    transport_peer_run(&peer);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_int_equal(peer.received.len, 1);
    /* and the loop slept meanwhile, instead of being told of the same bytes for 60 ms */
    int64_t used_us = (int64_t)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000
            + after.ru_utime.tv_usec - before.ru_utime.tv_usec
            + (int64_t)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000
            + after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    assert_true(used_us < 30000);
    peer.received.len = 0;
    transport_peer_close(&peer);
}

static size_t finish_with_much(struct transport_peer *peer, struct str data)
{
    static char block[65536];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 64; i++) {
        transport_write(peer->transport, str_from(block, sizeof(block)));
    }
    transport_finish(peer->transport, 5000);
    peer->transport = NULL;
    return data.len;
}

static void say_and_read_until_end(struct transport_peer *peer)
{
    (void)send(peer->client_fd, "hello", 5, 0);
    /* Bytes that the server never reads: closing over them must not destroy what it sent. */
    (void)send(peer->client_fd, "hello", 5, 0);
    read_until_end(peer);
}

static void finish_delivers_everything_before_the_end(void **state)
{
    (void)state;
    struct transport_peer peer = { .client = say_and_read_until_end,
        .on_data = finish_with_much,
        .options = { .max_write_bytes = 8 << 20 },
        .stops_with_client = true };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    assert_int_equal(client_len, 64 * 65536);
    assert_true(client_saw_end);
    assert_int_equal(peer.ended, 0);
    transport_peer_close(&peer);
}

static void wait_for_close(struct transport_peer *peer)
{
    (void)send(peer->client_fd, "hello", 5, 0);
    usleep(400000); /* longer than the server's patience */
    (void)peer;
}

static size_t finish_impatiently(struct transport_peer *peer, struct str data)
{
    transport_finish(peer->transport, 50);
    peer->transport = NULL;
    return data.len;
}

static void finish_is_bounded_in_time(void **state)
{
    (void)state;
    struct transport_peer peer = {
        .client = wait_for_close, .on_data = finish_impatiently, .stops_with_client = true
    };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    /* The server's socket is closed: a byte to it comes back as reset. */
    (void)send(peer.client_fd, "x", 1, MSG_NOSIGNAL);
    usleep(10000);
    assert_int_equal(send(peer.client_fd, "x", 1, MSG_NOSIGNAL), -1);
    transport_peer_close(&peer);
}

static void write_much(struct transport_peer *peer)
{
    static char block[65536];
    memset(block, 'y', sizeof(block));
    for (int i = 0; i < 1024; i++) {
        transport_write(peer->transport, str_from(block, sizeof(block)));
    }
}

static void a_client_that_does_not_read_overflows(void **state)
{
    (void)state;
    /* C22 */
    struct transport_peer peer = { .client = do_nothing };
    transport_peer_open(&peer, NULL);
    write_much(&peer);
    assert_true(transport_waiting_bytes(peer.transport) <= 1 << 20);
    assert_int_equal(peer.ended, 0); /* from the loop only */
    transport_peer_run(&peer);
    assert_int_equal(peer.ended, 1);
    assert_int_equal(peer.end, TRANSPORT_OVERFLOW);
    transport_peer_close(&peer);
}

static void fill(struct transport_peer *peer)
{
    static char block[65536];
    memset(block, 'z', sizeof(block));
    while (transport_waiting_bytes(peer->transport) < (1 << 20) - sizeof(block)) {
        transport_write(peer->transport, str_from(block, sizeof(block)));
    }
}

static void on_all_acknowledged(struct timer *timer, void *context)
{
    struct transport_peer *peer = context;
    if (transport_acknowledged_total(peer->transport) == transport_written_total(peer->transport)) {
        loop_stop(peer->loop);
    } else {
        timer_start(loop_timers(peer->loop), timer, 10);
    }
}

static void read_in_vain(struct transport_peer *peer)
{
    client_len = 0;
    while (client_len < *(size_t *)peer->extra) {
        client_len += transport_peer_read(peer->client_fd, client_got, 65536);
    }
}

static void room_is_told_and_all_bytes_get_acknowledged(void **state)
{
    (void)state;
    size_t total = 0;
    struct transport_peer peer = { .client = read_in_vain, .extra = &total };
    struct timer timer;
    transport_peer_open(&peer, NULL);
    fill(&peer);
    total = transport_written_total(peer.transport) / 65536 * 65536;
    assert_int_equal(total, transport_written_total(peer.transport));
    assert_true(transport_acknowledged_total(peer.transport) < total);
    timer_init(&timer, on_all_acknowledged, &peer);
    timer_start(loop_timers(peer.loop), &timer, 10);
    transport_peer_run(&peer);
    assert_false(peer.timed_out);
    assert_int_equal(peer.room, 1);
    assert_int_equal(transport_waiting_bytes(peer.transport), 0);
    assert_int_equal(transport_acknowledged_total(peer.transport), total);
    transport_peer_close(&peer);
}

static size_t destroy_inside(struct transport_peer *peer, struct str data)
{
    transport_write(peer->transport, STR("lost"));
    transport_destroy(peer->transport);
    peer->transport = NULL;
    return data.len;
}

static void a_handler_may_destroy_its_transport(void **state)
{
    (void)state;
    struct transport_peer peer = {
        .client = say_and_read_until_end, .on_data = destroy_inside, .stops_with_client = true
    };
    transport_peer_open(&peer, NULL);
    transport_peer_run(&peer);
    assert_int_equal(peer.ended, 0);
    transport_peer_close(&peer);
    transport_destroy(NULL);
}

static bool ends_orderly;

/* What was left comes again by itself; then the owner ends it and reads on in what it was offered.
 */
static size_t take_two_then_end(struct transport_peer *peer, struct str data)
{
    if (peer->extra == NULL) {
        peer->extra = peer;
        transport_pause(peer->transport);
        transport_resume(peer->transport);
        return 2;
    }
    if (ends_orderly) {
        transport_finish(peer->transport, 1000);
    } else {
        transport_destroy(peer->transport);
    }
    peer->transport = NULL;
    buf_append_str(&peer->received, data);
    return data.len;
}

static void held_bytes_outlive_the_end_that_comes_while_they_are_offered(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct transport_peer peer = {
            .client = half_close_and_read, .on_data = take_two_then_end, .stops_with_client = true
        };
        ends_orderly = i == 0;
        transport_peer_open(&peer, NULL);
        transport_peer_run(&peer);
        assert_false(peer.timed_out);
        assert_str(text_of(&peer), "k");
        transport_peer_close(&peer);
    }
}

static void a_plain_transport_has_no_binding(void **state)
{
    (void)state;
    struct transport_peer peer = { .client = do_nothing };
    struct transport_info info;
    uint8_t bytes[64];
    size_t len = 0;
    transport_peer_open(&peer, NULL);
    transport_get_info(peer.transport, &info);
    assert_false(info.is_secure);
    assert_string_equal(info.sni, "");
    assert_int_equal(
            transport_channel_binding(peer.transport, CHANNEL_BINDING_TLS_EXPORTER, bytes, &len),
            ERR_UNSUPPORTED);
    transport_peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_and_the_end_is_told_once),
        cmocka_unit_test(a_reset_is_told_as_such),
        cmocka_unit_test(a_half_closed_client_gets_its_answer),
        cmocka_unit_test(a_last_word_is_possible_after_the_clients_end),
        cmocka_unit_test(bytes_not_taken_are_offered_again_after_resume),
        cmocka_unit_test(bytes_not_taken_are_offered_once_without_resume),
        cmocka_unit_test(a_paused_transport_says_nothing),
        cmocka_unit_test(finish_delivers_everything_before_the_end),
        cmocka_unit_test(finish_is_bounded_in_time),
        cmocka_unit_test(a_client_that_does_not_read_overflows),
        cmocka_unit_test(room_is_told_and_all_bytes_get_acknowledged),
        cmocka_unit_test(a_handler_may_destroy_its_transport),
        cmocka_unit_test(held_bytes_outlive_the_end_that_comes_while_they_are_offered),
        cmocka_unit_test(a_plain_transport_has_no_binding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

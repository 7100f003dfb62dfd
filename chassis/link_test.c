/* Two and more links in one process over real TCP on loopback: what link.h promises. Deadlines are
 * only there to end a broken run; a working one takes milliseconds. */
#include "chassis/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/base/buf.h"
#include "chassis/base/mem.h"
#include "chassis/link_auth.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"

enum {
    DEADLINE_MS = 20000,
};

/* One process of the little cluster, and what its handlers saw. */
struct node {
    struct link *link;
    char name[16];
    enum link_role role;
    uint64_t epoch;
    uint64_t received, last_number;
    size_t ups, downs, deaths, rooms;
    uint64_t dead_epoch, record_epoch;
    bool is_out_of_order;
    char edge_secret[LINK_EDGE_SECRET_BYTES];
};

static struct loop *loop;
static bool (*is_done)(void);
static bool has_timed_out;
static struct timer poll_timer, deadline_timer;
static struct node a, b, c;

/* ---- running until something is true */

static void on_poll(struct timer *timer, void *context)
{
    (void)context;
    if (is_done()) {
        loop_stop(loop);
    } else {
        timer_start(loop_timers(loop), timer, 10);
    }
}

static void on_deadline(struct timer *timer, void *context)
{
    (void)timer, (void)context;
    has_timed_out = true;
    loop_stop(loop);
}

static void run_until(bool (*condition)(void))
{
    is_done = condition;
    has_timed_out = false;
    timer_start(loop_timers(loop), &poll_timer, 1);
    timer_start(loop_timers(loop), &deadline_timer, DEADLINE_MS);
    loop_run(loop);
    timer_stop(&poll_timer);
    timer_stop(&deadline_timer);
    assert_false(has_timed_out);
}

static int64_t wait_until_ms;
static bool has_waited(void)
{
    return loop_now_ms(loop) >= wait_until_ms;
}

static void run_for(int64_t ms)
{
    wait_until_ms = loop_now_ms(loop) + ms;
    run_until(has_waited);
}

/* ---- nodes */

static void on_record(void *context, struct link_peer *peer, uint64_t epoch, struct str record)
{
    struct node *node = context;
    uint64_t number;
    (void)peer;
    assert_true(record.len >= sizeof(number));
    memcpy(&number, record.ptr, sizeof(number));
    node->is_out_of_order |= node->record_epoch == epoch && number != node->last_number + 1;
    node->record_epoch = epoch;
    node->last_number = number;
    node->received++;
}

static void on_up(void *context, struct link_peer *peer, uint64_t epoch)
{
    struct node *node = context;
    (void)peer, (void)epoch;
    node->ups++;
}

static void on_down(void *context, struct link_peer *peer, uint64_t epoch, bool is_dead)
{
    struct node *node = context;
    (void)peer;
    node->downs += !is_dead;
    node->deaths += is_dead;
    if (is_dead) {
        node->dead_epoch = epoch;
    }
}

static void on_room(void *context, struct link_peer *peer)
{
    struct node *node = context;
    (void)peer;
    node->rooms++;
}

static const struct link_handlers handlers = { on_record, on_up, on_down, on_room };

/* Kept in `node`. */
static struct str edge_secret_of(struct node *node, const char *name)
{
    link_auth_edge_secret(STR("the core secret"), str_from_cstr(name), node->edge_secret);
    return str_from(node->edge_secret, sizeof(node->edge_secret));
}

static struct link_options options_of(struct node *node)
{
    bool is_edge = node->role == LINK_ROLE_EDGE;
    return (struct link_options){
        .node = node->name,
        .role = node->role,
        .boot_epoch = node->epoch,
        .address = "tcp://127.0.0.1:0",
        .edge_secret = is_edge ? edge_secret_of(node, node->name) : STR_NULL,
        .core_secret = is_edge ? STR_NULL : STR("the core secret"),
        .ping_interval_ms = 100,
        .reconnect_min_ms = 5,
        .reconnect_max_ms = 30,
        .peer_timeout_ms = 1000,
        .handshake_timeout_ms = 300,
    };
}

static void name_node(struct node *node, const char *name, enum link_role role, uint64_t epoch)
{
    *node = (struct node){ .role = role, .epoch = epoch };
    snprintf(node->name, sizeof(node->name), "%s", name);
}

static void open_node(struct node *node, const char *name, enum link_role role, uint64_t epoch)
{
    name_node(node, name, role, epoch);
    struct link_options options = options_of(node);
    assert_int_equal(link_open(loop, &options, &handlers, node, &node->link), ERR_OK);
}

static struct link_peer *dial(struct node *from, struct node *to)
{
    return link_dial(from->link, to->name, to->role, link_address(to->link));
}

static void send_number(struct link_peer *peer, uint64_t number)
{
    assert_int_equal(link_send(peer, str_from(&number, sizeof(number))), ERR_OK);
}

static int set_up(void **state)
{
    (void)state;
    loop = loop_create(&clock_system);
    timer_init(&poll_timer, on_poll, NULL);
    timer_init(&deadline_timer, on_deadline, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    link_close(a.link);
    link_close(b.link);
    link_close(c.link);
    a.link = b.link = c.link = NULL;
    loop_destroy(loop);
    return 0;
}

static uint64_t wanted;
static bool b_has_wanted(void)
{
    return b.received >= wanted;
}
static bool a_is_up(void)
{
    return a.ups > 0;
}
static bool a_saw_death(void)
{
    return a.deaths > 0;
}
static bool both_heard(void)
{
    return a.received > 0 && b.received > 0;
}

/* ---- what is promised */

static void records_sent_before_the_connection_arrive_in_order(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    struct link_peer *peer = dial(&a, &b);
    assert_false(link_peer_is_up(peer));
    for (uint64_t i = 1; i <= 20000; i++) {
        send_number(peer, i);
    }
    wanted = 20000;
    run_until(b_has_wanted);
    assert_false(b.is_out_of_order);
    assert_int_equal(b.record_epoch, 10);
    assert_int_equal(a.ups, 1);
    assert_true(link_peer_is_up(peer));
    assert_int_equal(link_peer_boot_epoch(peer), 20);
    run_for(50);
    assert_int_equal(link_peer_unacked_bytes(peer), 0);
    assert_int_equal(b.received, 20000);
}

static void a_peer_that_dialled_can_be_answered(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    assert_null(link_find_peer(b.link, "edge-1"));
    send_number(dial(&a, &b), 1);
    wanted = 1;
    run_until(b_has_wanted);
    struct link_peer *back = link_find_peer(b.link, "edge-1");
    assert_non_null(back);
    assert_int_equal(link_peer_role(back), LINK_ROLE_EDGE);
    assert_int_equal(link_peer_boot_epoch(back), 10);
    send_number(back, 1);
    run_until(both_heard);
    assert_int_equal(b.ups, 1);
}

static void large_records_cross_and_too_large_ones_are_refused(void **state)
{
    size_t size = 1024 * 1024 - 128;
    char *data = mem_calloc(1, size + 1);
    uint64_t one = 1;
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    struct link_peer *peer = dial(&a, &b);
    memcpy(data, &one, sizeof(one));
    assert_int_equal(link_send(peer, str_from(data, size + 1)), ERR_INVALID);
    assert_int_equal(link_send(peer, str_from(data, size)), ERR_OK);
    send_number(peer, 2);
    wanted = 2;
    run_until(b_has_wanted);
    assert_false(b.is_out_of_order);
    free(data);
}

static void a_full_queue_refuses_and_says_when_there_is_room(void **state)
{
    char data[10000] = { 0 };
    uint64_t sent = 0;
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    struct link_peer *peer = dial(&a, &b);
    for (;;) {
        uint64_t number = sent + 1;
        memcpy(data, &number, sizeof(number));
        if (link_send(peer, str_from(data, sizeof(data))) == ERR_LIMIT) {
            break;
        }
        sent++;
    }
    assert_true(sent > 800 && sent < 850); /* of 8 MiB */
    wanted = sent;
    run_until(b_has_wanted);
    run_for(30);
    assert_int_equal(a.rooms, 1);
    assert_false(b.is_out_of_order);
}

/* The other side is replaced: the queue of the old one is dropped, on_down says so, then the new
 * one is reached. */
static void a_new_incarnation_gets_nothing_of_the_old_ones(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    struct link_peer *peer = dial(&a, &b);
    send_number(peer, 1);
    wanted = 1;
    run_until(b_has_wanted);
    run_for(30);

    char address[64];
    snprintf(address, sizeof(address), "%s", link_address(b.link));
    link_close(b.link);
    for (uint64_t i = 2; i < 100; i++) {
        send_number(peer, i);
    }
    name_node(&b, "router-1", LINK_ROLE_ROUTER, 21);
    struct link_options options = options_of(&b);
    options.address = address;
    assert_int_equal(link_open(loop, &options, &handlers, &b, &b.link), ERR_OK);
    run_until(a_saw_death);
    assert_int_equal(a.dead_epoch, 20);
    assert_int_equal(link_peer_unacked_bytes(peer), 0);
    send_number(peer, 100);
    wanted = 1;
    run_until(b_has_wanted);
    assert_int_equal(b.last_number, 100);
    assert_int_equal(a.deaths, 1);
    assert_int_equal(link_peer_boot_epoch(peer), 21);
}

static void a_peer_that_stays_away_is_given_up(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    struct link_peer *peer = link_dial(a.link, "router-9", LINK_ROLE_ROUTER, "tcp://127.0.0.1:1");
    send_number(peer, 1);
    run_until(a_saw_death);
    assert_int_equal(link_peer_unacked_bytes(peer), 0);
    assert_int_equal(a.ups, 0);
    run_for(1200); /* said once */
    assert_int_equal(a.deaths, 1);
    send_number(peer, 2); /* but each sender gets an answer */
    a.deaths = 0;
    run_until(a_saw_death);
}

static void forgetting_drops_what_waits(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    struct link_peer *peer = dial(&a, &b);
    run_until(a_is_up);
    send_number(peer, 1);
    link_forget(a.link, "router-1");
    assert_int_equal(a.deaths, 1);
    assert_false(link_peer_is_up(peer));
    assert_int_equal(link_peer_unacked_bytes(peer), 0);
    run_for(100);
    assert_int_equal(a.ups, 1);
    assert_int_equal(b.received, 0);
}

static void closing_flushes_what_was_sent(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    struct link_peer *peer = dial(&a, &b);
    run_until(a_is_up);
    for (uint64_t i = 1; i <= 1000; i++) {
        send_number(peer, i);
    }
    link_close(a.link); /* the loop of b stands still meanwhile: only what the kernel takes */
    a.link = NULL;
    wanted = 1000;
    run_until(b_has_wanted);
    assert_false(b.is_out_of_order);
}

/* An idle connection is asked and answers; nobody is declared dead. */
static void an_idle_connection_stays_up(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    (void)dial(&a, &b);
    run_until(a_is_up);
    run_for(1000);
    assert_int_equal(a.downs, 0);
    assert_int_equal(a.ups, 1);
}

/* ---- who may come in: F01, F02, F03 */

static void open_with_secret(
        struct node *node, const char *name, enum link_role role, struct str secret)
{
    name_node(node, name, role, 10);
    struct link_options options = options_of(node);
    options.edge_secret = secret;
    options.core_secret = secret;
    assert_int_equal(link_open(loop, &options, &handlers, node, &node->link), ERR_OK);
}

static void a_wrong_secret_is_refused_on_both_sides(void **state)
{
    (void)state;
    open_with_secret(&a, "edge-1", LINK_ROLE_EDGE, STR("guessed"));
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    send_number(dial(&a, &b), 1);
    send_number(dial(&b, &a), 1);
    run_for(200);
    assert_int_equal(a.ups + b.ups, 0);
    assert_int_equal(a.received + b.received, 0);
}

static void an_edge_cannot_pass_for_a_router(void **state)
{
    (void)state;
    open_with_secret(&a, "router-2", LINK_ROLE_ROUTER, edge_secret_of(&c, "edge-1"));
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    send_number(dial(&a, &b), 1);
    run_for(200);
    assert_int_equal(a.ups + b.received, 0);
    assert_null(link_find_peer(b.link, "router-2"));
}

static void an_edge_cannot_pass_for_a_router_to_another_edge(void **state)
{
    (void)state;
    open_with_secret(&a, "router-1", LINK_ROLE_ROUTER, edge_secret_of(&c, "edge-1"));
    open_node(&b, "edge-2", LINK_ROLE_EDGE, 20);
    send_number(dial(&a, &b), 1);
    send_number(dial(&b, &a), 1); /* nor when it is dialled as one */
    run_for(200);
    assert_int_equal(a.ups + b.ups, 0);
    assert_int_equal(a.received + b.received, 0);
}

static void an_edge_cannot_pass_for_another_edge(void **state)
{
    (void)state;
    open_with_secret(&a, "edge-2", LINK_ROLE_EDGE, edge_secret_of(&c, "edge-1"));
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    send_number(dial(&a, &b), 1);
    send_number(dial(&b, &a), 1);
    run_for(200);
    assert_int_equal(a.ups + b.ups, 0);
    assert_int_equal(a.received + b.received, 0);
    assert_false(link_peer_is_up(link_find_peer(b.link, "edge-2")));
}

/* Even with the right secrets: nobody but a router has business with an edge. */
static void only_routers_reach_an_edge(enum link_role role, const char *name)
{
    open_with_secret(&a, name, role, edge_secret_of(&c, name));
    open_with_secret(&b, "edge-1", LINK_ROLE_EDGE, edge_secret_of(&c, name));
    send_number(dial(&a, &b), 1);
    send_number(dial(&b, &a), 1);
    run_for(200);
    assert_int_equal(a.ups + b.ups, 0);
    assert_int_equal(a.received + b.received, 0);
}

static void an_edge_refuses_edges(void **state)
{
    (void)state;
    only_routers_reach_an_edge(LINK_ROLE_EDGE, "edge-2");
}

static void an_edge_and_the_archive_refuse_each_other(void **state)
{
    (void)state;
    only_routers_reach_an_edge(LINK_ROLE_ARCHIVE, "archive-1");
}

static void another_node_at_the_address_is_not_believed(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    struct link_peer *peer = link_dial(a.link, "router-2", LINK_ROLE_ROUTER, link_address(b.link));
    send_number(peer, 1);
    run_for(200);
    assert_int_equal(a.ups + b.received, 0);
}

static void unfit_options_are_refused(void **state)
{
    struct link_options options;
    (void)state;
    name_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    options = options_of(&a);
    options.address = "tcp://0.0.0.0:0"; /* cleartext for everybody */
    assert_int_equal(link_open(loop, &options, &handlers, &a, &a.link), ERR_DENIED);
    options = options_of(&a);
    options.edge_secret = STR_NULL;
    assert_int_equal(link_open(loop, &options, &handlers, &a, &a.link), ERR_INVALID);
    options = options_of(&a);
    options.address = "ipc:///tmp/x";
    assert_int_equal(link_open(loop, &options, &handlers, &a, &a.link), ERR_INVALID);
    options = options_of(&a);
    options.address = "tls+tcp://127.0.0.1:0";
    assert_int_equal(link_open(loop, &options, &handlers, &a, &a.link), ERR_NOT_FOUND);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    assert_null(link_dial(b.link, "router-1", LINK_ROLE_ROUTER, "tcp://127.0.0.1:9"));
    assert_null(link_dial(b.link, "router-2", LINK_ROLE_ROUTER, "tcp://10.0.0.1:9"));
    assert_null(link_dial(b.link, "router-2", LINK_ROLE_ROUTER, "tls+tcp://127.0.0.1:9"));
    assert_null(a.link);
}

static void an_inbox_in_use_is_an_error(void **state)
{
    (void)state;
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    name_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    struct link_options options = options_of(&a);
    options.address = link_address(b.link);
    assert_int_not_equal(link_open(loop, &options, &handlers, &a, &a.link), ERR_OK);
    assert_null(a.link);
}

/* ---- strangers at the inbox */

static int connect_with(const struct node *node, int flags)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    uint64_t port;
    struct str text = str_from_cstr(strrchr(link_address(node->link), ':') + 1);
    assert_true(str_to_u64(text, &port));
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    assert_true(fd >= 0);
    int rv = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    assert_true(rv == 0 || errno != ECONNREFUSED); /* anything else is the kernel being busy */
    return fd;
}

static int connect_to(const struct node *node)
{
    return connect_with(node, 0);
}

static void close_with_reset(int fd)
{
    const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

static atomic_int strangers_left;

static void *knock(void *context)
{
    while (strangers_left > 0) {
        /* Does not wait when the kernel's queue of the inbox is full. */
        int fd = connect_with(context, SOCK_NONBLOCK);
        if (strangers_left-- % 2) {
            close_with_reset(fd);
        } else {
            close(fd);
        }
    }
    return NULL;
}

static bool strangers_are_gone_and_b_has_wanted(void)
{
    return strangers_left <= 0 && b_has_wanted();
}

/* The trap of NNG 1.5.2's SP listeners: gone before accept. Here it must cost nothing, neither to
 * those who come afterwards nor to those who come meanwhile. */
static void thousands_of_half_open_connects_do_not_hurt_the_inbox(void **state)
{
    pthread_t thread;
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    open_node(&c, "edge-2", LINK_ROLE_EDGE, 30);
    strangers_left = 5000;
    assert_int_equal(pthread_create(&thread, NULL, knock, &b), 0);
    send_number(dial(&a, &b), 1);
    wanted = 1;
    run_until(strangers_are_gone_and_b_has_wanted);
    pthread_join(thread, NULL);
    send_number(dial(&c, &b), 1);
    wanted = 2;
    run_until(b_has_wanted);
}

static void silent_and_garbage_connections_are_closed(void **state)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "\x7f\xff\xff\xff", /* 2 GiB (F02) */
        "\x01\x01\x01\x01 not so large, but too large for a stranger",
    };
    int fds[4];
    char byte;
    (void)state;
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    for (size_t i = 0; i < 3; i++) {
        fds[i] = connect_to(&b);
        size_t len = strlen(garbage[i]);
        assert_int_equal(write(fds[i], garbage[i], len), len);
    }
    fds[3] = connect_to(&b); /* says nothing */
    run_for(600);
    for (size_t i = 0; i < 4; i++) {
        ssize_t got;
        do { /* an ERROR frame may come first */
            got = recv(fds[i], &byte, 1, MSG_DONTWAIT);
        } while (got > 0);
        assert_true(got == 0 || errno == ECONNRESET);
        close(fds[i]);
    }
}

static void zero_length_and_truncated_frames_end_the_connection(void **state)
{
    char byte;
    (void)state;
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    int zero = connect_to(&b);
    int truncated = connect_to(&b);
    assert_int_equal(write(zero, "\0\0\0\0", 4), 4);
    assert_int_equal(write(truncated, "\0\0\0\x10\x0a", 5), 5);
    shutdown(truncated, SHUT_WR);
    run_for(100);
    while (recv(zero, &byte, 1, MSG_DONTWAIT) > 0) {
    }
    assert_int_equal(recv(zero, &byte, 1, MSG_DONTWAIT), 0);
    assert_int_equal(recv(truncated, &byte, 1, MSG_DONTWAIT), 0);
    close(zero);
    close(truncated);
}

/* More strangers than the inbox keeps: an honest peer still gets in at once. */
static void a_crowd_of_silent_strangers_does_not_lock_out_a_peer(void **state)
{
    int fds[600];
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    for (size_t i = 0; i < 600; i++) {
        fds[i] = connect_with(&b, SOCK_NONBLOCK);
        if (i % 50 == 0) {
            run_for(30); /* the kernel's queue of the inbox is short */
        }
    }
    send_number(dial(&a, &b), 1);
    wanted = 1;
    run_until(b_has_wanted);
    for (size_t i = 0; i < 600; i++) {
        close(fds[i]);
    }
}

/* A router between an edge and the archive, all at once. */
static bool all_heard(void)
{
    return a.received >= 1 && b.received >= 2 && c.received >= 1;
}

static void core_nodes_and_edges_mix(void **state)
{
    (void)state;
    open_node(&a, "edge-1", LINK_ROLE_EDGE, 10);
    open_node(&b, "router-1", LINK_ROLE_ROUTER, 20);
    open_node(&c, "archive-1", LINK_ROLE_ARCHIVE, 30);
    send_number(dial(&a, &b), 1);
    send_number(dial(&b, &a), 1);
    send_number(dial(&b, &c), 1);
    send_number(dial(&c, &b), 1);
    run_until(all_heard);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(records_sent_before_the_connection_arrive_in_order),
        TEST(a_peer_that_dialled_can_be_answered),
        TEST(large_records_cross_and_too_large_ones_are_refused),
        TEST(a_full_queue_refuses_and_says_when_there_is_room),
        TEST(a_new_incarnation_gets_nothing_of_the_old_ones),
        TEST(a_peer_that_stays_away_is_given_up),
        TEST(forgetting_drops_what_waits),
        TEST(closing_flushes_what_was_sent),
        TEST(an_idle_connection_stays_up),
        TEST(a_wrong_secret_is_refused_on_both_sides),
        TEST(an_edge_cannot_pass_for_a_router),
        TEST(an_edge_cannot_pass_for_a_router_to_another_edge),
        TEST(an_edge_cannot_pass_for_another_edge),
        TEST(an_edge_refuses_edges),
        TEST(an_edge_and_the_archive_refuse_each_other),
        TEST(another_node_at_the_address_is_not_believed),
        TEST(unfit_options_are_refused),
        TEST(an_inbox_in_use_is_an_error),
        TEST(thousands_of_half_open_connects_do_not_hurt_the_inbox),
        TEST(silent_and_garbage_connections_are_closed),
        TEST(zero_length_and_truncated_frames_end_the_connection),
        TEST(a_crowd_of_silent_strangers_does_not_lock_out_a_peer),
        TEST(core_nodes_and_edges_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

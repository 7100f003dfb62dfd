/* F03: which versions of the protocol two processes have in common. A stranger on a socket says
 * what a later, or an earlier, program would say, and sees what comes back. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/link.h"
#include "chassis/link_auth.h"
#include "chassis/link_frame.h"
#include "chassis/loop.h"

#define SECRET    STR("the core secret")
#define MAX_FRAME (1 << 20)

static struct loop *loop;
static struct link *router, *other;
static unsigned ups;

/* ---- a router, and what it hears */

static void on_record(void *context, struct link_peer *peer, uint64_t epoch, struct str record)
{
    (void)context, (void)peer, (void)epoch, (void)record;
}
static void on_up(void *context, struct link_peer *peer, uint64_t epoch)
{
    (void)context, (void)peer, (void)epoch;
    ups++;
}
static void on_down(void *context, struct link_peer *peer, uint64_t epoch, bool is_dead)
{
    (void)context, (void)peer, (void)epoch, (void)is_dead;
}
static void on_room(void *context, struct link_peer *peer)
{
    (void)context, (void)peer;
}

static struct link *open_router(const char *node, uint32_t version_min, uint32_t version_max)
{
    static const struct link_handlers handlers = { on_record, on_up, on_down, on_room };
    const struct link_options options = {
        .node = node,
        .role = LINK_ROLE_ROUTER,
        .boot_epoch = 10,
        .address = "tcp://127.0.0.1:0",
        .core_secret = SECRET,
        .reconnect_min_ms = 5,
        .version_min = version_min,
        .version_max = version_max,
    };
    struct link *link;
    assert_int_equal(link_open(loop, &options, &handlers, NULL, &link), ERR_OK);
    return link;
}

static void on_time(struct timer *timer, void *context)
{
    (void)timer, (void)context;
    loop_stop(loop);
}

static void run_for(int64_t ms)
{
    struct timer timer;
    timer_init(&timer, on_time, NULL);
    timer_start(loop_timers(loop), &timer, ms);
    loop_run(loop);
    timer_stop(&timer);
}

static int set_up(void **state)
{
    (void)state;
    loop = loop_create(&clock_system);
    router = other = NULL;
    ups = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    link_close(router);
    link_close(other);
    loop_destroy(loop);
    return 0;
}

/* ---- the stranger */

struct stranger {
    int fd;
    struct arena arena;
    struct buf in;
    struct link_hello hello;
    struct link_hello theirs;
};

static void say(const struct stranger *stranger, const struct link_frame *frame)
{
    struct buf out;
    buf_init(&out, 0);
    link_frame_encode(&out, frame);
    assert_int_equal(write(stranger->fd, buf_view(&out).ptr, out.len), out.len);
    buf_fini(&out);
}

static void greet(struct stranger *stranger, uint32_t version_min, uint32_t version_max)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    uint64_t port;
    assert_true(str_to_u64(str_from_cstr(strrchr(link_address(router), ':') + 1), &port));
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    arena_init(&stranger->arena, 0);
    buf_init(&stranger->in, 0);
    stranger->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *at = (const struct sockaddr *)&address;
    assert_int_equal(connect(stranger->fd, at, sizeof(address)), 0);
    stranger->hello = (struct link_hello){
        .version_min = version_min,
        .version_max = version_max,
        .node = STR("router-9"),
        .role = LINK_ROLE_ROUTER,
        .boot_epoch = 20,
        .nonce = STR("thirty-two bytes nobody has known"),
        .address = STR("tcp://127.0.0.1:1"),
        .max_frame_bytes = MAX_FRAME,
    };
    stranger->hello.nonce.len = LINK_NONCE_BYTES;
    const struct link_frame frame = { .type = LINK_FRAME_HELLO, .hello = stranger->hello };
    say(stranger, &frame);
}

/* The next frame; fails without one. */
static struct link_frame hear(struct stranger *stranger)
{
    struct link_frame frame;
    size_t length;
    run_for(50);
    char *room = buf_reserve(&stranger->in, 65536);
    ssize_t got = recv(stranger->fd, room, 65536, MSG_DONTWAIT);
    buf_commit(&stranger->in, got > 0 ? (size_t)got : 0);
    struct str bytes = buf_view(&stranger->in);
    assert_int_equal(link_frame_measure(bytes, MAX_FRAME, &length), ERR_OK);
    assert_true(length <= bytes.len);
    struct str body = str_dup(&stranger->arena,
            str_from(bytes.ptr + LINK_FRAME_HEADER_BYTES, length - LINK_FRAME_HEADER_BYTES));
    assert_int_equal(link_frame_decode(&stranger->arena, body, &frame), ERR_OK);
    buf_consume(&stranger->in, length);
    return frame;
}

static void leave(struct stranger *stranger)
{
    close(stranger->fd);
    buf_fini(&stranger->in);
    arena_fini(&stranger->arena);
}

/* Proves itself, with `version` as the one agreed on; what comes back. */
static enum link_frame_type prove(struct stranger *stranger, uint32_t version)
{
    const struct link_frame answer = hear(stranger);
    assert_int_equal(answer.type, LINK_FRAME_HELLO);
    stranger->theirs = answer.hello;
    const struct link_auth_input input = {
        .side = LINK_AUTH_DIALER,
        .version = version,
        .dialer = &stranger->hello,
        .listener = &stranger->theirs,
    };
    uint8_t mac[LINK_AUTH_BYTES];
    link_auth_prove(SECRET, &input, mac);
    const struct link_frame frame = { .type = LINK_FRAME_AUTH,
        .auth = { .mac = str_from(mac, sizeof(mac)) } };
    say(stranger, &frame);
    return hear(stranger).type;
}

/* ---- tests */

static void expect_refusal(uint32_t version_min, uint32_t version_max)
{
    struct stranger stranger;
    char byte;
    greet(&stranger, version_min, version_max);
    const struct link_frame answer = hear(&stranger);
    assert_int_equal(answer.type, LINK_FRAME_ERROR);
    assert_int_equal(answer.error.code, LINK_ERROR_VERSION);
    run_for(50);
    assert_int_equal(recv(stranger.fd, &byte, 1, MSG_DONTWAIT), 0); /* and is gone */
    assert_null(link_find_peer(router, "router-9"));
    leave(&stranger);
}

static void who_has_no_version_in_common_is_told_and_refused(void **state)
{
    (void)state;
    router = open_router("router-1", 3, 5);
    expect_refusal(6, 9); /* newer alone */
    expect_refusal(1, 2); /* older alone */
    expect_refusal(0, 0);
    expect_refusal(5, 4); /* no range */
}

/* What this program speaks without being told: the one version there is. */
static void the_range_of_this_program_is_the_default(void **state)
{
    (void)state;
    router = open_router("router-1", 0, 0);
    expect_refusal(2, 9);
    struct stranger stranger;
    greet(&stranger, 1, 9);
    assert_int_equal(prove(&stranger, 1), LINK_FRAME_WELCOME);
    assert_int_equal(stranger.theirs.version_max, 1);
    leave(&stranger);
}

static void the_highest_common_version_is_agreed_on(void **state)
{
    static const struct {
        uint32_t min, max, agreed;
    } peers[] = { { 4, 7, 5 }, { 1, 3, 3 }, { 1, 9, 5 }, { 4, 4, 4 } };
    (void)state;
    router = open_router("router-1", 3, 5);
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        struct stranger stranger;
        greet(&stranger, peers[i].min, peers[i].max);
        assert_int_equal(prove(&stranger, peers[i].agreed), LINK_FRAME_WELCOME);
        leave(&stranger);
        greet(&stranger, peers[i].min, peers[i].max); /* the proof names it: no downgrade */
        assert_int_equal(prove(&stranger, peers[i].agreed - 1), LINK_FRAME_ERROR);
        leave(&stranger);
    }
}

static void neighbours_one_version_apart_work_together(void **state)
{
    (void)state;
    router = open_router("router-1", 1, 2);
    other = open_router("router-2", 2, 3);
    assert_non_null(link_dial(router, "router-2", LINK_ROLE_ROUTER, link_address(other)));
    assert_non_null(link_dial(other, "router-1", LINK_ROLE_ROUTER, link_address(router)));
    run_for(300);
    assert_int_equal(ups, 2);
}

static void neighbours_too_far_apart_do_not(void **state)
{
    (void)state;
    router = open_router("router-1", 1, 2);
    other = open_router("router-2", 3, 4);
    assert_non_null(link_dial(router, "router-2", LINK_ROLE_ROUTER, link_address(other)));
    assert_non_null(link_dial(other, "router-1", LINK_ROLE_ROUTER, link_address(router)));
    run_for(300);
    assert_int_equal(ups, 0);
}

#define HANDSHAKE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDSHAKE_TEST(who_has_no_version_in_common_is_told_and_refused),
        HANDSHAKE_TEST(the_range_of_this_program_is_the_default),
        HANDSHAKE_TEST(the_highest_common_version_is_agreed_on),
        HANDSHAKE_TEST(neighbours_one_version_apart_work_together),
        HANDSHAKE_TEST(neighbours_too_far_apart_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

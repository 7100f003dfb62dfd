/* Kills processes of a little cluster that all talk to each other at full speed, and checks what
 * chassis/link.h promises: order, no duplicates, no gaps between two incarnations, everybody finds
 * everybody again, bounded memory.
 *
 *   link_kill [--kills N] [--nodes M] [--seed S]
 *
 * The parent never calls NNG (it forks); each node is this program again, with --child. A node
 * reports to the parent through a pipe, one short line a write:
 *   V text                                   a promise was broken
 *   S node epoch rss_kib received epochs...  state: with which incarnations it is connected
 *   T node epoch peer peer_epoch stream n    after SIGUSR1: sent and acknowledged
 *   R node epoch peer peer_epoch stream n    after SIGTERM: received
 *
 * A "stream" is what a sender numbers from 1 on: a new one begins whenever the link has said that
 * the records of the last one may be lost. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "chassis/link.h"
#include "chassis/loop.h"

enum {
    NODES_MAX = 16,
    REPORT_FD = 3,
    LINE_MAX_BYTES = 512, /* at most PIPE_BUF: a line is one atomic write */
    RECORD_MAX_BYTES = 700,
    STRANGERS_MAX = 40,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    RSS_MAX_KIB = 700 * 1024,
#else
    RSS_MAX_KIB = 48 * 1024,
#endif
};

/* ---------------------------------------------------------------- a node */

struct record {
    uint32_t from, to;
    uint64_t stream, number;
    uint64_t check; /* over the bytes behind it */
};

struct counterpart {
    struct link_peer *peer;
    uint64_t sent_stream, sent_number;
    uint64_t epoch, stream, number; /* received */
    bool has_received;
};

static struct {
    struct loop *loop;
    struct link *link;
    unsigned self, count;
    uint64_t epoch, received;
    uint16_t ports[NODES_MAX];
    struct counterpart others[NODES_MAX];
    struct timer pump_timer, status_timer;
    bool is_quiet, has_told;
    uint64_t random;
} node;

PRINTF_LIKE(1, 2) static void report(const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof(line) - 1) {
        line[len] = '\n';
        if (write(REPORT_FD, line, (size_t)len + 1) < 0) {
            _exit(3); /* no parent */
        }
    }
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = (*state += 0x9e3779b97f4a7c15u);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static unsigned index_of(const struct link_peer *peer)
{
    uint64_t index = NODES_MAX;
    struct str name = str_from_cstr(link_peer_node(peer));
    if (!str_starts_with(name, STR("n"))
            || !str_to_u64(str_from(name.ptr + 1, name.len - 1), &index) || index >= node.count) {
        report("V node %u: unknown peer %s", node.self, link_peer_node(peer));
        return node.self;
    }
    return (unsigned)index;
}

static void pump(struct counterpart *other, unsigned to)
{
    char bytes[RECORD_MAX_BYTES];
    struct record *record = (struct record *)(void *)bytes;
    while (!node.is_quiet && other->peer) {
        size_t len =
                sizeof(*record) + next_random(&node.random) % (sizeof(bytes) - sizeof(*record));
        memset(bytes + sizeof(*record),
                (int)(next_random(&node.random) & 0xff),
                len - sizeof(*record));
        *record = (struct record){ .from = node.self,
            .to = to,
            .stream = other->sent_stream,
            .number = other->sent_number + 1 };
        record->check = str_hash(str_from(bytes + sizeof(*record), len - sizeof(*record)));
        if (link_send(other->peer, str_from(bytes, len)) != ERR_OK) {
            return;
        }
        other->sent_number++;
    }
}

static void on_record(void *context, struct link_peer *peer, uint64_t epoch, struct str bytes)
{
    struct record record;
    unsigned from = index_of(peer);
    struct counterpart *other = &node.others[from];
    (void)context;

    if (bytes.len < sizeof(record)) {
        report("V node %u: short record", node.self);
        return;
    }
    memcpy(&record, bytes.ptr, sizeof(record));
    struct str payload = str_from(bytes.ptr + sizeof(record), bytes.len - sizeof(record));
    if (record.from != from || record.to != node.self || record.check != str_hash(payload)) {
        report("V node %u: damaged or misdirected record from %u", node.self, from);
    }
    bool is_same = other->has_received && other->epoch == epoch && other->stream == record.stream;
    bool is_old = other->has_received
            && (epoch < other->epoch || (epoch == other->epoch && record.stream < other->stream));
    uint64_t expected = is_same ? other->number + 1 : 1;
    if (is_old || record.number != expected) {
        report("V node %u epoch %llu: from %u epoch %llu stream %llu number %llu after %llu/%llu/%llu",
                node.self,
                (unsigned long long)node.epoch,
                from,
                (unsigned long long)epoch,
                (unsigned long long)record.stream,
                (unsigned long long)record.number,
                (unsigned long long)other->epoch,
                (unsigned long long)other->stream,
                (unsigned long long)other->number);
    }
    other->has_received = true;
    other->epoch = epoch;
    other->stream = record.stream;
    other->number = record.number;
    node.received++;
}

static void on_up(void *context, struct link_peer *peer, uint64_t epoch)
{
    unsigned index = index_of(peer);
    (void)context, (void)epoch;
    pump(&node.others[index], index);
}

static void on_down(void *context, struct link_peer *peer, uint64_t epoch, bool is_dead)
{
    (void)context, (void)epoch;
    if (is_dead) {
        struct counterpart *other = &node.others[index_of(peer)];
        other->sent_stream++;
        other->sent_number = 0;
        if (link_peer_unacked_bytes(peer) != 0) {
            report("V node %u: records wait for a dead peer", node.self);
        }
    }
}

static void on_room(void *context, struct link_peer *peer)
{
    unsigned index = index_of(peer);
    (void)context;
    pump(&node.others[index], index);
}

static long rss_kib(void)
{
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    struct str rest = str_from(text, len > 0 ? (size_t)len : 0);
    uint64_t pages = 0;
    (void)str_cut(&rest, ' ');
    (void)str_to_u64(str_cut(&rest, ' '), &pages);
    return (long)pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void tell_what_was_sent(void)
{
    for (unsigned i = 0; i < node.count; i++) {
        if (i != node.self
                && (link_peer_unacked_bytes(node.others[i].peer) > 0
                        || !link_peer_is_up(node.others[i].peer))) {
            return;
        }
    }
    node.has_told = true;
    for (unsigned i = 0; i < node.count; i++) {
        const struct counterpart *other = &node.others[i];
        if (i != node.self) {
            report("T %u %llu %u %llu %llu %llu",
                    node.self,
                    (unsigned long long)node.epoch,
                    i,
                    (unsigned long long)link_peer_boot_epoch(other->peer),
                    (unsigned long long)other->sent_stream,
                    (unsigned long long)other->sent_number);
        }
    }
}

static void on_status(struct timer *timer, void *context)
{
    char epochs[256] = "";
    size_t len = 0;
    (void)context;
    for (unsigned i = 0; i < node.count; i++) {
        const struct link_peer *peer = node.others[i].peer;
        uint64_t epoch = peer && link_peer_is_up(peer) ? link_peer_boot_epoch(peer) : 0;
        len += (size_t)snprintf(
                epochs + len, sizeof(epochs) - len, " %llu", (unsigned long long)epoch);
    }
    report("S %u %llu %ld %llu%s",
            node.self,
            (unsigned long long)node.epoch,
            rss_kib(),
            (unsigned long long)node.received,
            epochs);
    if (node.is_quiet && !node.has_told) {
        tell_what_was_sent();
    }
    timer_start(loop_timers(node.loop), timer, 100);
}

static void on_pump(struct timer *timer, void *context)
{
    (void)context;
    for (unsigned i = 0; i < node.count; i++) {
        pump(&node.others[i], i);
    }
    timer_start(loop_timers(node.loop), timer, 20);
}

static void on_signal(void *context, int signum)
{
    (void)context;
    if (signum == SIGUSR1) {
        node.is_quiet = true;
        return;
    }
    for (unsigned i = 0; i < node.count; i++) {
        const struct counterpart *other = &node.others[i];
        if (i != node.self) {
            report("R %u %llu %u %llu %llu %llu",
                    node.self,
                    (unsigned long long)node.epoch,
                    i,
                    (unsigned long long)other->epoch,
                    (unsigned long long)other->stream,
                    (unsigned long long)other->number);
        }
    }
    loop_stop(node.loop);
}

static struct str address_of(unsigned index, char *out, size_t size)
{
    snprintf(out, size, "tcp://127.0.0.1:%u", (unsigned)node.ports[index]);
    return str_from_cstr(out);
}

static void open_node(void)
{
    static const struct link_handlers handlers = { on_record, on_up, on_down, on_room };
    char name[16], address[64];
    snprintf(name, sizeof(name), "n%u", node.self);
    (void)address_of(node.self, address, sizeof(address));
    const struct link_options options = {
        .node = name,
        .role = LINK_ROLE_ROUTER,
        .boot_epoch = node.epoch,
        .address = address,
        .core_secret = STR("only for this test"),
        .max_frame_bytes = 128 * 1024,
        .max_unacked_bytes = 256 * 1024,
        .receive_window_bytes = 96 * 1024,
        .ping_interval_ms = 250,
        .reconnect_min_ms = 5,
        .reconnect_max_ms = 100,
        .peer_timeout_ms = 2000,
        .handshake_timeout_ms = 1000,
    };
    if (link_open(node.loop, &options, &handlers, NULL, &node.link) != ERR_OK) {
        report("V node %u cannot open %s", node.self, address);
        exit(4);
    }
    for (unsigned i = 0; i < node.count; i++) {
        if (i != node.self) {
            snprintf(name, sizeof(name), "n%u", i);
            (void)address_of(i, address, sizeof(address));
            node.others[i].peer = link_dial(node.link, name, LINK_ROLE_ROUTER, address);
        }
    }
}

/* argv: --child INDEX EPOCH PORT... */
static int run_node(int argc, char **argv)
{
    uint64_t value;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    node.count = (unsigned)argc - 4;
    node.self = str_to_u64(str_from_cstr(argv[2]), &value) ? (unsigned)value : 0;
    node.epoch = str_to_u64(str_from_cstr(argv[3]), &value) ? value : 0;
    for (unsigned i = 0; i < node.count; i++) {
        node.ports[i] = str_to_u64(str_from_cstr(argv[4 + i]), &value) ? (uint16_t)value : 0;
    }
    node.random = node.epoch * 131 + node.self;
    node.loop = loop_create(&clock_system);
    loop_on_signal(node.loop, SIGTERM, on_signal, NULL);
    loop_on_signal(node.loop, SIGUSR1, on_signal, NULL);
    timer_init(&node.pump_timer, on_pump, NULL);
    timer_init(&node.status_timer, on_status, NULL);
    open_node();
    timer_start(loop_timers(node.loop), &node.pump_timer, 1);
    timer_start(loop_timers(node.loop), &node.status_timer, 50);
    loop_run(node.loop);
    link_close(node.link);
    timer_stop(&node.pump_timer);
    timer_stop(&node.status_timer);
    loop_destroy(node.loop);
    return 0;
}

/* ---------------------------------------------------------------- the parent */

struct tail { /* of one direction between two nodes, at the end */
    uint64_t sender_epoch, receiver_epoch, stream, number;
    bool is_known;
};

struct child {
    pid_t pid;
    uint64_t epoch;
    uint64_t up_epochs[NODES_MAX];
    uint64_t status_epoch; /* whose status up_epochs is */
    uint64_t received;
    int64_t stopped_until_ms;
};

static struct {
    const char *program;
    unsigned nodes, kills, kills_done, stops, strangers, crashes;
    uint64_t random, received, violations;
    long worst_rss_kib;
    int report_fd, report_write_fd;
    int stranger_fds[STRANGERS_MAX];
    uint16_t ports[NODES_MAX];
    struct child children[NODES_MAX];
    struct tail sent[NODES_MAX][NODES_MAX], received_tails[NODES_MAX][NODES_MAX];
    unsigned checks_passed, checks_failed;
    struct {
        char text[64 * 1024];
        size_t len;
    } lines;
} parent;

static int64_t now_ms(void)
{
    return clock_system.monotonic_ms(clock_system.context);
}

static void choose_ports(void)
{
    int fds[NODES_MAX];
    for (unsigned i = 0; i < parent.nodes; i++) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        socklen_t len = sizeof(address);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&address, len) < 0
                || getsockname(fds[i], (struct sockaddr *)&address, &len) < 0) {
            perror("port");
            exit(2);
        }
        parent.ports[i] = ntohs(address.sin_port);
    }
    for (unsigned i = 0; i < parent.nodes; i++) {
        close(fds[i]);
    }
}

static void start_child(unsigned index)
{
    static uint64_t last_epoch;
    struct child *child = &parent.children[index];
    char texts[NODES_MAX + 2][24];
    char *argv[NODES_MAX + 5];
    char child_word[] = "--child";
    int argc = 0;

    child->epoch = ++last_epoch;
    child->status_epoch = child->received = 0;
    snprintf(texts[0], sizeof(texts[0]), "%u", index);
    snprintf(texts[1], sizeof(texts[1]), "%llu", (unsigned long long)child->epoch);
    for (unsigned i = 0; i < parent.nodes; i++) {
        snprintf(texts[2 + i], sizeof(texts[0]), "%u", (unsigned)parent.ports[i]);
    }
    argv[argc++] = child_word;
    argv[argc++] = child_word;
    for (unsigned i = 0; i < parent.nodes + 2; i++) {
        argv[argc++] = texts[i];
    }
    argv[argc] = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        if (dup2(parent.report_write_fd, REPORT_FD) < 0) {
            _exit(5);
        }
        execv("/proc/self/exe", argv);
        _exit(5);
    }
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    child->pid = pid;
}

/* ---- reports */

static uint64_t take_number(struct str *rest)
{
    uint64_t value = 0;
    (void)str_to_u64(str_cut(rest, ' '), &value);
    return value;
}

static void handle_status(struct str rest)
{
    unsigned index = (unsigned)take_number(&rest) % NODES_MAX;
    struct child *child = &parent.children[index];
    uint64_t epoch = take_number(&rest);
    long rss = (long)take_number(&rest);
    uint64_t received = take_number(&rest);
    if (child->status_epoch != epoch) {
        child->received = 0;
    }
    parent.received += received - child->received;
    child->received = received;
    if (rss > parent.worst_rss_kib) {
        parent.worst_rss_kib = rss;
    }
    child->status_epoch = epoch;
    for (unsigned i = 0; i < parent.nodes; i++) {
        child->up_epochs[i] = take_number(&rest);
    }
}

static void handle_tail(struct str rest, bool is_sender)
{
    unsigned self = (unsigned)take_number(&rest) % NODES_MAX;
    uint64_t epoch = take_number(&rest);
    unsigned other = (unsigned)take_number(&rest) % NODES_MAX;
    uint64_t other_epoch = take_number(&rest);
    uint64_t stream = take_number(&rest);
    struct tail tail = { .stream = stream, .number = take_number(&rest), .is_known = true };
    tail.sender_epoch = is_sender ? epoch : other_epoch;
    tail.receiver_epoch = is_sender ? other_epoch : epoch;
    if (is_sender) {
        parent.sent[self][other] = tail;
    } else {
        parent.received_tails[other][self] = tail;
    }
}

static void handle_line(struct str line)
{
    char kind = line.len > 2 ? line.ptr[0] : '?';
    struct str rest = line.len > 2 ? str_from(line.ptr + 2, line.len - 2) : STR_NULL;
    switch (kind) {
    case 'S': handle_status(rest); break;
    case 'T': handle_tail(rest, true); break;
    case 'R': handle_tail(rest, false); break;
    case 'V':
        parent.violations++;
        if (parent.violations <= 20) {
            printf("broken promise: " STR_FMT "\n", STR_ARG(rest));
        }
        break;
    default: break;
    }
}

static void read_reports(int timeout_ms)
{
    struct pollfd pfd = { .fd = parent.report_fd, .events = POLLIN };
    if (poll(&pfd, 1, timeout_ms) <= 0) {
        return;
    }
    char *text = parent.lines.text;
    ssize_t got = read(parent.report_fd,
            text + parent.lines.len,
            sizeof(parent.lines.text) - parent.lines.len);
    if (got <= 0) {
        return;
    }
    struct str rest = str_from(text, parent.lines.len + (size_t)got);
    for (size_t end; (end = str_find_char(rest, '\n')) < rest.len;) {
        handle_line(str_cut(&rest, '\n'));
    }
    memmove(text, rest.ptr, rest.len);
    parent.lines.len = rest.len;
}

/* ---- faults */

static unsigned pick(unsigned below)
{
    return (unsigned)(next_random(&parent.random) % below);
}

static void send_signal(struct child *child, int signum)
{
    if (child->pid > 0) {
        kill(child->pid, signum);
    }
}

static void wait_for(struct child *child, bool was_killed)
{
    int status = 0;
    waitpid(child->pid, &status, 0);
    bool is_expected = was_killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                                  : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!is_expected) {
        parent.crashes++;
        printf("a node ended by itself: status 0x%x\n", (unsigned)status);
    }
    child->pid = 0;
}

static void kill_one(void)
{
    unsigned index = pick(parent.nodes);
    struct child *child = &parent.children[index];
    send_signal(child, SIGKILL);
    wait_for(child, true);
    child->stopped_until_ms = 0;
    start_child(index);
    parent.kills_done++;
}

/* Shorter than a dead ping, longer than it, longer than the peer time-out. */
static void stop_one(void)
{
    static const int64_t durations_ms[] = { 200, 1300, 1600, 3000 };
    struct child *child = &parent.children[pick(parent.nodes)];
    if (child->stopped_until_ms == 0) {
        child->stopped_until_ms = now_ms() + durations_ms[pick(4)];
        send_signal(child, SIGSTOP);
        parent.stops++;
    }
}

static void continue_the_stopped(bool at_once)
{
    for (unsigned i = 0; i < parent.nodes; i++) {
        struct child *child = &parent.children[i];
        if (child->stopped_until_ms != 0 && (at_once || now_ms() >= child->stopped_until_ms)) {
            child->stopped_until_ms = 0;
            send_signal(child, SIGCONT);
        }
    }
}

/* Half-open connects, resets, garbage, and some that stay and say nothing. */
static void knock(void)
{
    static const char garbage[] = "\x7f\xff\xff\xffgarbage";
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(parent.ports[pick(parent.nodes)]);
    int *slot = &parent.stranger_fds[pick(STRANGERS_MAX)];
    if (*slot > 0) {
        close(*slot);
        *slot = 0;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    const struct linger linger = { .l_onoff = (int)pick(2), .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    (void)connect(fd, (struct sockaddr *)&address, sizeof(address));
    parent.strangers++;
    unsigned dice = pick(8);
    if (dice == 0) {
        (void)!send(fd, garbage, sizeof(garbage) - 1, MSG_NOSIGNAL);
    }
    if (dice == 1) {
        *slot = fd;
    } else {
        close(fd);
    }
}

/* A node that was killed before it could start listening proves little: on the whole the cluster
 * gets time to talk between two kills. */
static void run_faults(void)
{
    while (parent.kills_done < parent.kills && parent.violations < 100) {
        int64_t until_ms = now_ms() + 10 + pick(parent.kills_done % 10 == 0 ? 600 : 90);
        while (now_ms() < until_ms) {
            read_reports(3);
            continue_the_stopped(false);
            for (unsigned i = 0; i < 4; i++) {
                knock();
            }
        }
        kill_one();
        if (parent.kills_done % 20 == 10) {
            stop_one();
        }
        if (parent.kills_done % 200 == 0) {
            printf("%u kills\n", parent.kills_done);
            fflush(stdout);
        }
    }
    continue_the_stopped(true);
}

/* ---- the end */

static bool is_everybody_connected(void)
{
    for (unsigned i = 0; i < parent.nodes; i++) {
        const struct child *child = &parent.children[i];
        if (child->status_epoch != child->epoch) {
            return false;
        }
        for (unsigned j = 0; j < parent.nodes; j++) {
            if (i != j && child->up_epochs[j] != parent.children[j].epoch) {
                return false;
            }
        }
    }
    return true;
}

static bool is_everything_told(void)
{
    for (unsigned i = 0; i < parent.nodes; i++) {
        for (unsigned j = 0; j < parent.nodes; j++) {
            if (i != j && !parent.sent[i][j].is_known) {
                return false;
            }
        }
    }
    return true;
}

static bool do_tails_match(void)
{
    for (unsigned i = 0; i < parent.nodes; i++) {
        for (unsigned j = 0; j < parent.nodes; j++) {
            const struct tail *sent = &parent.sent[i][j], *got = &parent.received_tails[i][j];
            if (i != j
                    && (!got->is_known || sent->number == 0 || sent->number != got->number
                            || sent->stream != got->stream
                            || sent->sender_epoch != got->sender_epoch
                            || sent->receiver_epoch != got->receiver_epoch)) {
                printf("%u to %u: sent %llu/%llu, received %llu/%llu\n",
                        i,
                        j,
                        (unsigned long long)sent->stream,
                        (unsigned long long)sent->number,
                        (unsigned long long)got->stream,
                        (unsigned long long)got->number);
                return false;
            }
        }
    }
    return true;
}

static bool wait_until(bool (*condition)(void), int64_t timeout_ms)
{
    int64_t until_ms = now_ms() + timeout_ms;
    while (!condition() && now_ms() < until_ms) {
        read_reports(20);
    }
    return condition();
}

static void check(const char *what, bool is_good)
{
    printf("%s %s\n", is_good ? "ok    " : "FAILED", what);
    parent.checks_passed += is_good;
    parent.checks_failed += !is_good;
}

static void finish(void)
{
    check("every survivor is connected to every other", wait_until(is_everybody_connected, 30000));
    for (unsigned i = 0; i < parent.nodes; i++) {
        send_signal(&parent.children[i], SIGUSR1);
    }
    check("everything sent is acknowledged", wait_until(is_everything_told, 30000));
    for (unsigned i = 0; i < parent.nodes; i++) {
        send_signal(&parent.children[i], SIGTERM);
    }
    for (unsigned i = 0; i < parent.nodes; i++) {
        wait_for(&parent.children[i], false);
    }
    for (int i = 0; i < 50; i++) {
        read_reports(1);
    }
    check("what was acknowledged is what was received", do_tails_match());
    check("order, no duplicate, no gap, no damage", parent.violations == 0);
    check("no node ended by itself, all ended in order", parent.crashes == 0);
    check("memory is bounded", parent.worst_rss_kib > 0 && parent.worst_rss_kib < RSS_MAX_KIB);
    printf("%u kills, %u stops, %u strangers, worst RSS %ld KiB, %llu records checked\n",
            parent.kills_done,
            parent.stops,
            parent.strangers,
            parent.worst_rss_kib,
            (unsigned long long)parent.received);
}

static bool take_option(int argc, char **argv, const char *name, uint64_t *value)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return str_to_u64(str_from_cstr(argv[i + 1]), value);
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc > 5 && strcmp(argv[1], "--child") == 0) {
        return run_node(argc, argv);
    }
    uint64_t kills = 100, nodes = 5, seed = 1;
    if (!take_option(argc, argv, "--kills", &kills) || !take_option(argc, argv, "--nodes", &nodes)
            || !take_option(argc, argv, "--seed", &seed) || nodes < 2 || nodes > NODES_MAX) {
        fprintf(stderr, "usage: link_kill [--kills N] [--nodes 2..%d] [--seed S]\n", NODES_MAX);
        return 2;
    }
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        perror("pipe");
        return 2;
    }
    /* 3 is where the nodes expect it; keep our own ends away from it. */
    parent.report_fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 10);
    parent.report_write_fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    close(fds[0]);
    close(fds[1]);
    parent.kills = (unsigned)kills;
    parent.nodes = (unsigned)nodes;
    parent.random = seed;
    choose_ports();
    for (unsigned i = 0; i < parent.nodes; i++) {
        start_child(i);
    }
    run_faults();
    finish();
    printf("%u passed, %u failed\n", parent.checks_passed, parent.checks_failed);
    return parent.checks_failed == 0 ? 0 : 1;
}

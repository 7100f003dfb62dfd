/* Accepting. A connection from a trusted proxy waits here until its PROXY header is complete; the
 * header is peeked at, and exactly its bytes are taken, so what follows stays in the socket. */
#include "edge/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "chassis/timer.h"
#include "edge/address.h"
#include "edge/listener_limits.h"
#include "edge/proxy_protocol.h"

enum {
    ACCEPTS_PER_TURN = 64,
    PAUSE_MS = 200,             /* after running out of descriptors */
    MAX_PENDING_HEADERS = 1024, /* connections that owe their PROXY header */
    KEEPALIVE_IDLE_S = 300,     /* seldom enough for a telephone's battery */
    KEEPALIVE_INTERVAL_S = 30,
    KEEPALIVE_PROBES = 6,
    DEFAULT_BACKLOG = 1024,
};

struct pending { /* waits for its PROXY header */
    struct listener *listener;
    struct loop_watch *watch;
    struct timer timer;
    struct peer_address address;
    struct pending *next;
    struct pending **previous;
    int fd;
};

struct listener {
    struct loop *loop;
    struct loop_watch *watch;
    struct listener_limits *limits;
    listener_accepted accepted;
    void *context;
    struct address_network *proxies;
    size_t proxy_count;
    int64_t proxy_timeout_ms;
    struct pending *pending;
    size_t pending_count;
    struct timer pause_timer;
    int fd;
    int spare_fd; /* given up to take and close one connection when there are no descriptors */
    uint16_t port;
};

static struct metric accepted_total =
        METRIC_COUNTER_INIT("connections_accepted_total", "Connections accepted.", NULL);
static struct metric_family refused_total = {
    .name = "connections_refused_total",
    .help = "Connections closed at accept.",
    .label = "reason",
};

/* ---- handing over */

static void set_option(int fd, int level, int option, int value)
{
    /* Fails only on a connection that is gone already; the first read will tell. */
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void tune(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

static void refuse(int fd, const char *reason)
{
    metric_family_add(&refused_total, reason, 1);
    close(fd);
}

/* A29: closed without a word, as XEP-0205 §3 wants. */
static void hand_over(struct listener *listener, int fd, const struct peer_address *address)
{
    switch (listener_limits_admit(listener->limits, address)) {
    case ADMISSION_FULL: refuse(fd, "full"); return;
    case ADMISSION_TOO_MANY: refuse(fd, "address_connections"); return;
    case ADMISSION_TOO_FAST: refuse(fd, "address_rate"); return;
    case ADMISSION_GRANTED: break;
    }
    tune(fd);
    metric_add(&accepted_total, 1);
    listener->accepted(listener->context, fd, address);
}

static void set_text(struct peer_address *address)
{
    address_normalise(&address->storage);
    address_format(&address->storage, address->text, sizeof(address->text));
}

/* ---- PROXY headers */

/* Gives the descriptor back to the caller. */
static int drop_pending(struct pending *pending)
{
    int fd = pending->fd;
    *pending->previous = pending->next;
    if (pending->next != NULL) {
        pending->next->previous = pending->previous;
    }
    pending->listener->pending_count--;
    timer_stop(&pending->timer);
    loop_watch_destroy(pending->watch);
    free(pending);
    return fd;
}

static void on_header_timeout(struct timer *timer, void *context)
{
    (void)timer;
    refuse(drop_pending(context), "proxy_timeout");
}

static void on_header_complete(struct pending *pending, const struct proxy_header *header)
{
    struct listener *listener = pending->listener;
    struct peer_address address = pending->address;
    char taken[PROXY_HEADER_MAX_BYTES];
    int fd = drop_pending(pending);
    if (recv(fd, taken, header->bytes, 0) != (ssize_t)header->bytes) {
        refuse(fd, "proxy_header");
        return;
    }
    set_option(fd, SOL_SOCKET, SO_RCVLOWAT, 1);
    if (header->has_address) {
        address.storage = header->source;
        set_text(&address);
    }
    hand_over(listener, fd, &address);
}

static void on_header_bytes(void *context, unsigned events)
{
    struct pending *pending = context;
    char bytes[PROXY_HEADER_MAX_BYTES];
    ssize_t len = recv(pending->fd, bytes, sizeof(bytes), MSG_PEEK);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    struct proxy_header header;
    enum err err =
            len <= 0 ? ERR_CLOSED : proxy_header_parse(str_from(bytes, (size_t)len), &header);
    if (err == ERR_OK) {
        on_header_complete(pending, &header);
    } else if (err != ERR_AGAIN || (events & LOOP_HANGUP) != 0) {
        refuse(drop_pending(pending), "proxy_header"); /* E20 */
    } else {
        /* The bytes stay in the socket, so it would be readable for ever: wake for more only. */
        set_option(pending->fd, SOL_SOCKET, SO_RCVLOWAT, (int)len + 1);
    }
}

static void await_header(struct listener *listener, int fd, const struct peer_address *address)
{
    if (listener->pending_count >= MAX_PENDING_HEADERS) {
        refuse(fd, "full");
        return;
    }
    struct pending *pending = MEM_NEW(struct pending);
    pending->listener = listener;
    pending->fd = fd;
    pending->address = *address;
    pending->next = listener->pending;
    pending->previous = &listener->pending;
    if (pending->next != NULL) {
        pending->next->previous = &pending->next;
    }
    listener->pending = pending;
    listener->pending_count++;
    timer_init(&pending->timer, on_header_timeout, pending);
    timer_start(loop_timers(listener->loop), &pending->timer, listener->proxy_timeout_ms);
    pending->watch = loop_watch_create(listener->loop, fd, on_header_bytes, pending);
    loop_watch_set(pending->watch, LOOP_READABLE);
}

static bool is_proxy(const struct listener *listener, const struct peer_address *address)
{
    for (size_t i = 0; i < listener->proxy_count; i++) {
        if (address_network_contains(&listener->proxies[i], &address->storage)) {
            return true;
        }
    }
    return false;
}

/* ---- accepting */

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* H07: without descriptors accept fails and the socket stays readable. One connection is taken and
 * closed, so that its client knows; then accepting rests, since spinning helps nobody. */
static void on_no_descriptors(struct listener *listener, int reason)
{
    if (listener->spare_fd >= 0) {
        close(listener->spare_fd);
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            refuse(fd, "descriptors");
        }
        listener->spare_fd = open_spare();
    }
    log_warn("listener", "accepting rests: no descriptors or memory", log_int("errno", reason));
    loop_watch_set(listener->watch, 0);
    timer_start(loop_timers(listener->loop), &listener->pause_timer, PAUSE_MS);
}

static void on_pause_over(struct timer *timer, void *context)
{
    (void)timer;
    struct listener *listener = context;
    if (listener->spare_fd < 0) {
        listener->spare_fd = open_spare();
    }
    loop_watch_set(listener->watch, LOOP_READABLE);
}

/* False: nothing more for now. */
static bool accept_one(struct listener *listener)
{
    struct peer_address address;
    memset(&address, 0, sizeof(address));
    socklen_t len = sizeof(address.storage);
    /* The cast: glibc's parameter is a union of all address types. */
    int fd = accept4(listener->fd,
            (struct sockaddr *)(void *)&address.storage,
            &len,
            SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            on_no_descriptors(listener, errno);
            return false;
        }
        /* Else the connection died in the queue: Linux reports its error here (accept(2)). */
        return errno != EAGAIN && errno != EWOULDBLOCK;
    }
    set_text(&address);
    if (is_proxy(listener, &address)) {
        await_header(listener, fd, &address);
    } else {
        hand_over(listener, fd, &address);
    }
    return true;
}

static void on_readable(void *context, unsigned events)
{
    (void)events;
    struct listener *listener = context;
    /* `accepted` may pause us. */
    for (int i = 0; i < ACCEPTS_PER_TURN && listener->fd >= 0 && accept_one(listener); i++) {
    }
}

/* ---- life */

static bool make_address(const struct listener_options *options,
        struct sockaddr_storage *address_out,
        socklen_t *len_out)
{
    struct address_network parsed;
    struct str text = str_from_cstr(options->address);
    if (text.len == 0) {
        text = STR("::");
    }
    if (address_network_parse(text, &parsed) != ERR_OK) {
        return false;
    }
    *address_out = (struct sockaddr_storage){ .ss_family = (sa_family_t)parsed.family };
    if (parsed.family == AF_INET) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(options->port) };
        memcpy(&in.sin_addr, parsed.bytes, sizeof(in.sin_addr));
        memcpy(address_out, &in, sizeof(in));
        *len_out = sizeof(in);
    } else {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(options->port) };
        memcpy(&in6.sin6_addr, parsed.bytes, sizeof(in6.sin6_addr));
        memcpy(address_out, &in6, sizeof(in6));
        *len_out = sizeof(in6);
    }
    return true;
}

static enum err open_socket(const struct listener_options *options, int *fd_out)
{
    struct sockaddr_storage address;
    socklen_t len = 0;
    if (!make_address(options, &address, &len)) {
        return ERR_INVALID;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return ERR_SYSTEM;
    }
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address.ss_family == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    int backlog = options->backlog > 0 ? options->backlog : DEFAULT_BACKLOG;
    if (bind(fd, (struct sockaddr *)(void *)&address, len) != 0 || listen(fd, backlog) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return saved == EADDRINUSE ? ERR_EXISTS : ERR_SYSTEM;
    }
    *fd_out = fd;
    return ERR_OK;
}

/* "" means all addresses; a host without IPv6 has those of IPv4. */
static enum err open_any_socket(const struct listener_options *options, int *fd_out)
{
    enum err err = open_socket(options, fd_out);
    if (err == ERR_SYSTEM && (options->address == NULL || options->address[0] == '\0')) {
        struct listener_options ipv4 = *options;
        ipv4.address = "0.0.0.0";
        err = open_socket(&ipv4, fd_out);
    }
    return err;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)(void *)&address, &len) != 0) {
        return 0;
    }
    struct sockaddr_in in;
    memcpy(&in, &address, sizeof(in)); /* the port has the same place in both families */
    return ntohs(in.sin_port);
}

static enum err parse_proxies(struct listener *listener, const struct config_strings *networks)
{
    listener->proxy_count = networks != NULL ? networks->count : 0;
    listener->proxies = mem_calloc(listener->proxy_count + 1, sizeof(*listener->proxies));
    for (size_t i = 0; i < listener->proxy_count; i++) {
        enum err err =
                address_network_parse(str_from_cstr(networks->items[i]), &listener->proxies[i]);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

enum err listener_open(struct loop *loop,
        const struct listener_options *options,
        struct listener_limits *limits,
        listener_accepted accepted,
        void *context,
        struct listener **listener_out)
{
    struct listener *listener = MEM_NEW(struct listener);
    listener->loop = loop;
    listener->limits = limits;
    listener->accepted = accepted;
    listener->context = context;
    listener->proxy_timeout_ms = options->proxy_timeout_ms;
    listener->spare_fd = -1;
    listener->fd = -1;
    timer_init(&listener->pause_timer, on_pause_over, listener);
    enum err err = parse_proxies(listener, options->proxy_networks);
    if (err == ERR_OK) {
        err = open_any_socket(options, &listener->fd);
    }
    if (err != ERR_OK) {
        int saved = errno;
        listener_close(listener);
        errno = saved;
        return err;
    }
    listener->spare_fd = open_spare();
    listener->port = bound_port(listener->fd);
    listener->watch = loop_watch_create(loop, listener->fd, on_readable, listener);
    loop_watch_set(listener->watch, LOOP_READABLE);
    metric_register(&accepted_total);
    *listener_out = listener;
    return ERR_OK;
}

void listener_pause(struct listener *listener)
{
    loop_watch_destroy(listener->watch);
    listener->watch = NULL;
    timer_stop(&listener->pause_timer);
    if (listener->fd >= 0) {
        close(listener->fd);
        listener->fd = -1;
    }
    while (listener->pending != NULL) {
        refuse(drop_pending(listener->pending), "drain");
    }
}

void listener_close(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    listener_pause(listener);
    if (listener->spare_fd >= 0) {
        close(listener->spare_fd);
    }
    free(listener->proxies);
    free(listener);
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

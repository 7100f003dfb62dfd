/* tcp:// on sockets of our own, watched by the loop: a frame costs one call to send and one wake-up
 * to receive. The same over NNG costs four to six switches between threads (ARCHITECTURE.md). */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/link_address.h"
#include "chassis/link_stream_ops.h"
#include "chassis/log.h"
#include "chassis/loop.h"

enum {
    RECEIVE_BYTES = 64 * 1024,
    RECEIVES_PER_EVENT = 8, /* then others have their turn */
    FIRST_RECEIVE_BYTES = 4 * 1024,
    KEEP_SEND_BYTES = 256 * 1024, /* a larger buffer is given back after use */
    ACCEPTS_PER_EVENT = 64,
    ACCEPT_RETRY_MS = 20,
    BACKLOG = 512,
    POLL_MAX = 1024, /* streams moved by one tcp_streams_poll */
};

struct tcp_stream {
    struct link_stream base; /* first */
    struct tcp_streams *streams;
    int fd; /* -1: not connected yet */
    struct loop_watch *watch;
    struct addrinfo *addresses; /* while dialling: all, and the one being tried */
    const struct addrinfo *trying;
    struct buf sending;
    size_t receive_bytes;
    /* What the owner has to hear, not from inside his own call. */
    struct loop_task news_task;
    enum err end; /* not ERR_OK: on_end is due */
    const char *why;
    bool is_sent_due;
    bool is_connecting;
    bool is_resolving; /* the thread pool holds a reference */
    bool is_closed;
    unsigned busy; /* depth of our own code on the stack that calls events */
    struct tcp_stream *prev, *next;
};

struct tcp_streams {
    struct loop *loop;
    struct tcp_stream *open;
    char received[RECEIVE_BYTES]; /* one stream reads at a time */
};

struct tcp_listener {
    struct link_listener base; /* first */
    struct tcp_streams *streams;
    int fd;
    struct loop_watch *watch;
    struct timer retry;
};

struct tcp_streams *tcp_streams_create(struct loop *loop)
{
    struct tcp_streams *streams = MEM_NEW(struct tcp_streams);
    streams->loop = loop;
    return streams;
}

void tcp_streams_destroy(struct tcp_streams *streams)
{
    ASSERT(streams->open == NULL);
    free(streams);
}

/* ---- life */

static void free_when_idle(struct tcp_stream *stream)
{
    if (stream->is_closed && !stream->is_resolving && stream->busy == 0) {
        free(stream);
    }
}

static void enter(struct tcp_stream *stream)
{
    stream->busy++;
}

/* The last line of every function that called `enter`: the stream may be gone behind it. */
static void leave(struct tcp_stream *stream)
{
    stream->busy--;
    free_when_idle(stream);
}

static void drop_socket(struct tcp_stream *stream)
{
    loop_watch_destroy(stream->watch);
    stream->watch = NULL;
    if (stream->fd >= 0) {
        close(stream->fd);
        stream->fd = -1;
    }
}

static void close_stream(struct link_stream *base)
{
    struct tcp_stream *stream = (struct tcp_stream *)base;
    ASSERT(!stream->is_closed);
    stream->is_closed = true;
    drop_socket(stream);
    loop_task_cancel(stream->streams->loop, &stream->news_task);
    if (stream->addresses) {
        freeaddrinfo(stream->addresses);
        stream->addresses = NULL;
    }
    buf_fini(&stream->sending);
    DL_DELETE(stream->streams->open, stream);
    free_when_idle(stream);
}

/* ---- news for the owner */

static void tell(struct tcp_stream *stream)
{
    enter(stream);
    if (stream->end != ERR_OK) {
        enum err end = stream->end;
        stream->end = ERR_OK;
        stream->is_sent_due = false;
        stream->base.events->on_end(stream->base.context, end, stream->why);
    } else if (stream->is_sent_due) {
        stream->is_sent_due = false;
        stream->base.is_sending = false;
        stream->base.events->on_sent(stream->base.context);
    }
    leave(stream);
}

static void on_news(void *context)
{
    tell(context);
}

static void tell_later(struct tcp_stream *stream)
{
    loop_defer(stream->streams->loop, LOOP_PHASE_SEND, &stream->news_task);
}

static enum err err_of(int number)
{
    switch (number) {
    case EADDRINUSE: return ERR_EXISTS;
    case EACCES:
    case EPERM: return ERR_DENIED;
    case ETIMEDOUT: return ERR_TIMEOUT;
    case ECONNRESET:
    case EPIPE: return ERR_CLOSED;
    default: return ERR_UNAVAILABLE;
    }
}

static void end_later(struct tcp_stream *stream, enum err err, const char *why)
{
    if (stream->watch) {
        loop_watch_set(stream->watch, 0);
    }
    stream->end = err;
    stream->why = why;
    tell_later(stream);
}

/* ---- data */

static void watch(struct tcp_stream *stream)
{
    bool has_more = stream->sending.len > 0 || stream->is_connecting;
    loop_watch_set(stream->watch,
            (stream->is_connecting ? 0 : LOOP_READABLE) | (has_more ? LOOP_WRITABLE : 0));
}

static void write_some(struct tcp_stream *stream)
{
    while (stream->sending.len > 0) {
        struct str data = buf_view(&stream->sending);
        ssize_t sent = send(stream->fd, data.ptr, data.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch(stream);
            return;
        }
        if (sent < 0) {
            end_later(stream, err_of(errno), "send failed");
            return;
        }
        buf_consume(&stream->sending, (size_t)sent);
    }
    buf_clear(&stream->sending);
    if (stream->sending.capacity > KEEP_SEND_BYTES) {
        buf_fini(&stream->sending);
    }
    stream->is_sent_due = true;
    watch(stream);
    tell_later(stream);
}

static void send_bytes(struct link_stream *base, struct buf *bytes)
{
    struct tcp_stream *stream = (struct tcp_stream *)base;
    struct buf empty = stream->sending;
    stream->sending = *bytes;
    *bytes = empty;
    write_some(stream);
}

static void receive(struct tcp_stream *stream)
{
    char *room = stream->streams->received;
    for (int i = 0; i < RECEIVES_PER_EVENT && !stream->is_closed && stream->end == ERR_OK; i++) {
        size_t size = stream->receive_bytes;
        ssize_t got = recv(stream->fd, room, size, 0);
        if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            end_later(stream, err_of(errno), "receive failed");
        } else if (got == 0) {
            end_later(stream, ERR_CLOSED, "closed by the peer");
        }
        if (got <= 0) {
            return;
        }
        stream->base.events->on_bytes(stream->base.context, str_from(room, (size_t)got));
        if ((size_t)got < size) {
            return; /* that was all; a call less than waiting for EAGAIN */
        }
    }
}

/* ---- dialling */

static void try_next(struct tcp_stream *stream);

static void on_connected(struct tcp_stream *stream)
{
    stream->is_connecting = false;
    freeaddrinfo(stream->addresses);
    stream->addresses = NULL;
    watch(stream);
    stream->base.events->on_open(stream->base.context);
}

static void check_connect(struct tcp_stream *stream)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    if (error == 0) {
        on_connected(stream);
        return;
    }
    drop_socket(stream);
    stream->trying = stream->trying->ai_next;
    try_next(stream);
}

static void on_events(void *context, unsigned events)
{
    struct tcp_stream *stream = context;
    enter(stream);
    if (stream->is_connecting) {
        check_connect(stream);
    } else {
        if ((events & LOOP_WRITABLE) && stream->sending.len > 0) {
            write_some(stream);
        }
        if (events & (LOOP_READABLE | LOOP_HANGUP)) {
            receive(stream);
        }
    }
    leave(stream);
}

static void adopt(struct tcp_stream *stream, int fd)
{
    int on = 1;
    /* Small records follow each other: none waits for an acknowledgement of the one before. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    stream->fd = fd;
    stream->watch = loop_watch_create(stream->streams->loop, fd, on_events, stream);
}

static void try_next(struct tcp_stream *stream)
{
    for (; stream->trying; stream->trying = stream->trying->ai_next) {
        const struct addrinfo *address = stream->trying;
        int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            continue;
        }
        if (connect(fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS) {
            adopt(stream, fd);
            stream->is_connecting = true; /* also when it is there: the loop will say so */
            watch(stream);
            return;
        }
        close(fd);
    }
    end_later(stream, ERR_UNAVAILABLE, "cannot connect");
}

struct resolving {
    struct tcp_stream *stream;
    char host[LINK_ADDRESS_MAX_BYTES + 1];
    char port[8];
    struct addrinfo *addresses;
};

static int look_up(struct resolving *resolving, int flags)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV };
    return getaddrinfo(resolving->host, resolving->port, &hints, &resolving->addresses);
}

static void resolve(void *context)
{
    (void)look_up(context, 0); /* without addresses, nothing can be tried */
}

static void on_resolved(void *context)
{
    struct resolving *resolving = context;
    struct tcp_stream *stream = resolving->stream;
    stream->is_resolving = false;
    if (stream->is_closed) {
        if (resolving->addresses) {
            freeaddrinfo(resolving->addresses);
        }
        free_when_idle(stream);
    } else {
        stream->addresses = resolving->addresses;
        stream->trying = resolving->addresses;
        try_next(stream);
    }
    free(resolving);
}

static void start(struct link_stream *base)
{
    watch((struct tcp_stream *)base);
}

static void set_receive_bytes(struct link_stream *base, size_t bytes)
{
    ((struct tcp_stream *)base)->receive_bytes = bytes < RECEIVE_BYTES ? bytes : RECEIVE_BYTES;
}

static const struct link_stream_ops stream_ops = {
    .start = start,
    .send = send_bytes,
    .set_receive_bytes = set_receive_bytes,
    .close = close_stream,
};

static struct tcp_stream *stream_create(struct tcp_streams *streams)
{
    struct tcp_stream *stream = MEM_NEW(struct tcp_stream);
    stream->base.ops = &stream_ops;
    stream->streams = streams;
    stream->fd = -1;
    stream->receive_bytes = FIRST_RECEIVE_BYTES;
    stream->news_task = (struct loop_task){ .run = on_news, .context = stream };
    buf_init(&stream->sending, 0);
    DL_APPEND(streams->open, stream);
    return stream;
}

static enum err split(const char *text, struct resolving *out)
{
    struct link_address address;
    enum err err = link_address_parse(str_from_cstr(text), &address);
    if (err == ERR_OK) {
        memcpy(out->host, address.host.ptr, address.host.len);
        out->host[address.host.len] = '\0';
        (void)snprintf(out->port, sizeof(out->port), "%u", (unsigned)address.port);
    }
    return err;
}

enum err tcp_stream_dial(
        struct tcp_streams *streams, const char *address, struct link_stream **stream_out)
{
    struct resolving *resolving = MEM_NEW(struct resolving);
    enum err err = split(address, resolving);
    if (err != ERR_OK) {
        free(resolving);
        return err;
    }
    struct tcp_stream *stream = stream_create(streams);
    resolving->stream = stream;
    if (look_up(resolving, AI_NUMERICHOST) == 0) {
        on_resolved(resolving); /* calls no event */
    } else {
        stream->is_resolving = true;
        loop_offload(streams->loop, resolve, on_resolved, resolving);
    }
    *stream_out = &stream->base;
    return ERR_OK;
}

/* ---- the listener */

static void on_retry_accept(struct timer *timer, void *context)
{
    (void)timer;
    struct tcp_listener *listener = context;
    loop_watch_set(listener->watch, LOOP_READABLE);
}

/* Whatever went wrong with one connection, or with our limits, the inbox goes on: after a failure
 * with a pause, so that running out of descriptors is not a busy loop. */
static void on_acceptable(void *context, unsigned events)
{
    (void)events;
    struct tcp_listener *listener = context;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)) {
            continue;
        }
        if (fd < 0) {
            log_warn("link", "accept failed", log_cstr("why", strerror(errno)));
            loop_watch_set(listener->watch, 0);
            timer_start(loop_timers(listener->streams->loop), &listener->retry, ACCEPT_RETRY_MS);
            return;
        }
        struct tcp_stream *stream = stream_create(listener->streams);
        adopt(stream, fd);
        listener->base.on_accept(listener->base.context, &stream->base);
    }
}

static int listen_on(const struct addrinfo *address, uint16_t *port_out)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0
            || getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *port_out = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                  : ((struct sockaddr_in *)&bound)->sin_port);
    return fd;
}

static void close_listener(struct link_listener *base)
{
    struct tcp_listener *listener = (struct tcp_listener *)base;
    timer_stop(&listener->retry);
    loop_watch_destroy(listener->watch);
    close(listener->fd);
    free(listener);
}

enum err tcp_listener_open(
        struct tcp_streams *streams, const char *address, struct link_listener **listener_out)
{
    struct resolving where = { .stream = NULL };
    uint16_t port = 0;
    int fd = -1;
    errno = EINVAL;
    /* At the start of the process: a name may be looked up here. */
    if (split(address, &where) == ERR_OK && look_up(&where, AI_PASSIVE) == 0) {
        fd = listen_on(where.addresses, &port);
        int error = errno;
        freeaddrinfo(where.addresses);
        errno = error;
    }
    if (fd < 0) {
        log_error("link",
                "cannot listen",
                log_cstr("address", address),
                log_cstr("why", strerror(errno)));
        return err_of(errno);
    }
    struct tcp_listener *listener = MEM_NEW(struct tcp_listener);
    listener->base.close = close_listener;
    listener->base.port = port;
    listener->streams = streams;
    listener->fd = fd;
    timer_init(&listener->retry, on_retry_accept, listener);
    listener->watch = loop_watch_create(streams->loop, fd, on_acceptable, listener);
    loop_watch_set(listener->watch, LOOP_READABLE);
    *listener_out = &listener->base;
    return ERR_OK;
}

/* ---- without a loop */

static bool has_news(const struct tcp_stream *stream)
{
    return stream->end != ERR_OK || stream->is_sent_due;
}

void tcp_streams_poll(struct tcp_streams *streams, int timeout_ms)
{
    struct pollfd fds[POLL_MAX];
    struct tcp_stream *polled[POLL_MAX];
    nfds_t count = 0;
    struct tcp_stream *stream;
    DL_FOREACH(streams->open, stream)
    {
        if (count == POLL_MAX || stream->fd < 0 || stream->is_connecting) {
            continue;
        }
        timeout_ms = has_news(stream) ? 0 : timeout_ms;
        polled[count] = stream;
        fds[count].fd = stream->fd;
        fds[count++].events = (short)(POLLIN | (stream->sending.len > 0 ? POLLOUT : 0));
    }
    (void)poll(fds, count, timeout_ms);
    /* An event may close streams: those are kept until all were looked at. */
    for (nfds_t i = 0; i < count; i++) {
        enter(polled[i]);
    }
    for (nfds_t i = 0; i < count; i++) {
        if (!polled[i]->is_closed && (fds[i].revents & POLLOUT)) {
            write_some(polled[i]);
        }
        if (!polled[i]->is_closed && (fds[i].revents & (POLLIN | POLLHUP | POLLERR))) {
            receive(polled[i]);
        }
        if (!polled[i]->is_closed && has_news(polled[i])) {
            tell(polled[i]);
        }
    }
    for (nfds_t i = 0; i < count; i++) {
        leave(polled[i]);
    }
}

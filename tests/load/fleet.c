/* Sockets, TLS and turns of many clients; see fleet.h. */
#include "tests/load/fleet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "chassis/base/err.h"
#include "chassis/base/mem.h"
#include "tests/load/login.h"

enum {
    READ_BYTES = 64 * 1024,
    EVENTS_MAX = 512,
    SWEEP_US = 250 * 1000,
    STOP_US = 3 * 1000 * 1000,
};

int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

unsigned client_number(const struct client *client)
{
    return client->fleet->settings->first_user + client->user;
}

/* ---------------------------------------------------------------- TLS */

static int on_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    struct client *client = SSL_get_app_data(ssl);
    struct account *account = &client->fleet->accounts[client->user];
    SSL_SESSION_free(account->ticket);
    account->ticket = ticket;
    return 1; /* ours now */
}

static SSL_CTX *make_tls(const struct settings *settings)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    ASSERT(tls);
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_mode(tls,
            SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
                    | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1); /* one read for all records that wait */
    if (settings->resumes_tls) {
        SSL_CTX_set_session_cache_mode(
                tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(tls, on_ticket);
    } else {
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    }
    return tls;
}

static void begin_tls(struct client *client)
{
    struct fleet *fleet = client->fleet;
    struct account *account = &fleet->accounts[client->user];
    client->ssl = SSL_new(fleet->tls);
    ASSERT(client->ssl);
    SSL_set_app_data(client->ssl, client);
    SSL_set_fd(client->ssl, client->fd);
    SSL_set_tlsext_host_name(client->ssl, fleet->settings->host);
    if (fleet->settings->is_direct_tls) {
        static const unsigned char alpn[] = "\x0bxmpp-client";
        SSL_set_alpn_protos(client->ssl, alpn, sizeof(alpn) - 1);
    }
    if (account->ticket) {
        SSL_set_session(client->ssl, account->ticket);
    }
    SSL_set_connect_state(client->ssl);
    client->state = CLIENT_HANDSHAKE;
}

/* ---------------------------------------------------------------- the life of a connection */

static void watch_socket(struct client *client, int operation, bool wants_write)
{
    struct epoll_event event = { .data.ptr = client };
    event.events = EPOLLIN | (wants_write ? (uint32_t)EPOLLOUT : 0U);
    ASSERT(epoll_ctl(client->fleet->epoll, operation, client->fd, &event) == 0);
    client->is_blocked = wants_write;
}

static bool is_logging_in(const struct client *client)
{
    return client->state != CLIENT_ABSENT && client->state < CLIENT_READY;
}

/* Gives up the connection and tells the mode. */
static void drop(struct client *client, bool is_failure)
{
    struct fleet *fleet = client->fleet;
    if (client->state == CLIENT_ABSENT) {
        return;
    }
    fleet->logging_in -= is_logging_in(client);
    fleet->ready -= client->state == CLIENT_READY;
    client->state = CLIENT_ABSENT;
    if (client->ssl) {
        if (!is_failure) {
            SSL_shutdown(client->ssl);
        }
        SSL_free(client->ssl);
        client->ssl = NULL;
    }
    ERR_clear_error();
    if (client->fd >= 0) {
        close(client->fd);
        client->fd = -1;
    }
    login_forget(client);
    scanner_fini(&client->in);
    buf_fini(&client->out);
    if (fleet->events.on_gone) {
        fleet->events.on_gone(client, is_failure);
    }
}

void client_fail(struct client *client, const char *why)
{
    struct fleet *fleet = client->fleet;
    if (client->state == CLIENT_ABSENT) {
        return;
    }
    if (fleet->failures++ == 0) {
        snprintf(fleet->first_failure,
                sizeof(fleet->first_failure),
                "%s%u: %s",
                fleet->settings->user_prefix,
                client_number(client),
                why);
    }
    drop(client, true);
}

void client_start(struct client *client)
{
    struct fleet *fleet = client->fleet;
    const struct settings *settings = fleet->settings;
    const struct target *target = &settings->targets[client->index % settings->target_count];
    int one = 1;
    scanner_init(&client->in);
    buf_init(&client->out, 0);
    client->owes_ack = client->counts_handled = false;
    client->handled = client->sent = client->acked = client->asked_at = 0;
    client->started_us = now_us();
    client->state = CLIENT_CONNECTING;
    fleet->logging_in++;
    client->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) {
        client_fail(client, strerror(errno));
        return;
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(client->fd, (const struct sockaddr *)&target->address, target->address_len) != 0
            && errno != EINPROGRESS) {
        client_fail(client, strerror(errno));
        return;
    }
    watch_socket(client, EPOLL_CTL_ADD, true);
}

static void add_ack(struct client *client)
{
    client->owes_ack = false;
    buf_printf(&client->out, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", client->handled);
}

void client_stop(struct client *client)
{
    if (client->state != CLIENT_READY) {
        drop(client, false);
        return;
    }
    client->fleet->ready--;
    client->state = CLIENT_CLOSING;
    client->started_us = now_us();
    if (client->counts_handled) {
        add_ack(client); /* or the server has to keep for the next login what it has no word of */
    }
    buf_append_literal(&client->out, "</stream:stream>");
    client_mark_dirty(client);
}

static void on_connected(struct client *client)
{
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        client_fail(client, strerror(error));
        return;
    }
    watch_socket(client, EPOLL_CTL_MOD, false);
    if (client->fleet->settings->is_direct_tls) {
        begin_tls(client);
    } else {
        client->state = CLIENT_PLAIN_HEADER;
        login_send_header(client);
    }
}

static void shake_hands(struct client *client)
{
    ERR_clear_error();
    int result = SSL_do_handshake(client->ssl);
    if (result == 1) {
        client->fleet->resumed += SSL_session_reused(client->ssl) == 1;
        client->state = CLIENT_TLS_HEADER;
        login_send_header(client);
        return;
    }
    int error = SSL_get_error(client->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        client_fail(client, "the TLS handshake failed");
    } else if (client->is_blocked != (error == SSL_ERROR_WANT_WRITE)) {
        watch_socket(client, EPOLL_CTL_MOD, error == SSL_ERROR_WANT_WRITE);
    }
}

/* ---------------------------------------------------------------- what comes */

static uint32_t number_of(struct str text)
{
    uint64_t value = 0;
    return str_to_u64(text, &value) ? (uint32_t)value : 0;
}

static void take_ack(struct client *client, struct str element)
{
    uint32_t h = number_of(scan_attribute(element, STR("h")));
    if (h - client->acked > client->sent - client->acked) {
        client->fleet->ack_errors++;
        return;
    }
    client->acked = h;
}

static bool is_stanza(struct str element)
{
    return scan_is_named(element, STR("message")) || scan_is_named(element, STR("presence"))
            || scan_is_named(element, STR("iq"));
}

static void take_element(struct client *client, struct str element)
{
    struct fleet *fleet = client->fleet;
    bool stanza = is_stanza(element);
    if (stanza) {
        client->handled += client->counts_handled;
    } else if (scan_is_named(element, STR("r"))) {
        client->owes_ack = true;
        client_mark_dirty(client);
        return;
    } else if (scan_is_named(element, STR("a"))) {
        take_ack(client, element);
        return;
    } else if (scan_is_named(element, STR("stream:error")) && client->state != CLIENT_CLOSING) {
        char why[200];
        snprintf(why, sizeof(why), "stream error: " STR_FMT, STR_ARG(element));
        client_fail(client, why);
        return;
    }
    if (client->state < CLIENT_READY) {
        login_take(client, element);
    } else if (client->state == CLIENT_READY && stanza && fleet->events.on_stanza) {
        fleet->events.on_stanza(client, element);
    }
}

static void take_bytes(struct client *client, struct str bytes)
{
    struct str item;
    scanner_push(&client->in, bytes);
    while (client->state != CLIENT_ABSENT) {
        switch (scanner_next(&client->in, &item)) {
        case SCAN_MORE: return;
        case SCAN_HEADER: break;
        case SCAN_ELEMENT: take_element(client, item); break;
        case SCAN_END:
            if (client->state == CLIENT_CLOSING) {
                drop(client, false);
            } else {
                client_fail(client, "the server closed the stream");
            }
            return;
        case SCAN_BROKEN: client_fail(client, "what came is no XMPP"); return;
        }
    }
}

static void on_end_of_input(struct client *client)
{
    if (client->state == CLIENT_CLOSING) {
        drop(client, false);
    } else {
        client_fail(client, "the connection was closed");
    }
}

static void read_plain(struct client *client)
{
    ssize_t got = recv(client->fd, client->fleet->read_buffer, READ_BYTES, 0);
    if (got > 0) {
        take_bytes(client, str_from(client->fleet->read_buffer, (size_t)got));
        if (client->state == CLIENT_HANDSHAKE) {
            begin_tls(client);
            shake_hands(client);
        }
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        on_end_of_input(client);
    }
}

/* All records that are here; a further read that could only say "nothing more" is left out. */
static void read_tls(struct client *client)
{
    do {
        ERR_clear_error();
        int got = SSL_read(client->ssl, client->fleet->read_buffer, READ_BYTES);
        if (got <= 0) {
            int error = SSL_get_error(client->ssl, got);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
                on_end_of_input(client);
            }
            return;
        }
        take_bytes(client, str_from(client->fleet->read_buffer, (size_t)got));
    } while (client->ssl && SSL_has_pending(client->ssl));
}

/* ---------------------------------------------------------------- what goes */

struct buf *client_begin_stanza(struct client *client)
{
    return &client->out;
}

void client_end_stanza(struct client *client)
{
    client->sent += client->fleet->settings->has_sm;
    client_mark_dirty(client);
}

void client_mark_dirty(struct client *client)
{
    if (!client->is_dirty) {
        client->is_dirty = true;
        client->next_dirty = client->fleet->dirty;
        client->fleet->dirty = client;
    }
}

static void add_acks(struct client *client)
{
    unsigned every = client->fleet->settings->ask_every;
    if (client->owes_ack && client->state != CLIENT_CLOSING) {
        add_ack(client);
    }
    if (client->state == CLIENT_READY && every > 0 && client->sent - client->asked_at >= every) {
        client->asked_at = client->sent;
        buf_append_literal(&client->out, "<r xmlns='urn:xmpp:sm:3'/>");
    }
}

/* Bytes written, 0: would block, -1: broken. */
static ssize_t write_some(struct client *client)
{
    struct str bytes = buf_view(&client->out);
    if (!client->ssl) {
        ssize_t put = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        return put >= 0 ? put : errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    ERR_clear_error();
    int put = SSL_write(client->ssl, bytes.ptr, (int)bytes.len);
    if (put > 0) {
        return put;
    }
    int error = SSL_get_error(client->ssl, put);
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void flush(struct client *client)
{
    if (client->state <= CLIENT_CONNECTING || client->state == CLIENT_HANDSHAKE) {
        return;
    }
    add_acks(client);
    while (client->out.len > 0) {
        ssize_t put = write_some(client);
        if (put < 0) {
            on_end_of_input(client);
            return;
        }
        if (put == 0) {
            break;
        }
        buf_consume(&client->out, (size_t)put);
    }
    if (client->is_blocked != (client->out.len > 0)) {
        watch_socket(client, EPOLL_CTL_MOD, client->out.len > 0);
    }
}

static void flush_dirty(struct fleet *fleet)
{
    while (fleet->dirty) {
        struct client *client = fleet->dirty;
        fleet->dirty = client->next_dirty;
        client->is_dirty = false;
        flush(client);
    }
}

/* ---------------------------------------------------------------- turns */

static void handle(struct client *client, uint32_t events)
{
    if (client->fd < 0) {
        return;
    }
    if (client->state == CLIENT_CONNECTING) {
        on_connected(client);
        if (client->state == CLIENT_HANDSHAKE) {
            shake_hands(client);
        }
    } else if (client->state == CLIENT_HANDSHAKE) {
        shake_hands(client);
    } else {
        if (events & EPOLLOUT) {
            client_mark_dirty(client);
        }
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            client->ssl ? read_tls(client) : read_plain(client);
        }
    }
}

static void sweep(struct fleet *fleet, int64_t now)
{
    if (now - fleet->swept_us < SWEEP_US) {
        return;
    }
    fleet->swept_us = now;
    int64_t limit_us = (int64_t)(fleet->settings->login_timeout_s * 1e6);
    for (unsigned i = 0; i < fleet->count; i++) {
        struct client *client = &fleet->clients[i];
        if (is_logging_in(client) && now - client->started_us > limit_us) {
            client_fail(client, "the login took too long");
        } else if (client->state == CLIENT_CLOSING && now - client->started_us > limit_us) {
            drop(client, false);
        }
    }
}

void fleet_turn(struct fleet *fleet, int64_t deadline_us)
{
    struct epoll_event events[EVENTS_MAX];
    flush_dirty(fleet);
    int64_t now = now_us();
    int64_t wait_us = deadline_us > now ? deadline_us - now : 0;
    if (fleet->logging_in > 0 && wait_us > SWEEP_US) {
        wait_us = SWEEP_US;
    }
    struct timespec wait = { .tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000 };
    int count = epoll_pwait2(fleet->epoll, events, EVENTS_MAX, &wait, NULL);
    for (int i = 0; i < count; i++) {
        handle(events[i].data.ptr, events[i].events);
    }
    sweep(fleet, now_us());
}

void fleet_run_until(struct fleet *fleet, int64_t deadline_us)
{
    do {
        fleet_turn(fleet, deadline_us);
    } while (now_us() < deadline_us);
    flush_dirty(fleet);
}

bool fleet_log_in(struct fleet *fleet, unsigned first, unsigned count)
{
    unsigned next = first;
    unsigned end = first + count;
    uint64_t failures = fleet->failures;
    while (next < end || fleet->logging_in > 0) {
        while (next < end && fleet->logging_in < fleet->settings->concurrency) {
            client_start(&fleet->clients[next++]);
        }
        fleet_turn(fleet, now_us() + SWEEP_US);
    }
    flush_dirty(fleet);
    return fleet->failures == failures;
}

static bool is_anybody_left(const struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        if (fleet->clients[i].state != CLIENT_ABSENT) {
            return true;
        }
    }
    return false;
}

void fleet_stop_all(struct fleet *fleet)
{
    fleet->events = (struct fleet_events){ NULL, NULL, NULL };
    int64_t deadline = now_us() + STOP_US;
    for (unsigned i = 0; i < fleet->count; i++) {
        client_stop(&fleet->clients[i]);
        if (i % fleet->settings->concurrency == 0) {
            fleet_turn(fleet, 0);
        }
    }
    while (is_anybody_left(fleet) && now_us() < deadline) {
        fleet_turn(fleet, now_us() + SWEEP_US / 10);
    }
    for (unsigned i = 0; i < fleet->count; i++) {
        drop(&fleet->clients[i], false);
    }
}

void fleet_init(
        struct fleet *fleet, const struct settings *settings, unsigned clients, unsigned accounts)
{
    *fleet = (struct fleet){ .settings = settings, .count = clients, .account_count = accounts };
    fleet->epoll = epoll_create1(EPOLL_CLOEXEC);
    ASSERT(fleet->epoll >= 0);
    fleet->tls = make_tls(settings);
    fleet->clients = mem_calloc(clients, sizeof(*fleet->clients));
    fleet->accounts = mem_calloc(accounts, sizeof(*fleet->accounts));
    fleet->read_buffer = mem_alloc(READ_BYTES);
    for (unsigned i = 0; i < clients; i++) {
        fleet->clients[i].fleet = fleet;
        fleet->clients[i].index = i;
        fleet->clients[i].user = i % accounts;
        fleet->clients[i].fd = -1;
    }
}

void fleet_fini(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->account_count; i++) {
        SSL_SESSION_free(fleet->accounts[i].ticket);
    }
    free(fleet->clients);
    free(fleet->accounts);
    free(fleet->read_buffer);
    SSL_CTX_free(fleet->tls);
    close(fleet->epoll);
}

/* Many XMPP clients on one thread: sockets, TLS, the way to a session (login.h), stream management,
 * and one write a turn for each client. A mode looks at stanzas and decides what to send. */
#pragma once

#include <openssl/ssl.h>

#include "chassis/base/buf.h"
#include "tests/load/scanner.h"
#include "tests/load/scram_client.h"
#include "tests/load/settings.h"

enum client_state {
    CLIENT_ABSENT, /* no connection */
    CLIENT_CONNECTING,
    CLIENT_PLAIN_HEADER, /* waits for the features before TLS */
    CLIENT_PROCEED,
    CLIENT_HANDSHAKE,
    CLIENT_TLS_HEADER, /* waits for the features that offer SASL */
    CLIENT_CHALLENGE,
    CLIENT_SUCCESS,
    CLIENT_BIND_HEADER, /* waits for the features that offer binding */
    CLIENT_BIND,
    CLIENT_ENABLED,
    CLIENT_CARBONS,
    CLIENT_READY,
    CLIENT_CLOSING, /* has sent </stream:stream> */
};

/* What is kept of an account from one login to the next. */
struct account {
    struct scram_keys keys;
    SSL_SESSION *ticket; /* with --resume-tls */
};

struct client {
    struct fleet *fleet;
    unsigned index; /* in the fleet */
    unsigned user;  /* whose account: its number in fleet->accounts */
    enum client_state state;
    int fd;
    SSL *ssl;
    struct scanner in;
    struct buf out;
    struct client *next_dirty;
    bool is_dirty, is_blocked, owes_ack, counts_handled;
    uint32_t handled;           /* stanzas of the server (XEP-0198) */
    uint32_t sent;              /* stanzas of ours, since <enable/> */
    uint32_t acked;             /* of these, acknowledged */
    uint32_t asked_at;          /* `sent` at the last <r/> */
    int64_t started_us;         /* this login, or the end of the stream */
    struct scram_client *scram; /* while logging in */
    void *mode_data;
};

/* What a mode is told. Any may be NULL. */
struct fleet_events {
    void (*on_ready)(struct client *client);
    void (*on_stanza)(
            struct client *client, struct str stanza); /* message, presence or iq, once ready */
    void (*on_gone)(struct client *client, bool is_failure); /* its connection ended */
};

struct fleet {
    const struct settings *settings;
    struct fleet_events events;
    void *mode_data;
    int epoll;
    SSL_CTX *tls;
    struct client *clients;
    unsigned count;
    struct account *accounts;
    unsigned account_count;
    struct client *dirty;
    struct scram_keys shared_keys;
    char *read_buffer;
    unsigned ready; /* clients that are CLIENT_READY */
    unsigned logging_in;
    uint64_t failures;   /* connections that ended without our wish, or never came to be */
    uint64_t carbons;    /* clients that were granted carbons */
    uint64_t resumed;    /* TLS handshakes that resumed */
    uint64_t ack_errors; /* the server acknowledged more than was sent */
    int64_t swept_us;
    char first_failure[256];
};

/* Client i belongs to account i; a mode with fewer accounts sets client->user itself. */
void fleet_init(
        struct fleet *fleet, const struct settings *settings, unsigned clients, unsigned accounts);
void fleet_fini(struct fleet *fleet);
int64_t now_us(void);                                /* monotonic */
unsigned client_number(const struct client *client); /* of its account, behind the prefix */

void client_start(struct client *client); /* begins to log in */
void client_stop(struct client *client);  /* ends the stream in order; on_gone follows */
/* For a stanza: begin, append to client->out, end. It leaves at the end of the turn. */
struct buf *client_begin_stanza(struct client *client);
void client_end_stanza(struct client *client);
void client_mark_dirty(struct client *client); /* client->out has grown */
void client_fail(struct client *client, const char *why);

/* Waits for sockets until `deadline_us` at most, works off what came, writes what is to be written.
 */
void fleet_turn(struct fleet *fleet, int64_t deadline_us);
/* Logs `count` clients from `first` on in, --concurrency at a time. False: some could not. */
bool fleet_log_in(struct fleet *fleet, unsigned first, unsigned count);
void fleet_run_until(struct fleet *fleet, int64_t deadline_us);
void fleet_stop_all(struct fleet *fleet); /* ends all streams, waits for it a moment */

/* Transports with TLS against an OpenSSL client in a second thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "edge/tls_context.h"
#include "tests/lib/tls_files.h"
#include "tests/lib/transport_peer.h"

static struct tls_files files;

/* What the client wants and what it saw. */
struct tls_client {
    int version; /* 0: any */
    const char *sni;
    const char *alpn; /* in wire form */
    const char *sigalgs;
    SSL_SESSION *session; /* to resume; replaced by the new one */
    int key_updates;
    void (*talk)(struct tls_client *client, SSL *ssl);
    /* results */
    bool is_connected;
    bool is_resumed;
    char alert[64];
    char echo[64];
    uint8_t exporter[32];
    uint8_t end_point[64];
    unsigned end_point_len;
    bool clean_end;
    uint8_t certificate_hash[32]; /* SHA-256, whatever the signature */
};

/* ---- the client's thread */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *client = SSL_get_app_data(ssl);
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static void note_alert(const SSL *ssl, int where, int value)
{
    struct tls_client *client = SSL_get_app_data(ssl);
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
        (void)snprintf(
                client->alert, sizeof(client->alert), "%s", SSL_alert_desc_string_long(value));
    }
}

static void note_bindings(struct tls_client *client, SSL *ssl)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    int digest = NID_undef;
    (void)SSL_export_keying_material(ssl,
            client->exporter,
            sizeof(client->exporter),
            "EXPORTER-Channel-Binding",
            24,
            (const unsigned char *)"",
            0,
            1);
    if (certificate != NULL) {
        unsigned len = 0;
        X509_digest(certificate, EVP_sha256(), client->certificate_hash, &len);
        X509_get_signature_info(certificate, &digest, NULL, NULL, NULL);
        digest = digest == NID_sha1 ? NID_sha256 : digest;
    }
    if (digest != NID_undef) {
        X509_digest(certificate,
                EVP_get_digestbynid(digest),
                client->end_point,
                &client->end_point_len);
    }
}

static void talk_echo(struct tls_client *client, SSL *ssl)
{
    (void)SSL_write(ssl, "hello", 5);
    (void)SSL_read(ssl, client->echo, sizeof(client->echo) - 1);
}

static SSL *make_client(struct tls_client *client, SSL_CTX *context, int fd)
{
    SSL_CTX_set_session_cache_mode(
            context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    SSL_CTX_set_security_level(context, 0);
    SSL *ssl = SSL_new(context);
    SSL_set_app_data(ssl, client);
    SSL_set_info_callback(ssl, note_alert);
    SSL_set_min_proto_version(ssl, client->version);
    SSL_set_max_proto_version(ssl, client->version);
    SSL_set_fd(ssl, fd);
    if (client->sni != NULL) {
        SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)client->sni);
    }
    if (client->sigalgs != NULL) {
        SSL_set1_sigalgs_list(ssl, (void *)(uintptr_t)client->sigalgs);
    }
    if (client->alpn != NULL) {
        SSL_set_alpn_protos(
                ssl, (const unsigned char *)client->alpn, (unsigned)strlen(client->alpn));
    }
    if (client->session != NULL) {
        SSL_set_session(ssl, client->session);
    }
    return ssl;
}

static void tls_client_run(struct transport_peer *peer)
{
    struct tls_client *client = peer->extra;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = make_client(client, context, peer->client_fd);
    client->is_connected = SSL_connect(ssl) == 1;
    if (client->is_connected) {
        client->is_resumed = SSL_session_reused(ssl) == 1;
        note_bindings(client, ssl);
        (client->talk != NULL ? client->talk : talk_echo)(client, ssl);
        if (SSL_version(ssl) == TLS1_2_VERSION) {
            keep_session(ssl, SSL_get1_session(ssl)); /* a renewed ticket calls no callback */
        }
        (void)SSL_shutdown(ssl);
        char rest[16];
        client->clean_end = SSL_read(ssl, rest, sizeof(rest)) == 0
                && SSL_get_error(ssl, 0) == SSL_ERROR_ZERO_RETURN;
    } else {
        char rest[16];
        (void)SSL_read(ssl, rest, sizeof(rest));
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    ERR_clear_error();
    transport_peer_hang_up(peer);
}

/* ---- the server's side */

struct server_facts {
    struct transport_info info;
    char sni[64];
    char certificate[64];
    char alpn[32];
    uint8_t exporter[64];
    size_t exporter_len;
    uint8_t end_point[64];
    size_t end_point_len;
};
static struct server_facts facts;

static void note_facts(struct transport_peer *peer)
{
    memset(&facts, 0, sizeof(facts));
    transport_get_info(peer->transport, &facts.info);
    (void)snprintf(facts.sni, sizeof(facts.sni), "%s", facts.info.sni);
    (void)snprintf(facts.certificate, sizeof(facts.certificate), "%s", facts.info.certificate);
    (void)snprintf(facts.alpn, sizeof(facts.alpn), "%s", facts.info.alpn);
    if (transport_channel_binding(
                peer->transport, CHANNEL_BINDING_TLS_EXPORTER, facts.exporter, &facts.exporter_len)
            != ERR_OK) {
        facts.exporter_len = 0;
    }
    if (transport_channel_binding(peer->transport,
                CHANNEL_BINDING_TLS_SERVER_END_POINT,
                facts.end_point,
                &facts.end_point_len)
            != ERR_OK) {
        facts.end_point_len = 0;
    }
}

static size_t echo(struct transport_peer *peer, struct str data)
{
    buf_append_str(&peer->received, data);
    transport_write(peer->transport, data);
    return data.len;
}

static struct tls_context *make_context(bool tls12, const char *ticket_keys)
{
    static const char *const names[][2] = { { "", "default" },
        { "example.org", "ec" },
        { "example.org", "rsa" },
        { "b\xc3\xbc"
          "cher.example",
                "idn" },
        { "ed.example", "ed" } };
    char paths[5][2][128];
    struct tls_certificate entries[5];
    for (size_t i = 0; i < 5; i++) {
        entries[i] = (struct tls_certificate){
            .host = names[i][0],
            .cert_file = tls_files_path(&files, names[i][1], "pem", paths[i][0]),
            .key_file = tls_files_path(&files, names[i][1], "key", paths[i][1]),
        };
    }
    const struct tls_options options = {
        .certificates = entries,
        .certificate_count = 5,
        .tls12 = tls12,
        .ticket_keys_file = ticket_keys,
        .alpn = "xmpp-client",
    };
    struct tls_context *context = NULL;
    struct buf why;
    buf_init(&why, 0);
    enum err err = tls_context_create(&options, &why, &context);
    if (err != ERR_OK) {
        fail_msg(STR_FMT, STR_ARG(buf_view(&why)));
    }
    buf_fini(&why);
    return context;
}

/* One connection from begin to end; the caller closes `peer`. */
static void connect_with(
        struct transport_peer *peer, struct tls_context *context, struct tls_client *client)
{
    *peer = (struct transport_peer){
        .client = tls_client_run,
        .on_data = echo,
        .on_secured = note_facts,
        .extra = client,
    };
    transport_peer_open(peer, context);
    transport_peer_run(peer);
    assert_false(peer->timed_out);
}

static void connect_once(struct tls_context *context, struct tls_client *client)
{
    struct transport_peer peer;
    connect_with(&peer, context, client);
    transport_peer_close(&peer);
}

static void forget(struct tls_client *client)
{
    SSL_SESSION_free(client->session);
    client->session = NULL;
}

static void assert_bindings_equal(const struct tls_client *client)
{
    assert_int_equal(facts.exporter_len, 32);
    assert_memory_equal(facts.exporter, client->exporter, 32);
    assert_true(facts.end_point_len > 0);
    assert_int_equal(facts.end_point_len, client->end_point_len);
    assert_memory_equal(facts.end_point, client->end_point, facts.end_point_len);
}

/* ---- handshakes */

static void both_versions_work_and_bind_the_same_on_both_sides(void **state)
{
    (void)state;
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    struct tls_context *context = make_context(true, "");
    for (size_t i = 0; i < 2; i++) {
        struct tls_client client = { .version = versions[i], .sni = "example.org" };
        connect_once(context, &client);
        assert_true(client.is_connected);
        assert_string_equal(client.echo, "hello");
        assert_true(facts.info.is_secure);
        assert_false(facts.info.is_resumed);
        assert_string_equal(facts.info.tls_version, i == 0 ? "TLSv1.2" : "TLSv1.3");
        assert_string_equal(facts.info.group, "X25519");
        assert_string_equal(facts.sni, "example.org");
        assert_string_equal(facts.alpn, "");
        assert_bindings_equal(&client);
        forget(&client);
    }
    tls_context_unref(context);
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    /* B04 */
    static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION };
    struct tls_context *context = make_context(true, "");
    struct tls_context *only13 = make_context(false, "");
    for (size_t i = 0; i < 3; i++) {
        struct tls_client client = { .version = versions[i] };
        struct transport_peer peer;
        connect_with(&peer, versions[i] == TLS1_2_VERSION ? only13 : context, &client);
        assert_false(client.is_connected);
        assert_int_equal(peer.end, TRANSPORT_TLS_FAILED);
        assert_int_equal(peer.secured, 0);
        assert_string_equal(client.alert, "protocol version");
        transport_peer_close(&peer);
    }
    tls_context_unref(context);
    tls_context_unref(only13);
}

static void certificate_follows_sni_and_signature_algorithms(void **state)
{
    (void)state;
    static const struct {
        const char *sni, *sigalgs, *label;
    } cases[] = {
        { "example.org", NULL, "example.org (EC)" },
        { "EXAMPLE.ORG", NULL, "example.org (EC)" },
        { "example.org", "RSA-PSS+SHA256:RSA+SHA256", "example.org (RSA)" },
        { "xn--bcher-kva.example", NULL, "xn--bcher-kva.example (EC)" },
        { "unknown.example", NULL, "default.example (EC)" }, /* B10 */
        { NULL, NULL, "default.example (EC)" },
    };
    struct tls_context *context = make_context(true, "");
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_client client = {
            .version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION,
            .sni = cases[i / 2].sni,
            .sigalgs = cases[i / 2].sigalgs,
        };
        connect_once(context, &client);
        assert_true(client.is_connected);
        assert_string_equal(facts.certificate, cases[i / 2].label);
        assert_bindings_equal(&client);
        forget(&client);
    }
    tls_context_unref(context);
}

static void an_ed25519_certificate_has_no_end_point_binding(void **state)
{
    (void)state;
    struct tls_context *context = make_context(true, "");
    struct tls_client client = { .sni = "ed.example" };
    connect_once(context, &client);
    assert_string_equal(facts.certificate, "ed.example (ED25519)");
    assert_int_equal(facts.end_point_len, 0);
    assert_int_equal(facts.exporter_len, 32);
    forget(&client);
    tls_context_unref(context);
}

static void alpn_must_match_when_offered(void **state)
{
    (void)state;
    /* B07 */
    static const struct {
        const char *alpn;
        bool is_good;
    } cases[] = { { "\x0bxmpp-client", true },
        { "\x02h2\x0bxmpp-client", true },
        { "\x02h2", false },
        { "\x0bxmpp-server\x08http/1.1", false } };
    struct tls_context *context = make_context(true, "");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_client client = { .alpn = cases[i].alpn };
        struct transport_peer peer;
        connect_with(&peer, context, &client);
        assert_int_equal(client.is_connected, cases[i].is_good);
        if (cases[i].is_good) {
            assert_string_equal(facts.alpn, "xmpp-client");
        } else {
            assert_int_equal(peer.end, TRANSPORT_TLS_FAILED);
            assert_string_equal(client.alert, "no application protocol");
        }
        transport_peer_close(&peer);
        forget(&client);
    }
    tls_context_unref(context);
}

/* ---- resumption */

#define TICKET_KEY_A                                                   \
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" \
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f" \
    "404142434445464748494a4b4c4d4e4f"
#define TICKET_KEY_B                                                   \
    "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" \
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f" \
    "404142434445464748494a4b4c4d4e4f"

static void resume_at(struct tls_context *first, struct tls_context *second, bool expected)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (size_t i = 0; i < 2; i++) {
        /* RSA, though the host's default is ECDSA: the ticket must remember. */
        struct tls_client client = {
            .version = versions[i], .sni = "example.org", .sigalgs = "RSA-PSS+SHA256:RSA+SHA256"
        };
        connect_once(first, &client);
        assert_string_equal(client.echo, "hello");
        assert_true(client.clean_end);
        assert_non_null(client.session);
        for (int round = 0; round < 2; round++) {
            connect_once(second, &client);
            assert_true(client.is_connected);
            assert_int_equal(client.is_resumed, expected);
            assert_int_equal(facts.info.is_resumed, expected);
            assert_string_equal(facts.sni, "example.org");
            assert_bindings_equal(&client);
            if (!expected) {
                break;
            }
        }
        forget(&client);
    }
}

static void sessions_resume_at_any_edge_that_shares_the_keys(void **state)
{
    (void)state;
    char a[128];
    char ba[128];
    char b[128];
    struct tls_context *one = make_context(true, tls_files_path(&files, "a", "tickets", a));
    struct tls_context *same = make_context(true, tls_files_path(&files, "a", "tickets", a));
    struct tls_context *rotated = make_context(true, tls_files_path(&files, "ba", "tickets", ba));
    struct tls_context *other = make_context(true, tls_files_path(&files, "b", "tickets", b));
    resume_at(one, one, true);
    resume_at(one, same, true);
    resume_at(one, rotated, true);
    resume_at(one, other, false);
    tls_context_unref(one);
    tls_context_unref(same);
    tls_context_unref(rotated);
    tls_context_unref(other);
}

static void without_a_file_tickets_outlive_a_reload(void **state)
{
    (void)state;
    struct tls_context *before = make_context(true, "");
    struct tls_context *after = make_context(true, "");
    resume_at(before, after, true);
    tls_context_unref(before);
    tls_context_unref(after);
}

/* ---- hostile */

static char garbage_answer[256];
static size_t garbage_answer_len;

static void send_garbage(struct transport_peer *peer)
{
    const char *garbage = peer->extra;
    (void)send(peer->client_fd, garbage, strlen(garbage), 0);
    garbage_answer_len =
            transport_peer_read(peer->client_fd, garbage_answer, sizeof(garbage_answer));
    transport_peer_hang_up(peer);
}

static void garbage_on_the_tls_port_gets_an_alert(void **state)
{
    (void)state;
    /* A10, A09 */
    static const char *const inputs[] = { "<?xml version='1.0'?><stream:stream>",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n" };
    struct tls_context *context = make_context(true, "");
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        char input[64];
        (void)snprintf(input, sizeof(input), "%s", inputs[i]);
        struct transport_peer peer = { .client = send_garbage, .extra = input };
        transport_peer_open(&peer, context);
        transport_peer_run(&peer);
        assert_int_equal(peer.ended, 1);
        assert_int_equal(peer.end, TRANSPORT_TLS_FAILED);
        assert_int_equal(peer.received.len, 0);
        /* an alert record and nothing else: 0x15, version, length 2 */
        assert_int_equal(garbage_answer_len, 7);
        assert_int_equal(garbage_answer[0], 0x15);
        transport_peer_close(&peer);
    }
    tls_context_unref(context);
}

static void talk_many_updates(struct tls_client *client, SSL *ssl)
{
    for (int i = 0; i < client->key_updates; i++) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1) {
            break;
        }
    }
    talk_echo(client, ssl);
}

static void many_key_updates_end_the_connection(void **state)
{
    (void)state;
    /* B05 */
    struct tls_context *context = make_context(true, "");
    struct transport_peer peer;
    struct tls_client few = {
        .version = TLS1_3_VERSION, .talk = talk_many_updates, .key_updates = 32
    };
    connect_with(&peer, context, &few);
    assert_string_equal(few.echo, "hello");
    assert_int_equal(peer.end, TRANSPORT_CLOSED);
    transport_peer_close(&peer);
    forget(&few);

    struct tls_client flood = {
        .version = TLS1_3_VERSION, .talk = talk_many_updates, .key_updates = 1000
    };
    connect_with(&peer, context, &flood);
    assert_string_equal(flood.echo, "");
    assert_int_equal(peer.end, TRANSPORT_FLOOD);
    transport_peer_close(&peer);
    forget(&flood);
    tls_context_unref(context);
}

static void talk_renegotiation(struct tls_client *client, SSL *ssl)
{
    if (SSL_renegotiate(ssl) == 1) {
        (void)SSL_do_handshake(ssl);
    }
    talk_echo(client, ssl);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    /* B05 */
    struct tls_context *context = make_context(true, "");
    struct tls_client client = { .version = TLS1_2_VERSION, .talk = talk_renegotiation };
    connect_once(context, &client);
    assert_string_equal(client.alert, "no renegotiation");
    forget(&client);
    tls_context_unref(context);
}

static void talk_corrupt_record(struct tls_client *client, SSL *ssl)
{
    (void)client;
    static const char record[] = "\x17\x03\x03\x00\x20"
                                 "this is no sealed record at all";
    (void)send(SSL_get_fd(ssl), record, sizeof(record), 0);
    char rest[64];
    (void)SSL_read(ssl, rest, sizeof(rest));
}

static void a_corrupt_record_ends_with_an_alert(void **state)
{
    (void)state;
    /* B06 */
    struct tls_context *context = make_context(true, "");
    struct transport_peer peer;
    struct tls_client client = { .talk = talk_corrupt_record };
    connect_with(&peer, context, &client);
    assert_int_equal(peer.end, TRANSPORT_TLS_FAILED);
    assert_string_equal(client.alert, "bad record mac");
    assert_int_equal(peer.received.len, 0);
    transport_peer_close(&peer);
    forget(&client);
    tls_context_unref(context);
}

/* ---- STARTTLS */

struct starttls {
    struct tls_context *context;
    struct tls_client client;
    const char *first; /* what the client sends at once */
    char proceed[16];
};

static size_t on_starttls(struct transport_peer *peer, struct str data)
{
    struct starttls *starttls = peer->extra;
    struct transport_info info;
    transport_get_info(peer->transport, &info);
    if (info.is_secure) {
        return echo(peer, data);
    }
    transport_write(peer->transport, STR("<proceed/>"));
    assert_int_equal(transport_start_tls(peer->transport, starttls->context), ERR_OK);
    return strlen("<starttls/>");
}

static void starttls_client(struct transport_peer *peer)
{
    struct starttls *starttls = peer->extra;
    (void)send(peer->client_fd, starttls->first, strlen(starttls->first), 0);
    if (transport_peer_read(peer->client_fd, starttls->proceed, 10) < 10) {
        transport_peer_hang_up(peer);
        return;
    }
    peer->extra = &starttls->client;
    tls_client_run(peer);
}

static void run_starttls(
        struct transport_peer *peer, struct starttls *starttls, struct tls_context *context)
{
    starttls->context = context;
    *peer = (struct transport_peer){
        .client = starttls_client,
        .on_data = on_starttls,
        .extra = starttls,
    };
    transport_peer_open(peer, NULL);
    transport_peer_run(peer);
}

static void starttls_begins_after_what_was_written(void **state)
{
    (void)state;
    struct tls_context *context = make_context(true, "");
    struct transport_peer peer;
    struct starttls starttls = { .first = "<starttls/>", .client = { .sni = "example.org" } };
    run_starttls(&peer, &starttls, context);
    assert_string_equal(starttls.proceed, "<proceed/>");
    assert_string_equal(starttls.client.echo, "hello");
    assert_int_equal(peer.secured, 1);
    assert_int_equal(peer.end, TRANSPORT_CLOSED);
    transport_peer_close(&peer);
    forget(&starttls.client);
    tls_context_unref(context);
}

static void plain_bytes_behind_starttls_end_the_connection(void **state)
{
    (void)state;
    /* B01 */
    struct tls_context *context = make_context(true, "");
    struct transport_peer peer;
    struct starttls starttls = { .first = "<starttls/><message/>" };
    run_starttls(&peer, &starttls, context);
    assert_int_equal(peer.ended, 1);
    assert_int_equal(peer.end, TRANSPORT_TLS_FAILED);
    assert_int_equal(peer.secured, 0);
    assert_int_equal(peer.received.len, 0);
    transport_peer_close(&peer);
    tls_context_unref(context);
}

static size_t take_nothing(struct transport_peer *peer, struct str data)
{
    (void)data;
    loop_stop(peer->loop);
    return 0;
}

static void starttls_outside_of_on_data_sees_held_bytes(void **state)
{
    (void)state;
    /* B01 */
    struct tls_context *context = make_context(true, "");
    struct starttls starttls = { .first = "<message/>" };
    struct transport_peer peer = {
        .client = starttls_client, .extra = &starttls, .on_data = take_nothing
    };
    transport_peer_open(&peer, NULL);
    (void)send(peer.client_fd, "<message/>", 10, 0);
    loop_run(peer.loop);
    assert_int_equal(transport_start_tls(peer.transport, context), ERR_PROTOCOL);
    transport_peer_close(&peer);
    tls_context_unref(context);
}

/* ---- writing */

struct large {
    size_t size;
    size_t got;
};
static struct large large;

static void talk_read_much(struct tls_client *client, SSL *ssl)
{
    (void)client;
    static char sink[65536];
    (void)SSL_write(ssl, "go", 2);
    int got = 0;
    while (large.got < large.size && (got = SSL_read(ssl, sink, sizeof(sink))) > 0) {
        large.got += (size_t)got;
    }
}

static size_t write_and_finish(struct transport_peer *peer, struct str data)
{
    static char block[100000];
    memset(block, 'b', sizeof(block));
    for (size_t sent = 0; sent < large.size; sent += sizeof(block)) {
        transport_write(peer->transport, str_from(block, sizeof(block)));
    }
    transport_finish(peer->transport, 5000);
    peer->transport = NULL;
    return data.len;
}

static void finish_over_tls_delivers_everything_and_says_close_notify(void **state)
{
    (void)state;
    struct tls_context *context = make_context(true, "");
    struct tls_client client = { .talk = talk_read_much };
    large = (struct large){ .size = 4000000 };
    struct transport_peer peer = {
        .client = tls_client_run,
        .on_data = write_and_finish,
        .options = { .max_write_bytes = 5000000 },
        .extra = &client,
        .stops_with_client = true,
    };
    transport_peer_open(&peer, context);
    transport_peer_run(&peer);
    assert_int_equal(large.got, large.size);
    assert_true(client.clean_end);
    transport_peer_close(&peer);
    forget(&client);
    tls_context_unref(context);
}

static void on_settled(struct timer *timer, void *context)
{
    struct transport_peer *peer = context;
    if (transport_acknowledged_total(peer->transport) == 5) {
        transport_finish(peer->transport, 1000);
        peer->transport = NULL;
    } else {
        timer_start(loop_timers(peer->loop), timer, 10);
    }
}

static struct timer settle_timer;

static size_t echo_and_watch(struct transport_peer *peer, struct str data)
{
    assert_int_equal(transport_acknowledged_total(peer->transport), 0);
    timer_init(&settle_timer, on_settled, peer);
    timer_start(loop_timers(peer->loop), &settle_timer, 10);
    return echo(peer, data);
}

static void talk_until_end(struct tls_client *client, SSL *ssl)
{
    talk_echo(client, ssl);
    char rest[16];
    (void)SSL_read(ssl, rest, sizeof(rest));
}

static void acknowledged_bytes_are_counted_in_plain_text(void **state)
{
    (void)state;
    struct tls_context *context = make_context(true, "");
    struct tls_client client = { .talk = talk_until_end };
    struct transport_peer peer = {
        .client = tls_client_run,
        .on_data = echo_and_watch,
        .extra = &client,
        .stops_with_client = true,
    };
    transport_peer_open(&peer, context);
    transport_peer_run(&peer);
    assert_false(peer.timed_out);
    assert_null(peer.transport); /* settled */
    assert_string_equal(client.echo, "hello");
    transport_peer_close(&peer);
    forget(&client);
    tls_context_unref(context);
}

/* Large input in one go: more than one turn's share, with bytes waiting inside OpenSSL. */
static void talk_write_much(struct tls_client *client, SSL *ssl)
{
    static char block[100000];
    (void)client;
    memset(block, 'w', sizeof(block));
    for (int i = 0; i < 10; i++) {
        (void)SSL_write(ssl, block, sizeof(block));
    }
}

static size_t swallow(struct transport_peer *peer, struct str data)
{
    buf_append_str(&peer->received, data);
    return data.len;
}

static void small_shares_per_turn_lose_nothing(void **state)
{
    (void)state;
    struct tls_context *context = make_context(true, "");
    struct tls_client client = { .talk = talk_write_much };
    struct transport_peer peer = {
        .client = tls_client_run,
        .on_data = swallow,
        .options = { .read_bytes_per_turn = 1000 },
        .extra = &client,
    };
    transport_peer_open(&peer, context);
    transport_peer_run(&peer);
    assert_int_equal(peer.received.len, 1000000);
    assert_int_equal(peer.end, TRANSPORT_CLOSED);
    transport_peer_close(&peer);
    forget(&client);
    tls_context_unref(context);
}

/* ---- */

static int make_files(void **state)
{
    (void)state;
    const struct tls_file_spec specs[] = {
        { .name = "default", .key = "EC", .dns = "default.example", .digest = EVP_sha512() },
        { .name = "ec", .key = "EC", .dns = "example.org" },
        { .name = "rsa", .key = "RSA", .dns = "example.org", .digest = EVP_sha384() },
        { .name = "idn", .key = "EC", .dns = "xn--bcher-kva.example" },
        { .name = "ed", .key = "ED25519", .dns = "ed.example" },
    };
    tls_files_open(&files);
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        tls_files_make(&files, &specs[i]);
    }
    umask(077); /* secrets are refused when others may read them */
    tls_files_write(&files, "a", "tickets", TICKET_KEY_A "\n");
    tls_files_write(&files, "b", "tickets", TICKET_KEY_B "\n");
    tls_files_write(&files, "ba", "tickets", TICKET_KEY_B "\n" TICKET_KEY_A "\n");
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    tls_files_close(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_work_and_bind_the_same_on_both_sides),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(certificate_follows_sni_and_signature_algorithms),
        cmocka_unit_test(an_ed25519_certificate_has_no_end_point_binding),
        cmocka_unit_test(alpn_must_match_when_offered),
        cmocka_unit_test(sessions_resume_at_any_edge_that_shares_the_keys),
        cmocka_unit_test(without_a_file_tickets_outlive_a_reload),
        cmocka_unit_test(garbage_on_the_tls_port_gets_an_alert),
        cmocka_unit_test(many_key_updates_end_the_connection),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(a_corrupt_record_ends_with_an_alert),
        cmocka_unit_test(starttls_begins_after_what_was_written),
        cmocka_unit_test(plain_bytes_behind_starttls_end_the_connection),
        cmocka_unit_test(starttls_outside_of_on_data_sees_held_bytes),
        cmocka_unit_test(finish_over_tls_delivers_everything_and_says_close_notify),
        cmocka_unit_test(acknowledged_bytes_are_counted_in_plain_text),
        cmocka_unit_test(small_shares_per_turn_lose_nothing),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}

/* The bus over tls+tcp: both sides show certificates of the cluster's CA, and the listener's must
 * name the node that was dialled (F01). Certificates are made with the openssl command. */
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/link.h"
#include "chassis/link_auth.h"
#include "chassis/loop.h"

enum {
    DEADLINE_MS = 10000,
    REFUSED_MS = 400,
    PATH_BYTES = 96,
};

static char folder[] = "/tmp/link_tls_test.XXXXXX";
static struct loop *loop;
static struct link *dialer, *listener;
static size_t received;
static struct timer end_timer;

static void on_record(void *context, struct link_peer *peer, uint64_t epoch, struct str record)
{
    (void)context, (void)peer, (void)epoch;
    received += str_equal(record, STR("over TLS"));
    loop_stop(loop);
}

static void on_up(void *context, struct link_peer *peer, uint64_t epoch)
{
    (void)context, (void)peer, (void)epoch;
}

static void on_down(void *context, struct link_peer *peer, uint64_t epoch, bool is_dead)
{
    (void)context, (void)peer, (void)epoch, (void)is_dead;
}

static void on_room(void *context, struct link_peer *peer)
{
    (void)context, (void)peer;
}

static void on_end(struct timer *timer, void *context)
{
    (void)timer, (void)context;
    loop_stop(loop);
}

static void run(const char *script)
{
    char command[1024];
    snprintf(command, sizeof(command), "cd %s && ( %s ) >/dev/null 2>&1", folder, script);
    assert_int_equal(system(command), 0);
}

#define NEW_KEY "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "

static void make_ca(const char *name)
{
    char script[512];
    snprintf(script,
            sizeof(script),
            NEW_KEY "-x509 -days 2 -subj /CN=%s -keyout %s.key -out %s.pem",
            name,
            name,
            name);
    run(script);
}

static void make_certificate(const char *file, const char *name, const char *ca)
{
    char script[800];
    snprintf(script,
            sizeof(script),
            NEW_KEY "-subj /CN=%s -keyout %s.key -out %s.csr"
                    " && openssl x509 -req -days 2 -in %s.csr -CA %s.pem -CAkey %s.key"
                    " -CAcreateserial -out %s.pem",
            name,
            file,
            file,
            file,
            ca,
            ca,
            file);
    run(script);
}

static void open_link(
        struct link **link, const char *node, enum link_role role, const char *certificate)
{
    static const struct link_handlers handlers = { on_record, on_up, on_down, on_room };
    char ca[PATH_BYTES], cert[PATH_BYTES], key[PATH_BYTES];
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    snprintf(cert, sizeof(cert), "%s/%s.pem", folder, certificate);
    snprintf(key, sizeof(key), "%s/%s.key", folder, certificate);
    char edge_secret[LINK_EDGE_SECRET_BYTES];
    link_auth_edge_secret(STR("core"), str_from_cstr(node), edge_secret);
    const struct link_options options = { .node = node,
        .role = role,
        .boot_epoch = 1,
        .address = "tls+tcp://127.0.0.1:0",
        .edge_secret =
                role == LINK_ROLE_EDGE ? str_from(edge_secret, sizeof(edge_secret)) : STR_NULL,
        .core_secret = role == LINK_ROLE_EDGE ? STR_NULL : STR("core"),
        .tls_ca_file = ca,
        .tls_cert_file = cert,
        .tls_key_file = key,
        .handshake_timeout_ms = 2000 };
    assert_int_equal(link_open(loop, &options, &handlers, NULL, link), ERR_OK);
}

/* True when a record of the edge, with `edge_certificate`, reached the router. */
static bool does_talk(
        const char *edge_certificate, const char *router_certificate, int64_t timeout_ms)
{
    received = 0;
    open_link(&dialer, "edge-1", LINK_ROLE_EDGE, edge_certificate);
    open_link(&listener, "router-1", LINK_ROLE_ROUTER, router_certificate);
    struct link_peer *peer =
            link_dial(dialer, "router-1", LINK_ROLE_ROUTER, link_address(listener));
    assert_int_equal(link_send(peer, STR("over TLS")), ERR_OK);
    timer_start(loop_timers(loop), &end_timer, timeout_ms);
    loop_run(loop);
    timer_stop(&end_timer);
    link_close(dialer);
    link_close(listener);
    return received == 1;
}

static void certificates_of_the_cluster_are_let_in(void **state)
{
    (void)state;
    assert_true(does_talk("edge-1", "router-1", DEADLINE_MS));
}

static void a_foreign_certificate_does_not_get_in(void **state)
{
    (void)state;
    assert_false(does_talk("foreign", "router-1", REFUSED_MS));
}

static void a_listener_with_a_foreign_certificate_is_not_believed(void **state)
{
    (void)state;
    assert_false(does_talk("edge-1", "foreign", REFUSED_MS));
}

static void a_listener_with_another_nodes_certificate_is_not_believed(void **state)
{
    (void)state;
    assert_false(does_talk("edge-1", "edge-1", REFUSED_MS));
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    make_ca("ca");
    make_ca("other-ca");
    make_certificate("edge-1", "edge-1", "ca");
    make_certificate("router-1", "router-1", "ca");
    make_certificate("foreign", "router-1", "other-ca");
    loop = loop_create(&clock_system);
    timer_init(&end_timer, on_end, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_destroy(loop);
    run("rm -f *.pem *.key *.csr *.srl");
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_of_the_cluster_are_let_in),
        cmocka_unit_test(a_foreign_certificate_does_not_get_in),
        cmocka_unit_test(a_listener_with_a_foreign_certificate_is_not_believed),
        cmocka_unit_test(a_listener_with_another_nodes_certificate_is_not_believed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

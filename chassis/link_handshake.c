/* Who is at the other end of a connection: HELLO both ways, then AUTH and WELCOME, each with a
 * proof over both HELLOs (F01, F03). Nothing of a HELLO is acted on before the proof. */
#include "chassis/base/digest.h"
#include "chassis/link_address.h"
#include "chassis/link_internal.h"
#include "chassis/log.h"

static struct link_hello own_hello(const struct link_conn *conn)
{
    const struct link *link = conn->link;
    return (struct link_hello){
        .version_min = link->options.version_min,
        .version_max = link->options.version_max,
        .node = str_from_cstr(link->node),
        .role = (uint32_t)link->options.role,
        .boot_epoch = link->options.boot_epoch,
        .nonce = str_from(conn->nonce, sizeof(conn->nonce)),
        .address = str_from_cstr(*link->advertise ? link->advertise : link->address),
        .max_frame_bytes = link->options.max_frame_bytes,
    };
}

static void send_hello(struct link_conn *conn)
{
    random_bytes(conn->nonce, sizeof(conn->nonce));
    struct link_frame frame = { .type = LINK_FRAME_HELLO, .hello = own_hello(conn) };
    link_conn_send(conn, &frame);
}

void link_handshake_begin(struct link_conn *conn)
{
    send_hello(conn);
}

/* ---- HELLO */

static bool agree_on_version(struct link_conn *conn, const struct link_hello *hello)
{
    const struct link_options *options = &conn->link->options;
    uint32_t highest =
            hello->version_max < options->version_max ? hello->version_max : options->version_max;
    if (highest < options->version_min || highest < hello->version_min) {
        return false;
    }
    conn->version = highest;
    return true;
}

static bool is_plausible(const struct link_hello *hello)
{
    struct link_address address;
    return link_node_name_is_valid(hello->node) && hello->nonce.len == LINK_NONCE_BYTES
            && hello->role >= LINK_ROLE_EDGE && hello->role <= LINK_ROLE_PUSH
            && hello->boot_epoch != 0 && hello->max_frame_bytes >= LINK_UNPROVEN_FRAME_BYTES
            && link_address_parse(hello->address, &address) == ERR_OK;
}

static bool is_expected(const struct link_conn *conn, const struct link_hello *hello)
{
    if (conn->is_dialer) {
        return str_equal(hello->node, str_from_cstr(conn->peer->node))
                && hello->role == (uint32_t)conn->peer->role;
    }
    return !str_equal(hello->node, str_from_cstr(conn->link->node));
}

static void keep_hello(struct link_conn *conn, const struct link_hello *hello)
{
    conn->theirs = *hello;
    conn->theirs.node = str_dup(&conn->memory, hello->node);
    conn->theirs.nonce = str_dup(&conn->memory, hello->nonce);
    conn->theirs.address = str_dup(&conn->memory, hello->address);
}

/* Who may talk to whom is decided here, too: see link_auth_secret. */
static bool choose_secret(struct link_conn *conn)
{
    const struct link_auth_self self = {
        .role = conn->link->options.role,
        .edge_secret = buf_view(&conn->link->edge_secret),
        .core_secret = buf_view(&conn->link->core_secret),
    };
    conn->secret = link_auth_secret(&self, conn->theirs.role, conn->theirs.node, conn->edge_secret);
    return !str_is_empty(conn->secret);
}

static void prove(struct link_conn *conn, uint64_t last_seq, uint8_t mac[LINK_AUTH_BYTES])
{
    struct link_hello mine = own_hello(conn);
    struct link_auth_input input = {
        .side = conn->is_dialer ? LINK_AUTH_DIALER : LINK_AUTH_LISTENER,
        .version = conn->version,
        .dialer = conn->is_dialer ? &mine : &conn->theirs,
        .listener = conn->is_dialer ? &conn->theirs : &mine,
        .last_seq = last_seq,
    };
    link_auth_prove(conn->secret, &input, mac);
}

static bool has_proved(const struct link_conn *conn, uint64_t last_seq, struct str mac)
{
    struct link_hello mine = own_hello(conn);
    struct link_auth_input input = {
        .side = conn->is_dialer ? LINK_AUTH_LISTENER : LINK_AUTH_DIALER,
        .version = conn->version,
        .dialer = conn->is_dialer ? &mine : &conn->theirs,
        .listener = conn->is_dialer ? &conn->theirs : &mine,
        .last_seq = last_seq,
    };
    return link_auth_verify(conn->secret, &input, mac);
}

static void send_auth(struct link_conn *conn)
{
    uint8_t mac[LINK_AUTH_BYTES];
    struct link_frame frame = { .type = LINK_FRAME_AUTH };
    prove(conn, 0, mac);
    frame.auth.mac = str_from(mac, sizeof(mac));
    link_conn_send(conn, &frame);
}

static void handle_hello(struct link_conn *conn, const struct link_hello *hello)
{
    keep_hello(conn, hello);
    if (!agree_on_version(conn, hello)) {
        link_conn_refuse(conn, LINK_ERROR_VERSION, "no common version");
    } else if (!is_plausible(hello)) {
        link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "HELLO out of bounds");
    } else if (!is_expected(conn, hello)) {
        link_conn_refuse(conn, LINK_ERROR_DENIED, "another node or role than expected");
    } else if (!choose_secret(conn)) {
        link_conn_refuse(conn, LINK_ERROR_DENIED, "no secret for this role");
    } else if (conn->is_dialer) {
        conn->state = LINK_CONN_WAIT_WELCOME;
        send_auth(conn);
    } else {
        conn->state = LINK_CONN_WAIT_AUTH;
        send_hello(conn);
    }
}

/* ---- AUTH and WELCOME */

static void handle_auth(struct link_conn *conn, struct str mac)
{
    enum link_error code;
    if (!has_proved(conn, 0, mac)) {
        link_conn_refuse(conn, LINK_ERROR_DENIED, "proof does not match");
        return;
    }
    if (link_peer_on_auth(conn, &code) != ERR_OK) {
        link_conn_refuse(conn, code, link_error_name(code));
        return;
    }
    if (conn->state == LINK_CONN_CLOSED) {
        return; /* a handler has forgotten the peer */
    }
    uint8_t proof[LINK_AUTH_BYTES];
    struct link_frame frame = { .type = LINK_FRAME_WELCOME };
    frame.welcome.last_seq = conn->peer->inbox.last_seq;
    frame.welcome.credit_bytes = conn->link->options.receive_window_bytes;
    prove(conn, frame.welcome.last_seq, proof);
    frame.welcome.mac = str_from(proof, sizeof(proof));
    link_conn_set_ready(conn);
    link_conn_send(conn, &frame);
}

static void handle_welcome(struct link_conn *conn, const struct link_frame *frame)
{
    if (!has_proved(conn, frame->welcome.last_seq, frame->welcome.mac)) {
        link_conn_refuse(conn, LINK_ERROR_DENIED, "proof does not match");
        return;
    }
    link_conn_set_ready(conn);
    link_peer_on_welcome(conn, frame->welcome.last_seq, frame->welcome.credit_bytes);
}

static void handle_error(struct link_conn *conn, const struct link_frame *frame)
{
    log_warn("link",
            "connection refused by the peer",
            log_cstr("peer", conn->peer ? conn->peer->node : ""),
            log_cstr("code", link_error_name(frame->error.code)));
    conn->was_refused = true;
    link_conn_close(conn, "refused by the peer");
}

void link_handshake_frame(struct link_conn *conn, const struct link_frame *frame)
{
    if (frame->type == LINK_FRAME_HELLO && conn->state == LINK_CONN_WAIT_HELLO) {
        handle_hello(conn, &frame->hello);
    } else if (frame->type == LINK_FRAME_AUTH && conn->state == LINK_CONN_WAIT_AUTH) {
        handle_auth(conn, frame->auth.mac);
    } else if (frame->type == LINK_FRAME_WELCOME && conn->state == LINK_CONN_WAIT_WELCOME) {
        handle_welcome(conn, frame);
    } else if (frame->type == LINK_FRAME_ERROR && conn->is_dialer) {
        handle_error(conn, frame);
    } else {
        link_conn_refuse(conn, LINK_ERROR_PROTOCOL, "frame out of turn");
    }
}

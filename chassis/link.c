/* This process on the bus: opening, closing, and the calls of its owner. */
#include "chassis/link.h"

#include <fcntl.h>
#include <unistd.h>
#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/link_address.h"
#include "chassis/link_internal.h"
#include "chassis/log.h"

enum {
    CLOSE_FLUSH_MS = 200,
    CLOSE_STEP_MS = 10,
    RECORD_MARGIN_BYTES = 128,
    SECRET_FILE_MAX_BYTES = 64 * 1024,
};

/* clang-format off */
struct metric link_metric_frames[2] = {
    METRIC_COUNTER_INIT("bus_frames_total", "Frames on the bus.", "dir=\"in\""),
    METRIC_COUNTER_INIT("bus_frames_total", "Frames on the bus.", "dir=\"out\""),
};
struct metric link_metric_records[2] = {
    METRIC_COUNTER_INIT("bus_records_total", "Records on the bus, without repetitions received.", "dir=\"in\""),
    METRIC_COUNTER_INIT("bus_records_total", "Records on the bus, without repetitions received.", "dir=\"out\""),
};
struct metric link_metric_bytes[2] = {
    METRIC_COUNTER_INIT("bus_bytes_total", "Bytes on the bus before TLS.", "dir=\"in\""),
    METRIC_COUNTER_INIT("bus_bytes_total", "Bytes on the bus before TLS.", "dir=\"out\""),
};
struct metric link_metric_reconnects =
    METRIC_COUNTER_INIT("bus_reconnects_total", "Outgoing connections that came back.", NULL);
struct metric link_metric_rejected =
    METRIC_COUNTER_INIT("bus_rejected_total", "Connections refused: authentication, version, framing, too many.", NULL);
/* clang-format on */

static int64_t read_inflight(void *context);
static struct metric metric_inflight = {
    .name = "bus_inflight_bytes",
    .help = "Records sent and not acknowledged, of all peers.",
    .type = METRIC_GAUGE,
    .read = read_inflight,
};

static int64_t read_inflight(void *context)
{
    const struct link *link = context;
    int64_t sum = 0;
    if (link) {
        for (const struct link_peer *peer = link->peers; peer; peer = peer->hh.next) {
            sum += (int64_t)peer->outbox.in_flight_bytes;
        }
    }
    return sum;
}

static void register_metrics(struct link *link)
{
    for (int dir = LINK_IN; dir <= LINK_OUT; dir++) {
        metric_register(&link_metric_frames[dir]);
        metric_register(&link_metric_records[dir]);
        metric_register(&link_metric_bytes[dir]);
    }
    metric_register(&link_metric_reconnects);
    metric_register(&link_metric_rejected);
    metric_inflight.context = link;
    metric_register(&metric_inflight);
}

/* ---- opening */

static void set_defaults(struct link_options *options)
{
    if (options->max_frame_bytes == 0) {
        options->max_frame_bytes = 1024 * 1024;
    }
    if (options->max_unacked_bytes == 0) {
        options->max_unacked_bytes = 8 * 1024 * 1024;
    }
    if (options->receive_window_bytes == 0) {
        options->receive_window_bytes = 1024 * 1024;
    }
    if (options->ping_interval_ms == 0) {
        options->ping_interval_ms = 5000;
    }
    if (options->reconnect_min_ms == 0) {
        options->reconnect_min_ms = 20;
    }
    if (options->reconnect_max_ms == 0) {
        options->reconnect_max_ms = 500;
    }
    if (options->peer_timeout_ms == 0) {
        options->peer_timeout_ms = 15000;
    }
    if (options->handshake_timeout_ms == 0) {
        options->handshake_timeout_ms = 5000;
    }
    if (options->version_max == 0) {
        options->version_min = LINK_VERSION_MIN;
        options->version_max = LINK_VERSION_MAX;
    }
}

static enum err read_pem(const char *path, struct buf *out)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return ERR_SYSTEM;
    }
    ssize_t got = 0;
    do {
        char *room = buf_reserve(out, 4096);
        got = room ? read(fd, room, 4096) : -1;
        if (got > 0) {
            buf_commit(out, (size_t)got);
        }
    } while (got > 0 && out->len <= SECRET_FILE_MAX_BYTES);
    close(fd);
    buf_append_char(out, '\0');
    return got == 0 ? ERR_OK : ERR_SYSTEM;
}

static enum err load_tls(struct link *link, const struct link_options *options)
{
    const char *failed = NULL;
    if (read_pem(options->tls_ca_file, &link->tls.ca) != ERR_OK) {
        failed = options->tls_ca_file;
    } else if (read_pem(options->tls_cert_file, &link->tls.cert) != ERR_OK) {
        failed = options->tls_cert_file;
    } else if (read_pem(options->tls_key_file, &link->tls.key) != ERR_OK) {
        failed = options->tls_key_file;
    } else {
        return ERR_OK;
    }
    log_error("link", "cannot read a TLS file", log_cstr("path", failed ? failed : "(none)"));
    return ERR_NOT_FOUND;
}

static bool may_use(const struct link *link, const struct link_address *address)
{
    return address->is_tls ? link->tls.ca.len > 0
                           : address->is_loopback || link->options.allow_cleartext;
}

static enum err check_options(const struct link_options *options)
{
    if (!link_node_name_is_valid(str_from_cstr(options->node)) || options->boot_epoch == 0) {
        log_error("link", "node name or boot epoch is not valid");
        return ERR_INVALID;
    }
    if (options->role == LINK_ROLE_EDGE ? str_is_empty(options->edge_secret)
                                        : str_is_empty(options->core_secret)) {
        log_error("link", "the secret of our role is missing");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err open_inbox(struct link *link)
{
    struct link_address address;
    if (link_address_parse(str_from_cstr(link->options.address), &address) != ERR_OK) {
        log_error("link", "not an address", log_cstr("address", link->options.address));
        return ERR_INVALID;
    }
    if (address.is_tls) {
        enum err err = load_tls(link, &link->options);
        if (err != ERR_OK) {
            return err;
        }
    }
    if (!may_use(link, &address)) {
        log_error("link", "cleartext beyond loopback needs allow_cleartext");
        return ERR_DENIED;
    }
    link->streams = link_streams_create(link->loop, &link->tls);
    enum err err = link_listener_open(
            link->streams, link->options.address, link_conn_accept, link, &link->listener);
    if (err != ERR_OK) {
        return err;
    }
    size_t prefix = strlen(link->options.address);
    while (link->options.address[prefix - 1] != ':') {
        prefix--;
    }
    struct buf text;
    buf_init(&text, 0);
    buf_append(&text, link->options.address, prefix);
    buf_printf(&text, "%u", (unsigned)link_listener_port(link->listener));
    link->address = str_to_cstr(buf_view(&text));
    buf_fini(&text);
    return ERR_OK;
}

static void keep_options(struct link *link, const struct link_options *options)
{
    link->options = *options;
    link->node = str_to_cstr(str_from_cstr(options->node));
    link->options.node = link->node;
    link->listen_address = str_to_cstr(str_from_cstr(options->address));
    link->options.address = link->listen_address;
    link->advertise = str_to_cstr(str_from_cstr(options->advertise));
    link->options.advertise = link->advertise;
    buf_append_str(&link->edge_secret, options->edge_secret);
    buf_append_str(&link->core_secret, options->core_secret);
    link->options.edge_secret = buf_view(&link->edge_secret);
    link->options.core_secret = buf_view(&link->core_secret);
    set_defaults(&link->options);
}

enum err link_open(struct loop *loop,
        const struct link_options *options,
        const struct link_handlers *handlers,
        void *context,
        struct link **link_out)
{
    enum err err = check_options(options);
    if (err != ERR_OK) {
        return err;
    }
    struct link *link = MEM_NEW(struct link);
    link->loop = loop;
    link->handlers = *handlers;
    link->context = context;
    arena_init(&link->arena, 64 * 1024);
    keep_options(link, options);
    err = open_inbox(link);
    if (err != ERR_OK) {
        link_close(link);
        return err;
    }
    register_metrics(link);
    log_info("link", "listening", log_cstr("address", link->address));
    *link_out = link;
    return ERR_OK;
}

/* ---- closing */

static void ignore_record(void *context, struct link_peer *peer, uint64_t epoch, struct str record)
{
    (void)context, (void)peer, (void)epoch, (void)record;
}

static void ignore_up(void *context, struct link_peer *peer, uint64_t epoch)
{
    (void)context, (void)peer, (void)epoch;
}

static void ignore_down(void *context, struct link_peer *peer, uint64_t epoch, bool is_dead)
{
    (void)context, (void)peer, (void)epoch, (void)is_dead;
}

static void ignore_room(void *context, struct link_peer *peer)
{
    (void)context, (void)peer;
}

static bool has_something_to_flush(const struct link *link)
{
    for (const struct link_peer *peer = link->peers; peer; peer = peer->hh.next) {
        if (peer->is_up && peer->outbox.queued_bytes > 0) {
            return true;
        }
    }
    return false;
}

/* The loop does not run any more: the link moves its own streams for a moment. */
static void flush_and_wait(struct link *link)
{
    const struct link_handlers deaf = { ignore_record, ignore_up, ignore_down, ignore_room };
    int64_t until_ms = clock_system.monotonic_ms(clock_system.context) + CLOSE_FLUSH_MS;
    struct link_conn *conn;

    link->handlers = deaf;
    link->is_closing = true;
    DL_FOREACH(link->conns, conn)
    {
        link_conn_flush(conn);
    }
    while (has_something_to_flush(link)
            && clock_system.monotonic_ms(clock_system.context) < until_ms) {
        link_streams_poll(link->streams, CLOSE_STEP_MS);
    }
}

void link_close(struct link *link)
{
    if (!link) {
        return;
    }
    flush_and_wait(link);
    for (struct link_peer *peer = link->peers; peer; peer = peer->hh.next) {
        peer->wants_dial = false;
    }
    if (link->listener) {
        link_listener_close(link->listener);
    }
    while (link->conns) {
        link_conn_destroy(link->conns);
    }
    while (link->peers) {
        link_peer_destroy(link->peers);
    }
    if (link->streams) {
        link_streams_destroy(link->streams);
    }
    if (metric_inflight.context == link) {
        metric_inflight.context = NULL;
    }
    buf_fini_secret(&link->edge_secret);
    buf_fini_secret(&link->core_secret);
    buf_fini(&link->tls.ca);
    buf_fini(&link->tls.cert);
    buf_fini_secret(&link->tls.key);
    arena_fini(&link->arena);
    char *texts[] = { link->node, link->address, link->listen_address, link->advertise };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free(texts[i]);
    }
    free(link);
}

/* ---- peers */

const char *link_address(const struct link *link)
{
    return link->address;
}

struct link_peer *link_find_peer(struct link *link, const char *node)
{
    struct link_peer *peer;
    HASH_FIND_STR(link->peers, node, peer);
    return peer;
}

const char *link_why_not_dial(const struct link *link, struct str text)
{
    struct link_address address;
    if (link_address_parse(text, &address) != ERR_OK || address.port == 0) {
        return "not an address";
    }
    if (!may_use(link, &address)) {
        return address.is_tls ? "no TLS files" : "cleartext beyond loopback needs allow_cleartext";
    }
    return NULL;
}

static bool may_dial(
        const struct link *link, const char *node, enum link_role role, const char *address)
{
    const char *why = link_why_not_dial(link, str_from_cstr(address));
    if (!link_node_name_is_valid(str_from_cstr(node)) || strcmp(node, link->node) == 0) {
        why = "not a name of another node";
    } else if (role < LINK_ROLE_EDGE || role > LINK_ROLE_PUSH) {
        why = "not a role";
    }
    if (why) {
        log_error("link", "will not dial", log_cstr("peer", node), log_cstr("why", why));
    }
    return why == NULL;
}

struct link_peer *link_dial(
        struct link *link, const char *node, enum link_role role, const char *address)
{
    if (!may_dial(link, node, role, address)) {
        return NULL;
    }
    struct link_peer *peer = link_find_peer(link, node);
    if (!peer) {
        peer = link_peer_create(link, str_from_cstr(node), role);
    }
    peer->role = role;
    peer->has_given_address = true;
    if (!peer->address || strcmp(peer->address, address) != 0) {
        link_peer_set_address(peer, str_from_cstr(address));
        link_peer_stop_dialling(peer);
    }
    if (!peer->wants_dial) {
        link_peer_start_dialling(peer);
    }
    return peer;
}

void link_forget(struct link *link, const char *node)
{
    struct link_peer *peer = link_find_peer(link, node);
    if (peer && (peer->wants_dial || peer->outbox.queued_bytes > 0)) {
        link_peer_stop_dialling(peer);
        peer->has_given_address = false;
        link_peer_give_up(peer);
    }
}

enum err link_send(struct link_peer *peer, struct str record)
{
    struct link *link = peer->link;
    if (record.len + RECORD_MARGIN_BYTES > link->options.max_frame_bytes) {
        return ERR_INVALID;
    }
    enum err err = link_outbox_push(&peer->outbox, record);
    if (err != ERR_OK) {
        return err;
    }
    if (peer->is_up) {
        link_conn_flush_later(peer->outgoing);
    } else if (!peer->wants_dial && peer->address) {
        link_peer_start_dialling(peer);
    } else {
        link_peer_arm_give_up(peer);
    }
    return ERR_OK;
}

const char *link_peer_node(const struct link_peer *peer)
{
    return peer->node;
}

enum link_role link_peer_role(const struct link_peer *peer)
{
    return peer->role;
}

bool link_peer_is_up(const struct link_peer *peer)
{
    return peer->is_up;
}

uint64_t link_peer_boot_epoch(const struct link_peer *peer)
{
    return peer->boot_epoch;
}

size_t link_peer_unacked_bytes(const struct link_peer *peer)
{
    return peer->outbox.queued_bytes;
}

void link_peer_set_data(struct link_peer *peer, void *data)
{
    peer->data = data;
}

void *link_peer_data(const struct link_peer *peer)
{
    return peer->data;
}

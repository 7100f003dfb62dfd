/* The section "bus" of the configuration: the bus' manual, and its checks. */
#include "chassis/link_address.h"

#define FIELD(member) .offset = offsetof(struct link_config, member)

static const struct config_field bus_fields[] = {
    { .name = "address",
            .type = CONFIG_STRING,
            FIELD(address),
            .default_text = "tcp://127.0.0.1:0",
            .help = "Where this process' inbox listens: tcp://HOST:PORT or tls+tcp://HOST:PORT; "
                    "port 0 chooses one." },
    { .name = "advertise",
            .type = CONFIG_STRING,
            FIELD(advertise),
            .default_text = "",
            .help = "What other processes dial, when it is not the address itself." },
    { .name = "allow_cleartext",
            .type = CONFIG_BOOL,
            FIELD(allow_cleartext),
            .default_text = "false",
            .help = "Permits tcp:// on anything but loopback: only on a network that is private "
                    "otherwise." },
    { .name = "edge_secret_file",
            .type = CONFIG_PATH,
            FIELD(edge_secret_file),
            .default_text = "",
            .help = "Edges only: this edge's own secret, as \"starlingctl secret edge NODE\" prints it." },
    { .name = "core_secret_file",
            .type = CONFIG_PATH,
            FIELD(core_secret_file),
            .default_text = "",
            .help = "Everybody but edges: the secret of routers and services, from which each edge's is "
                    "derived." },
    { .name = "tls_ca_file",
            .type = CONFIG_PATH,
            FIELD(tls_ca_file),
            .default_text = "",
            .help = "tls+tcp: the private CA of the cluster, PEM." },
    { .name = "tls_cert_file",
            .type = CONFIG_PATH,
            FIELD(tls_cert_file),
            .default_text = "",
            .help = "tls+tcp: this process' certificate, PEM." },
    { .name = "tls_key_file",
            .type = CONFIG_PATH,
            FIELD(tls_key_file),
            .default_text = "",
            .help = "tls+tcp: the key of the certificate, PEM." },
    { .name = "max_frame",
            .type = CONFIG_SIZE,
            FIELD(max_frame_bytes),
            .default_text = "1MiB",
            .min = 64 * 1024,
            .max = 64 * 1024 * 1024,
            .help = "Larger frames close the connection; records are smaller than it." },
    { .name = "max_unacked",
            .type = CONFIG_SIZE,
            FIELD(max_unacked_bytes),
            .default_text = "8MiB",
            .min = 64 * 1024,
            .max = 1024 * 1024 * 1024,
            .help = "For each peer: what may wait for its acknowledgement before senders have to "
                    "wait." },
    { .name = "receive_window",
            .type = CONFIG_SIZE,
            FIELD(receive_window_bytes),
            .default_text = "1MiB",
            .min = 4 * 1024,
            .max = 64 * 1024 * 1024,
            .help = "For each peer: what it may have on the way to us." },
    { .name = "ping_interval",
            .type = CONFIG_DURATION,
            FIELD(ping_interval_ms),
            .default_text = "5s",
            .min = 100,
            .max = 60 * 1000,
            .help = "A silent connection is asked after this, and dead after three unanswered." },
    { .name = "reconnect_min",
            .type = CONFIG_DURATION,
            FIELD(reconnect_min_ms),
            .default_text = "20ms",
            .min = 1,
            .max = 60 * 1000,
            .help = "Shortest pause before a peer is dialled again." },
    { .name = "reconnect_max",
            .type = CONFIG_DURATION,
            FIELD(reconnect_max_ms),
            .default_text = "500ms",
            .min = 1,
            .max = 60 * 1000,
            .help = "Longest pause before a peer is dialled again." },
    { .name = "peer_timeout",
            .type = CONFIG_DURATION,
            FIELD(peer_timeout_ms),
            .default_text = "15s",
            .min = 500,
            .max = 10 * 60 * 1000,
            .help = "A peer without connection for this long is given up: what waits for it comes "
                    "back to its senders." },
    { .name = "peers",
            .type = CONFIG_LIST,
            FIELD(peers),
            .default_text = "",
            .help = "Static peers, ROLE:NODE@ADDRESS, e.g. router:router-1@tcp://127.0.0.1:7001." },
    { .name = NULL },
};

static enum err check_addresses(const struct link_config *config, struct buf *why)
{
    struct link_address address;
    if (link_address_parse(str_from_cstr(config->address), &address) != ERR_OK) {
        buf_printf(why, "address is not tcp://HOST:PORT or tls+tcp://HOST:PORT");
        return ERR_INVALID;
    }
    if (!address.is_tls && !address.is_loopback && !config->allow_cleartext) {
        buf_printf(why, "address is cleartext beyond loopback; use tls+tcp:// or allow_cleartext");
        return ERR_DENIED;
    }
    if (address.is_tls
            && (!*config->tls_ca_file || !*config->tls_cert_file || !*config->tls_key_file)) {
        buf_printf(why, "tls+tcp:// needs tls_ca_file, tls_cert_file and tls_key_file");
        return ERR_INVALID;
    }
    if (*config->advertise
            && (link_address_parse(str_from_cstr(config->advertise), &address) != ERR_OK
                    || address.port == 0)) {
        buf_printf(why, "advertise is not an address that can be dialled");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err check_bus(const void *section, struct buf *why)
{
    const struct link_config *config = section;
    enum err err = check_addresses(config, why);
    if (err != ERR_OK) {
        return err;
    }
    if (config->reconnect_min_ms > config->reconnect_max_ms) {
        buf_printf(why, "reconnect_min is larger than reconnect_max");
        return ERR_INVALID;
    }
    for (size_t i = 0; i < config->peers.count; i++) {
        struct link_static_peer peer;
        if (link_static_peer_parse(str_from_cstr(config->peers.items[i]), &peer) != ERR_OK) {
            buf_printf(why, "peers: \"%s\" is not ROLE:NODE@ADDRESS", config->peers.items[i]);
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

const struct config_section config_section_bus = {
    .name = "bus",
    .help = "Connections between the processes of the cluster.",
    .fields = bus_fields,
    .size = sizeof(struct link_config),
    .check = check_bus,
};

struct link_options link_config_options(const struct link_config *config)
{
    return (struct link_options){
        .address = config->address,
        .advertise = config->advertise,
        .allow_cleartext = config->allow_cleartext,
        .tls_ca_file = config->tls_ca_file,
        .tls_cert_file = config->tls_cert_file,
        .tls_key_file = config->tls_key_file,
        .max_frame_bytes = (size_t)config->max_frame_bytes,
        .max_unacked_bytes = (size_t)config->max_unacked_bytes,
        .ping_interval_ms = config->ping_interval_ms,
        .reconnect_min_ms = config->reconnect_min_ms,
        .reconnect_max_ms = config->reconnect_max_ms,
        .receive_window_bytes = (size_t)config->receive_window_bytes,
        .peer_timeout_ms = config->peer_timeout_ms,
    };
}

enum err link_config_read_secret(const struct link_config *config,
        enum link_role role,
        struct buf *secret_out,
        struct buf *why)
{
    const char *file = role == LINK_ROLE_EDGE ? config->edge_secret_file : config->core_secret_file;
    return file[0] == '\0' ? ERR_OK : config_read_secret(file, secret_out, why);
}

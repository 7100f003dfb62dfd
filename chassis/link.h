/* The bus between our processes (DESIGN section 7): byte streams with our own framing (4-byte
 * length, then one protobuf-c Frame, chassis/link_frame.proto), since they outlived every kill
 * measured. What is below them, sockets on the loop or NNG, is chassis/link_stream.h's business
 * alone.
 *
 * Every process has one inbox (listener) and dials one outgoing connection to every peer it sends
 * to; data flows from the dialer to the listener, acknowledgements and credit flow back. So a pair
 * that talks both ways has two connections.
 *
 * What a link promises: between two *incarnations* (boot epochs) of two processes, records arrive
 * once and in order, also across lost connections; receipt by the living process is acknowledged,
 * and credit bounds what is in flight. When an incarnation dies, its unacknowledged records are
 * gone and on_down says so: whoever took responsibility above the link (a router for a stanza,
 * archive-svc for an append) answers with a reply of its own, and the sender repeats what was not
 * answered. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "chassis/config.h"

struct loop;
struct link;      /* this process on the bus */
struct link_peer; /* one remote process, known by name; lives as long as the link */

enum link_role {
    LINK_ROLE_EDGE = 1,
    LINK_ROLE_ROUTER = 2,
    LINK_ROLE_ARCHIVE = 3,
    LINK_ROLE_UPLOAD = 4,
    LINK_ROLE_PUSH = 5,
};
const char *link_role_name(enum link_role role);

struct link_options {
    const char *node; /* this process' name, unique in the cluster */
    enum link_role role;
    uint64_t boot_epoch;
    const char *address;   /* "tcp://127.0.0.1:7001" or "tls+tcp://..."; port 0 chooses one */
    const char *advertise; /* what others dial; NULL or "": the address */
    bool allow_cleartext;  /* needed for tcp:// on anything but loopback */
    /* HELLO is authenticated with HMAC-SHA-256. An edge has only a secret of its own, derived from
     * the core secret and its node name (link_auth_edge_secret), and talks to routers alone; all
     * others have only the core secret. So an edge cannot pass for a router, nor for another edge
     * (P9, F01). */
    struct str edge_secret;
    struct str core_secret;
    const char *tls_ca_file, *tls_cert_file, *tls_key_file; /* tls+tcp only */
    size_t max_frame_bytes;   /* received frames above it close the connection (F02) */
    size_t max_unacked_bytes; /* per peer: link_send answers ERR_LIMIT beyond it */
    int64_t ping_interval_ms; /* default 5000; dead after three */
    int64_t reconnect_min_ms, reconnect_max_ms;
    /* Of these and the four above, 0 means the default. */
    size_t receive_window_bytes;  /* per peer: what it may have on the way to us; default 1 MiB */
    int64_t peer_timeout_ms;      /* default 15000: without a connection for this long, a peer is
                                     given up */
    int64_t handshake_timeout_ms; /* default 5000 */
    /* Of the protocol (F03); 0: all that this program speaks. For tests of what comes later. */
    uint32_t version_min, version_max;
};

struct link_handlers {
    /* A record of `peer`'s incarnation `boot_epoch`. `record` is valid during the call. */
    void (*on_record)(
            void *context, struct link_peer *peer, uint64_t boot_epoch, struct str record);
    /* We reached this incarnation: what is sent from now on goes to it. Also called when only the
     * connection came back, with the same boot_epoch. */
    void (*on_up)(void *context, struct link_peer *peer, uint64_t boot_epoch);
    /* The connection is lost; records go on waiting for the same incarnation. `is_dead`: a newer
     * incarnation has answered or `peer_timeout` has passed: what was unacknowledged is dropped. */
    void (*on_down)(void *context, struct link_peer *peer, uint64_t boot_epoch, bool is_dead);
    /* After ERR_LIMIT: half of the room is free again. */
    void (*on_room)(void *context, struct link_peer *peer);
};

MUST_USE enum err link_open(struct loop *loop,
        const struct link_options *options,
        const struct link_handlers *handlers,
        void *context,
        struct link **link_out);
/* Tries for 200 ms to flush what was sent; accepts NULL. Not from a handler. */
void link_close(struct link *link);
const char *link_address(const struct link *link); /* with the port that was chosen */

/* Finds or makes the peer and dials it, now and after every loss, until forgotten. A changed
 * address redials. NULL: our own name, not a name, or not an address we may dial; logged. */
struct link_peer *link_dial(
        struct link *link, const char *node, enum link_role role, const char *address);
/* A peer that has only dialled us is known, too: its name, role and address come from its HELLO,
 * and link_send dials it. NULL: never heard of. */
struct link_peer *link_find_peer(struct link *link, const char *node);
void link_forget(struct link *link,
        const char *node); /* stops dialling; unacked records are dropped, on_down(is_dead) */

/* Copies `record`; it leaves at the end of the loop turn, with everything else for that peer in one
 * frame. ERR_LIMIT: max_unacked_bytes wait already; nothing was taken, on_room will follow.
 * ERR_INVALID: larger than max_frame_bytes less 128 bytes; 64 KiB always fit. */
MUST_USE enum err link_send(struct link_peer *peer, struct str record);

const char *link_peer_node(const struct link_peer *peer);
enum link_role link_peer_role(const struct link_peer *peer);
bool link_peer_is_up(const struct link_peer *peer);
uint64_t link_peer_boot_epoch(
        const struct link_peer *peer); /* of the incarnation last reached or heard; 0: none yet */
size_t link_peer_unacked_bytes(const struct link_peer *peer);
/* For the owner's own state of a peer. */
void link_peer_set_data(struct link_peer *peer, void *data);
void *link_peer_data(const struct link_peer *peer);

/* Section "bus": address, secrets, limits, static peers ("router:name@tcp://host:port"). */
struct link_config {
    char *address, *advertise, *edge_secret_file, *core_secret_file, *tls_ca_file, *tls_cert_file,
            *tls_key_file;
    bool allow_cleartext;
    int64_t max_frame_bytes, max_unacked_bytes, receive_window_bytes, ping_interval_ms,
            reconnect_min_ms, reconnect_max_ms, peer_timeout_ms;
    struct config_strings peers;
};
extern const struct config_section config_section_bus;
/* What the section says; the caller adds node, role, boot epoch and secret. Texts are borrowed. */
struct link_options link_config_options(const struct link_config *config);
/* What `role` proves itself with: an edge its own secret, all others the core secret; nothing
 * without a file. The caller ends it with buf_fini_secret, also after a failure. `why` is for
 * people. */
MUST_USE enum err link_config_read_secret(const struct link_config *config,
        enum link_role role,
        struct buf *secret_out,
        struct buf *why);

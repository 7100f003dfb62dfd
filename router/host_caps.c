/* Router to edge: hashes of what hosts say. */
#include "router/host_caps.h"

#include "proto/wire/wire.h"
#include "router/host_info.h"
#include "router/peers.h"
#include "router/router.h"

/* Of the longest names, in the 64 KiB that always fit (chassis/link.h). */
#define HOSTS_AT_ONCE 32

/* Views of what they are filled with. */
struct batch {
    Wire__HostHashes *list[HOSTS_AT_ONCE];
    Wire__HostHashes hosts[HOSTS_AT_ONCE];
    struct host_announcement said[HOSTS_AT_ONCE];
    size_t count;
};

static void batch_add(struct batch *batch, const struct host_announcement *said)
{
    struct host_announcement *copy = &batch->said[batch->count];
    Wire__HostHashes *host = &batch->hosts[batch->count];
    *copy = *said;
    wire__host_hashes__init(host);
    host->domain = wire_bytes(copy->domain);
    host->sha1 = wire_bytes(str_from(copy->hashes.sha1, sizeof(copy->hashes.sha1)));
    host->sha256 = wire_bytes(str_from(copy->hashes.sha256, sizeof(copy->hashes.sha256)));
    host->sha3_256 = wire_bytes(str_from(copy->hashes.sha3_256, sizeof(copy->hashes.sha3_256)));
    batch->list[batch->count++] = host;
}

static void batch_send(struct batch *batch, const struct peer *peer)
{
    Wire__HostCaps message = WIRE__HOST_CAPS__INIT;
    message.hosts = batch->list;
    message.n_hosts = batch->count;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_HOST_CAPS;
    envelope.host_caps = &message;
    struct buf record;
    buf_init(&record, 0);
    wire_pack(&record, &envelope);
    enum err err = link_send(peer->link, buf_view(&record));
    (void)err; /* no room: all of it again when there is some (ingress) */
    buf_fini(&record);
    batch->count = 0;
}

void host_caps_tell(const struct router *router, const struct peer *peer)
{
    if (!peer->is_up || peer->role != LINK_ROLE_EDGE) {
        return;
    }
    struct batch batch = { .count = 0 };
    for (size_t i = 0; i < host_info_count(router->host_info); i++) {
        struct host_announcement said;
        if (host_info_get(router->host_info, i, &said)) {
            batch_add(&batch, &said);
        }
        if (batch.count == HOSTS_AT_ONCE) {
            batch_send(&batch, peer);
        }
    }
    if (batch.count > 0) {
        batch_send(&batch, peer);
    }
}

void host_caps_tell_all(const struct router *router)
{
    for (size_t i = 0; i < router->peers->count; i++) {
        host_caps_tell(router, router->peers->items[i]);
    }
}

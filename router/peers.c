/* A plain array: a cluster has tens of processes, not thousands. */
#include "router/peers.h"

#include "chassis/base/buf.h"
#include "chassis/base/mem.h"

struct peers *peers_create(struct loop *loop)
{
    struct peers *peers = MEM_NEW(struct peers);
    peers->loop = loop;
    return peers;
}

void peers_destroy(struct peers *peers)
{
    if (peers == NULL) {
        return;
    }

    for (size_t i = 0; i < peers->count; i++) {
        refusals_destroy(peers->items[i]->refusals);
        free(peers->items[i]);
    }
    free(peers->items);
    free(peers);
}

struct peer *peers_get(struct peers *peers, struct link_peer *link)
{
    struct peer *peer = link_peer_data(link);
    if (peer != NULL) {
        peer->role = link_peer_role(link);
        return peer;
    }

    peer = MEM_NEW(struct peer);
    peer->link = link;
    peer->role = link_peer_role(link);
    peer->boot_epoch = link_peer_boot_epoch(link);
    peer->down_since_ms = loop_now_ms(peers->loop);
    if (peers->count == peers->capacity) {
        peers->capacity = peers->capacity ? 2 * peers->capacity : 16;
        struct peer **items = mem_realloc(peers->items, peers->capacity * sizeof(*items));
        peers->items = items;
    }
    peers->items[peers->count++] = peer;
    link_peer_set_data(link, peer);
    return peer;
}

struct peer *peers_find(
        struct peers *peers, struct link *link, const char *node, enum link_role role)
{
    struct link_peer *found = link_find_peer(link, node);
    if (found == NULL) {
        return NULL;
    }

    struct peer *peer = peers_get(peers, found);
    return peer->role == role && !peer->is_dead ? peer : NULL;
}

static uint64_t score(struct str key, const struct peer *peer)
{
    struct buf text;
    buf_init(&text, 0);
    buf_append_str(&text, key);
    buf_append_char(&text, '\n');
    buf_append_str(&text, str_from_cstr(link_peer_node(peer->link)));
    uint64_t hash = str_hash(buf_view(&text));
    buf_fini(&text);
    return hash;
}

struct peer *peers_choose(
        const struct peers *peers, enum link_role role, struct str key, const struct peer *except)
{
    struct peer *best = NULL;
    struct peer *fallback = NULL;
    uint64_t best_score = 0;
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->items[i];
        if (peer->role != role || !peer->is_up || peer->is_dead) {
            continue;
        }

        if (peer == except) {
            fallback = peer;
            continue;
        }

        uint64_t value = score(key, peer);
        if (best == NULL || value > best_score) {
            best = peer;
            best_score = value;
        }
    }

    return best ? best : fallback;
}

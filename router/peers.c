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

static bool is_up(const struct peer *peer, enum link_role role)
{
    return peer->role == role && peer->is_up && !peer->is_dead;
}

static bool is_better(const struct peer *left, const struct peer *right, struct str key)
{
    bool is_left_well = left->unwell_since_ms == 0;
    if (is_left_well != (right->unwell_since_ms == 0)) {
        return is_left_well;
    }
    if (!is_left_well && (left->owed_append == 0) != (right->owed_append == 0)) {
        return left->owed_append == 0;
    }
    if (left->unwell_since_ms != right->unwell_since_ms) {
        return left->unwell_since_ms < right->unwell_since_ms;
    }
    return score(key, left) > score(key, right);
}

struct peer *peers_choose(
        const struct peers *peers, enum link_role role, struct str key, const struct peer *except)
{
    struct peer *best = NULL;
    struct peer *fallback = NULL;
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->items[i];
        if (!is_up(peer, role)) {
            continue;
        }

        if (peer == except) {
            fallback = peer;
        } else if (best == NULL || is_better(peer, best, key)) {
            best = peer;
        }
    }

    return best ? best : fallback;
}

struct peer *peers_find_unwell(const struct peers *peers, enum link_role role, int64_t before_ms)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->items[i];
        if (is_up(peer, role) && peer->owed_append == 0 && peer->unwell_since_ms != 0
                && peer->unwell_since_ms <= before_ms) {
            return peer;
        }
    }
    return NULL;
}

/* Arrays and nothing else: 256 shards, a handful of routers. */
#include "router/shard_book.h"

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

static int add_node(struct shard_book *book, struct str name)
{
    book->nodes = mem_realloc(book->nodes, (size_t)(book->node_count + 1) * sizeof(*book->nodes));
    book->nodes[book->node_count] =
            (struct shard_node){ .name = str_to_cstr(name), .address = str_to_cstr(STR("")) };
    return book->node_count++;
}

static int find_node(struct shard_book *book, struct str name)
{
    if (str_is_empty(name)) {
        return SHARD_NOBODY;
    }

    for (int i = 0; i < book->node_count; i++) {
        if (str_equal(name, str_from_cstr(book->nodes[i].name))) {
            return i;
        }
    }
    return add_node(book, name);
}

static bool set_address(struct shard_book *book, int node, struct str address)
{
    if (node == SHARD_NOBODY || str_is_empty(address)
            || str_equal(address, str_from_cstr(book->nodes[node].address))) {
        return false;
    }

    free(book->nodes[node].address);
    book->nodes[node].address = str_to_cstr(address);
    return true;
}

void shard_book_init(struct shard_book *book, unsigned shards, const char *self)
{
    *book = (struct shard_book){ .shards = shards };
    book->entries = mem_calloc(shards, sizeof(*book->entries));
    for (unsigned i = 0; i < shards; i++) {
        book->entries[i].owner = SHARD_NOBODY;
    }
    (void)add_node(book, str_from_cstr(self));
}

void shard_book_fini(struct shard_book *book)
{
    for (int i = 0; i < book->node_count; i++) {
        free(book->nodes[i].name);
        free(book->nodes[i].address);
    }
    free(book->nodes);
    free(book->entries);
}

bool shard_book_apply(struct shard_book *book, const struct shard_row *row)
{
    if (row->shard >= book->shards) {
        return false;
    }

    int owner = find_node(book, row->owner);
    struct shard_entry *entry = &book->entries[row->shard];
    bool is_changed = set_address(book, owner, row->address) || entry->owner != owner
            || entry->epoch != row->epoch;
    entry->owner = owner;
    entry->epoch = row->epoch;
    return is_changed;
}

bool shard_book_must_lose(const struct shard_book *book, unsigned shard)
{
    const struct shard_entry *entry = &book->entries[shard];
    return entry->held_epoch != 0 && (entry->owner != 0 || entry->epoch != entry->held_epoch);
}

bool shard_book_is_fenced(const struct shard_book *book, unsigned shard, uint64_t epoch)
{
    return shard < book->shards && book->entries[shard].held_epoch <= epoch;
}

bool shard_book_may_gain(const struct shard_book *book, unsigned shard)
{
    const struct shard_entry *entry = &book->entries[shard];
    return entry->owner == 0 && entry->held_epoch == 0 && entry->epoch > entry->lost_epoch;
}

bool shard_book_must_retake(const struct shard_book *book, unsigned shard)
{
    const struct shard_entry *entry = &book->entries[shard];
    return entry->owner == 0 && entry->held_epoch == 0 && entry->epoch <= entry->lost_epoch
            && !entry->is_handing;
}

void shard_book_gain(struct shard_book *book, unsigned shard)
{
    struct shard_entry *entry = &book->entries[shard];
    entry->held_epoch = entry->epoch;
    entry->is_releasing = false;
}

void shard_book_lose(struct shard_book *book, unsigned shard)
{
    struct shard_entry *entry = &book->entries[shard];
    if (entry->held_epoch != 0) {
        entry->lost_epoch = entry->held_epoch;
        entry->held_epoch = 0;
        entry->is_releasing = false;
    }
}

bool shard_book_is_held(const struct shard_book *book, unsigned shard)
{
    return book->entries[shard].held_epoch != 0;
}

unsigned shard_book_held_count(const struct shard_book *book)
{
    unsigned count = 0;
    for (unsigned i = 0; i < book->shards; i++) {
        count += book->entries[i].held_epoch != 0;
    }

    return count;
}

void shard_book_nodes_begin(struct shard_book *book)
{
    for (int i = 0; i < book->node_count; i++) {
        book->nodes[i].is_live = false;
    }
}

void shard_book_node_is_live(struct shard_book *book, struct str name, struct str address)
{
    int node = find_node(book, name);
    if (node != SHARD_NOBODY) {
        book->nodes[node].is_live = true;
        (void)set_address(book, node, address);
    }
}

static unsigned owned_by(const struct shard_book *book, int node)
{
    unsigned count = 0;
    for (unsigned i = 0; i < book->shards; i++) {
        count += book->entries[i].owner == node;
    }

    return count;
}

bool shard_book_is_needed(const struct shard_book *book, int node)
{
    return book->nodes[node].is_live || owned_by(book, node) > 0;
}

unsigned shard_book_surplus(const struct shard_book *book)
{
    unsigned live = 0;
    for (int i = 0; i < book->node_count; i++) {
        live += book->nodes[i].is_live;
    }
    if (live == 0) {
        return 0;
    }

    unsigned own = 0;
    for (unsigned i = 0; i < book->shards; i++) {
        own += book->entries[i].held_epoch != 0 && !book->entries[i].is_releasing;
    }
    unsigned share = (book->shards + live - 1) / live;
    return own > share ? own - share : 0;
}

const char *shard_book_poorest(const struct shard_book *book)
{
    const char *poorest = NULL;
    unsigned least = 0;
    for (int i = 1; i < book->node_count; i++) {
        if (!book->nodes[i].is_live) {
            continue;
        }

        unsigned owned = owned_by(book, i);
        if (poorest == NULL || owned < least) {
            poorest = book->nodes[i].name;
            least = owned;
        }
    }

    return poorest;
}

/* What a router knows of the shard table: owners, epochs, which shards it holds itself and until
 * when. Pure: no PostgreSQL, no timers. A shard is held under one epoch; whatever happens to the
 * table, it is held again only under a newer one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

#define SHARD_NOBODY (-1)

struct shard_node {
    char *name;
    char *address;
    bool is_live; /* renews its lease and is not draining */
};

struct shard_entry {
    int owner; /* index into nodes, SHARD_NOBODY */
    uint64_t epoch;
    uint64_t held_epoch; /* 0: not held by us */
    uint64_t lost_epoch; /* the last one we gave up */
    bool is_releasing;   /* held, but takes no new work */
    bool is_handing;     /* given up, PostgreSQL is being told */
};

struct shard_book {
    unsigned shards;
    struct shard_entry *entries;
    struct shard_node *nodes; /* nodes[0] is this router */
    int node_count;
    uint64_t version;
    int64_t deadline_ms; /* monotonic; 0: no lease */
};

struct shard_row {
    unsigned shard;
    struct str owner; /* "" : nobody */
    struct str address;
    uint64_t epoch;
};

void shard_book_init(struct shard_book *book, unsigned shards, const char *self);
void shard_book_fini(struct shard_book *book);

/* One row of the table as PostgreSQL has it now. True: something others have to know changed. */
bool shard_book_apply(struct shard_book *book, const struct shard_row *row);
/* We hold it, but the table says otherwise. */
bool shard_book_must_lose(const struct shard_book *book, unsigned shard);
/* What was written under `epoch` was fenced, and we do not hold it under a newer one since. */
bool shard_book_is_fenced(const struct shard_book *book, unsigned shard, uint64_t epoch);
/* The table says it is ours, under an epoch that is new to us. */
bool shard_book_may_gain(const struct shard_book *book, unsigned shard);
/* The table says it is ours, under an epoch we have given up: PostgreSQL has to raise it. */
bool shard_book_must_retake(const struct shard_book *book, unsigned shard);
void shard_book_gain(struct shard_book *book, unsigned shard);
void shard_book_lose(struct shard_book *book, unsigned shard);

bool shard_book_is_held(const struct shard_book *book, unsigned shard);
unsigned shard_book_held_count(const struct shard_book *book);

void shard_book_nodes_begin(struct shard_book *book); /* nobody is live until named */
void shard_book_node_is_live(struct shard_book *book, struct str name, struct str address);

/* Others have to know the node: it lives, or a shard is still its. */
bool shard_book_is_needed(const struct shard_book *book, int node);

/* How many shards we hold above the fair share: rounded up, so that no two routers pass one to and
 * fro. */
unsigned shard_book_surplus(const struct shard_book *book);
/* The live router, not us, with the fewest shards; NULL: there is none. */
const char *shard_book_poorest(const struct shard_book *book);

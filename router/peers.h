/* The processes a router talks to, by role: who is up, who is dead. Kept by ingress from what the
 * link tells. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/link.h"
#include "chassis/loop.h"
#include "router/refusals.h"

struct peer {
    struct link_peer *link;
    enum link_role role;
    uint64_t boot_epoch;        /* of the incarnation last seen */
    bool is_up;                 /* we have a connection to it */
    bool is_dead;               /* this incarnation will not come back */
    uint64_t lost_boot;         /* of an edge: sessions of this incarnation were ended; 0: none */
    uint64_t online_accounts;   /* of a router: what it told last */
    int64_t down_since_ms;      /* while not up */
    int64_t violation_noted_ms; /* of the last log line about a violation */
    struct refusals *refusals;  /* of a router: routes refused here that come again */
    /* Of an archive-svc, by commit.c: */
    int64_t unwell_since_ms; /* it left an Append unanswered, or undone; 0: it does its work */
    uint64_t owed_append;    /* the newest request it has not answered; 0: none */
};

struct peers {
    struct loop *loop;
    struct peer **items;
    size_t count;
    size_t capacity;
};

struct peers *peers_create(struct loop *loop);
void peers_destroy(struct peers *peers); /* accepts NULL */

/* Finds or makes. */
struct peer *peers_get(struct peers *peers, struct link_peer *link);
/* NULL: unknown, of another role, or dead. */
struct peer *peers_find(
        struct peers *peers, struct link *link, const char *node, enum link_role role);

/* For choosing an archive-svc: the one of `role` with the highest rendezvous score for `key` among
 * those up, but not `except` unless it is the only one. Unwell ones only when all are: those that
 * owe nothing first, then the one that has been so for longest. NULL: none is up. */
struct peer *peers_choose(
        const struct peers *peers, enum link_role role, struct str key, const struct peer *except);
/* One of `role` that is up, unwell since `before_ms` or longer, and owes nothing: it may be asked
 * whether it is well again. NULL: none. */
struct peer *peers_find_unwell(const struct peers *peers, enum link_role role, int64_t before_ms);

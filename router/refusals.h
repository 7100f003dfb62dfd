/* Order of routes from another router through a change of homes (P3). That router sends many routes
 * of a shard before it hears that the first one was refused; accounts may come home here in
 * between, so a younger route would be taken and overtake. Hence what is younger than a refused
 * route is refused, too, until that one, or an older one, comes again.
 *
 * Should another home have answered it meanwhile, it never does: REFUSALS_MS later nobody waits for
 * it. Loop thread only; one for each peer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define REFUSALS_MS 2000

struct refusals;

/* Adds; `at` points to NULL at first. Of several the oldest counts, whatever the order they are
 * told in. */
void refusals_add(
        struct refusals **at, unsigned shards, unsigned shard, uint64_t request, int64_t now_ms);
/* This one has come: true, it has to be refused as well. `refusals` may be NULL. */
bool refusals_is_behind(
        struct refusals *refusals, unsigned shard, uint64_t request, int64_t now_ms);
void refusals_destroy(struct refusals *refusals); /* accepts NULL */

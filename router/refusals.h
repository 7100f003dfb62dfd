/* Order of routes from another router through a change of homes (P3). That router sends many routes
 * of a shard before it hears that the first one was refused; accounts may come home here in
 * between, so a younger route would be taken and overtake. Hence what is younger than a refused
 * route is refused, too, until that one, or an older one, comes again: routers send again in order,
 * the oldest first.
 *
 * Another home may have answered it meanwhile, and then it never does: but whatever has come before
 * and comes again begins such a pass, too. Loop thread only; one for each peer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct refusals;

/* Adds; `at` points to NULL at first. Of several the oldest counts, whatever the order they are
 * told in. */
void refusals_add(struct refusals **at, unsigned shards, unsigned shard, uint64_t request);
/* This one has come: true, it has to be refused as well. `refusals` may be NULL. */
bool refusals_is_behind(struct refusals *refusals, unsigned shard, uint64_t request);
void refusals_destroy(struct refusals *refusals); /* accepts NULL */

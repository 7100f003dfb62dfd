/* Brings what accounts have in PostgreSQL under the newest service key, in the background, while
 * everything goes on: wraps account keys anew (router.storage_key_file was changed) and seals rows
 * from before there were seals, of accounts at home here. Nothing that does not open is ever
 * written. Loop thread only. */
#pragma once

#include <stdbool.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

struct reseal;
struct router;

struct reseal *reseal_create(struct router *router);
void reseal_destroy(struct reseal *reseal); /* accepts NULL */

/* Asks PostgreSQL, until it answers, by which service keys account keys are wrapped, then calls
 * `done` once: ERR_OK, and the work begins; ERR_DENIED: one is missing here (its id is logged), and
 * this router must not touch an account. */
void reseal_start(struct reseal *reseal, void (*done)(void *context, enum err err), void *context);

/* A JSON array with one row about this router, for starlingctl storage. */
void reseal_report(const struct reseal *reseal, struct buf *out);

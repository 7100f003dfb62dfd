/* The end of one deleted account (XEP-0077 §3.2): its name is blocked, its sessions end, its
 * contacts are told, and what it owned goes from the log, Redis and PostgreSQL, its row last. While
 * that row is there the erasure is not forgotten: whatever failed, the account's home begins again,
 * and every step may be repeated. */
#pragma once

#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct erasure;
struct router;

/* ERR_OK: nothing of it is left. ERR_FENCED: another router is its home. Else: try again later. The
 * erasure is gone then. Never from inside erasure_start. */
typedef void (*erasure_done)(void *context, struct erasure *erasure, enum err err);

/* By the home of `bare`, whose row `owner` is in state deleted. */
struct erasure *erasure_start(
        struct router *router, int64_t owner, struct str bare, erasure_done done, void *context);
int64_t erasure_owner(const struct erasure *erasure);
/* At the end of the process: without a callback. */
void erasure_destroy(struct erasure *erasure);

/* The ports of this edge, opened together, and what is accepted on them becomes a stream. */
#pragma once

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "edge/listener.h"

struct edge;
struct listeners;

/* Nothing is open yet. */
struct listeners *listeners_create(struct edge *edge);
/* All of them; on error `why` says which port. */
MUST_USE enum err listeners_open(struct listeners *listeners, struct buf *why);
bool listeners_are_open(const struct listeners *listeners);
void listeners_pause(struct listeners *listeners);      /* drain */
void listeners_set_limits(struct listeners *listeners); /* from the settings, after a reload */
void listeners_release(struct listeners *listeners, const struct peer_address *address);
void listeners_destroy(struct listeners *listeners); /* accepts NULL */

/* Answers nobody waits for any more: the client went away while its question was under way. The
 * session it would have got must not stay. `shards` as in the shard map. */
#pragma once

#include "proto/wire/wire.h"

struct edge;

/* The router is told at once that the stream has ended. */
void unasked_bound(struct edge *edge, unsigned shards, const Wire__BindReply *reply);
/* The session waits for another stream again. */
void unasked_resumed(struct edge *edge, unsigned shards, const Wire__ResumeReply *reply);

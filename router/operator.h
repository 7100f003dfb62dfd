/* What the router answers on its inner HTTP port: GET /v1/shards, POST /v1/account-changed (body: a
 * bare JID), POST /v1/drain. All need the token. */
#pragma once

struct router;

/* `drain` begins the same as SIGTERM does; called at most once. */
void operator_open(struct router *router, void (*drain)(void *router));

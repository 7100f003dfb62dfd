/* Wire in: every record of every peer passes here. Checks the sender's role, the tokens, and what
 * an edge claims (F04, F09), then hands over. Also hears of peers coming and going. */
#pragma once

#include "chassis/base/err.h"
#include "chassis/link.h"

struct ingress;
struct router;

MUST_USE enum err ingress_create(struct router *router, struct ingress **ingress_out);
void ingress_destroy(struct ingress *ingress); /* accepts NULL */

/* For link_open, with the router as context: its `ingress` is set before the loop runs. */
extern const struct link_handlers ingress_link_handlers;

/* The shard table changed: who has waited for it goes on. */
void ingress_on_map(struct ingress *ingress);

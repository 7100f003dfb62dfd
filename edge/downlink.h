/* From routers to clients: deliveries, kicks, and the reports of what clients have. Loop thread
 * only. */
#pragma once

#include <stdbool.h>

#include "chassis/link.h"
#include "proto/wire/wire.h"

struct downlink;
struct edge;
struct session;

struct downlink *downlink_create(struct edge *edge);
void downlink_destroy(struct downlink *downlink); /* accepts NULL */

/* From bus.c: Deliver and Kick. `peer` has the role router. */
void downlink_take(
        struct downlink *downlink, struct link_peer *peer, const Wire__Envelope *envelope);
/* The stream is about to end: with `may_report`, what its client has by now is reported a last
 * time. */
void downlink_session_ends(struct downlink *downlink, struct session *session, bool may_report);

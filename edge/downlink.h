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
/* A delivery has come, but not the one before it, which was left out here: its sender was not the
 * home at that moment (our connection to it was given up, or it had refused something), and it was
 * under way already. The home is told once more what was written, and sends what follows; until
 * then all it sends is a gap. If that does not help, the stream ends, but never the session (P4).
 * Also when it is time to see whether it has helped (sm_gap_due_ms). */
void downlink_missing(struct downlink *downlink, struct session *session);
